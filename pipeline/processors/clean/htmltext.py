"""HTML of a mail to plain text, as a reader would see it.

The source is read tag by tag, without a tree: time and memory stay linear in it whatever it nests. (A tree that follows
the HTML standard does not: lexbor needs more than a minute for 100,000 open divs, and one unclosed font tag per
paragraph multiplies the nodes.) Quote containers are announced by marks that `reply` understands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape

from pipeline.processors.clean.htmlquotes import may_hold_quotes, parse_attributes, quote_container
from pipeline.processors.clean.reply import QUOTE_END, QUOTE_MARK

# Outside of quotes and inside, an attribute holds no "<" here: a tag that lost its closing quote ends before the next one,
# and no attempt reads further than that, so the whole scan is linear.
_TOKEN = re.compile(
    r"<(?:(!--)|([!?]|/[^a-zA-Z])|(/?)([a-zA-Z][^\s/<>]*)"
    r"([^<>\"']*+(?:\"[^\"<]*+\"[^<>\"']*+|'[^'<]*+'[^<>\"']*+)*+)>)"
)
_BROKEN_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]*)([^<>]*)>")
_UNENDED_TAG = re.compile(r"<[a-zA-Z][\w:-]*\s+[\w:-]+\s*=[^<>]*\Z")
_BLANKS = re.compile(r"[ \t\r\n\f]+")

# Private signs of this renderer while it works; they are cut from the source first.
_BLOCK, _PARAGRAPH, _BULLET, _MARK = "\x01", "\x02", "\x03", "\x04"
_KEPT_SPACE, _KEPT_TAB, _KEPT_LINE, _CELL = "\x05", "\x06", "\x07", "\x08"
_SIGNS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_BREAK_RUN = re.compile("[ \t\x08]*(?:[\n\x01\x02][ \t\x08]*)+")
_EMPTY_BULLET = re.compile("\x03[ \t\n\x01\x02\x08]*")
_CELLS = re.compile("[ \t]*\x08[ \t\x08]*")
_MARKED = re.compile("\x04(/?)(\\d*)\x04")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PARAGRAPHS = _names("p h1 h2 h3 h4 h5 h6 blockquote pre dl figure fieldset xmp listing plaintext")
_BLOCKS = _names(
    "address article aside body caption center dd details dialog dir div dt figcaption footer form frameset header hgroup"
    " hr html legend li main menu nav ol optgroup option section select summary table tbody textarea tfoot thead tr ul"
    " includetail"
)
_VOID = _names("area base basefont bgsound br col embed frame hr img input link meta param source track wbr")
# Elements whose content is no text to read; their end is searched for, because it may look like tags.
_SKIPPED = _names("script style title template xml iframe noembed object svg math")
_PREFORMATTED = _names("pre xmp listing plaintext textarea")
# An element that is left open ends where one of these ends around it.
_CONTAINERS = _names("body table tbody thead tfoot tr td th div ul ol li blockquote center section article form")
_CLOSED_BY_SIBLING = {
    "td": frozenset({"td", "th", "tr"}), "th": frozenset({"td", "th", "tr"}), "tr": frozenset({"tr"}),
    "li": frozenset({"li"}), "dt": frozenset({"dt", "dd"}), "dd": frozenset({"dt", "dd"}),
    "option": frozenset({"option"}), "p": _BLOCKS | _PARAGRAPHS,
}  # fmt: skip

_HIDES = re.compile(
    r"display\s*:\s*none|mso-hide\s*:\s*all|opacity\s*:\s*0?\.?0*\s*(?:;|!|$)|max-height\s*:\s*0(?:px|pt|em|%)?\s*(?:;|!|$)",
    re.IGNORECASE,
)
_FADES = re.compile(
    r"visibility\s*:\s*(?:hidden|collapse)|font-size\s*:\s*0*\.?0*(?:px|pt|em|rem|%)?\s*(?:;|!|$)", re.IGNORECASE
)
_SHOWS = re.compile(r"visibility\s*:\s*visible|font(?:-size)?\s*:\s*[^;]*[1-9a-z]", re.IGNORECASE)
_PREHEADER = re.compile(r"pre-?header|preview-?text", re.IGNORECASE)
# What one of the three patterns above needs, tested first because nearly every tag has attributes.
_MAY_HIDE = re.compile(r"none|hid|collapse|:\s*\.?0|header|preview", re.IGNORECASE)
_TIGHT = re.compile(
    r"Mso(?:Normal|PlainText)|margin(?:-(?:top|bottom))?\s*:\s*0(?:px|pt|in|cm|em)?\s*(?:[;\"']|$)", re.IGNORECASE
)
_LINK_SCHEME = re.compile(r"\s*(?:https?:|mailto:|tel:|ftp:)", re.IGNORECASE)

# Spaces of all kinds, then characters without width that mailers pad previews with; U+200C and U+200D join letters and
# emoji, so they go only beside a blank. U+E000 belongs to the quote marks: a sender must not write it.
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad\u034f\u180e\ue000]|[\u200c\u200d]+(?=[\\s\u200c\u200d]|$)")
_SURROGATES = re.compile("[\ud800-\udfff]")
_INNER_BLANKS = re.compile("[ \t]{2,}")
_AROUND_LINE = re.compile("[ \t]*\n[ \t]*")
_BLANK_LINES = re.compile("\n{3,}")

# Marks beyond these many are noise or an attack; the reply splitter cuts at the first anyway.
_MAX_MARKS = 200


def html_to_text(html: str) -> str:
    """Render HTML as a reader sees it: blocks on lines of their own, words unbroken by inline tags, hidden text left out.

    Cells are parted by tabs, list items begin with "- ", links keep their text (their address where they have none),
    images their description, preformatted text its spaces. Before a quote container that `reply.QUOTE_SELECTORS` names
    stands a line `QUOTE_MARK` + its name, after it a line `QUOTE_END`. No surrogates come out; linear in the source;
    if all of the text is hidden, nothing counts as hidden.
    """
    html = _SURROGATES.sub("\ufffd", _SIGNS.sub("", html))
    if "<" not in html:
        return _tidied(html.replace("\r\n", "\n").replace("\r", "\n"), [])
    renderer = _Renderer(html, hides=True)
    text = renderer.render()
    if not text and renderer.hid:
        text = _Renderer(html, hides=False).render()
    return text


@dataclass(slots=True)
class _Container:
    """An open quote container: its tag and how deep that tag was nested, and its mark, if that waits for its content."""

    tag: str
    level: int
    at: int
    name: str
    no_inner: str
    spoilt: bool = False


@dataclass(slots=True)
class _Hidden:
    """The open elements inside a hidden one, which is the first; `faded` if an inner element may be visible again."""

    faded: bool
    stack: list[str]
    counts: dict[str, int] = field(default_factory=dict)


class _Renderer:
    """One pass over the tags of a page."""

    def __init__(self, html: str, hides: bool) -> None:
        self.hid = False
        self._html = html
        self._hides = hides
        self._out: list[str] = []
        self._marks: list[str] = []
        self._hidden: _Hidden | None = None
        self._containers: list[_Container] = []
        self._levels: dict[str, int] = {}
        self._quotes = may_hold_quotes(html)
        self._preformatted = 0
        self._in_row = False
        self._tight = False
        self._link: tuple[str, int] | None = None
        self._unclosed: set[str] = set()

    def render(self) -> str:
        html = self._html
        position = 0
        search = _TOKEN.search
        while (token := search(html, position)) is not None:
            start = token.start()
            if start > position:
                self._text(html[position:start])
            position = token.end()
            name = token[4]
            if name is not None:
                position = self._tag(name.lower(), token[5], token[3] != "", position)
            elif token[1] is not None:
                position = self._comment_end(position)
            else:
                end = html.find(">", start)
                position = end + 1 if end >= 0 else position
        if position < len(html):
            self._text(_UNENDED_TAG.sub("", html[position:]) if "<" in html[position:] else html[position:])
        while self._containers:
            self._end_container(self._containers.pop())
        return _tidied("".join(self._out), self._marks)

    def _comment_end(self, position: int) -> int:
        if "--" not in self._unclosed:
            # "<!-->" is a whole comment: its end may overlap its beginning.
            end = self._html.find("-->", position - 2)
            if end >= 0:
                return end + 3
            self._unclosed.add("--")
        end = self._html.find(">", position)
        return end + 1 if end >= 0 else position

    def _text(self, text: str) -> None:
        if "<" in text and (broken := _BROKEN_TAG.search(text)) is not None:
            self._broken(text, broken)
            return
        if self._hidden is not None:
            self.hid = self.hid or not text.isspace()
        elif self._preformatted:
            text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", _KEPT_LINE)
            self._out.append(text.replace(" ", _KEPT_SPACE).replace("\t", _KEPT_TAB))
        else:
            self._out.append(_BLANKS.sub(" ", text))

    def _broken(self, text: str, broken: re.Match[str] | None) -> None:
        """Read tags whose quotes do not pair; each ends at the next ">"."""
        position = 0
        while broken is not None:
            if broken.start() > position:
                self._text(text[position : broken.start()].replace("<", "&lt;"))
            self._tag(broken[2].lower(), broken[3], broken[1] != "", -1)
            position = broken.end()
            broken = _BROKEN_TAG.search(text, position)
        self._text(text[position:].replace("<", "&lt;"))

    # --- tags

    def _tag(self, tag: str, source: str, closes: bool, position: int) -> int:
        """Act on a tag that ends at `position`; return where to go on."""
        if tag in _SKIPPED and position >= 0:
            return position if closes else self._skipped_to(tag, source, position)
        if self._hidden is not None and self._stays_hidden(tag, source, closes):
            return position
        if closes:
            self._end_tag(tag)
        else:
            self._start_tag(tag, source)
        return position

    def _skipped_to(self, tag: str, source: str, position: int) -> int:
        if source.endswith("/") or tag in self._unclosed:
            return position
        end = re.compile(f"</{tag}[^>]{{0,99}}>", re.IGNORECASE).search(self._html, position)
        if end is not None:
            return end.end()
        self._unclosed.add(tag)
        following = self._html.find("<", position)
        return following if following >= 0 and tag in ("script", "style") else position

    def _start_tag(self, tag: str, source: str) -> None:
        if (
            source
            and self._hides
            and _MAY_HIDE.search(source) is not None
            and tag not in _VOID
            and self._hide(tag, source)
        ):
            return
        if self._quotes:
            self._open_container(tag, source)
        out = self._out
        if tag == "br":
            out.append(_KEPT_LINE if self._preformatted else "\n")
        elif tag in ("td", "th"):
            if self._in_row:
                out.append(_CELL)
            self._in_row = True
        elif tag == "p":
            self._tight = _TIGHT.search(source) is not None
            out.append(_BLOCK if self._tight else _PARAGRAPH)
        elif tag == "img":
            self._image(source)
        elif tag == "a":
            self._link = (source, len(out))
        elif tag in _PARAGRAPHS or tag in _BLOCKS:
            self._start_block(tag)

    def _start_block(self, tag: str) -> None:
        self._out.append(_PARAGRAPH if tag in _PARAGRAPHS else _BLOCK)
        if tag == "li":
            self._out.append(_BULLET)
        elif tag in ("tr", "table"):
            self._in_row = False
        if tag in _PREFORMATTED:
            self._preformatted += 1

    def _end_tag(self, tag: str) -> None:
        if self._quotes:
            self._close_containers(tag)
        if tag in ("td", "th"):
            self._in_row = True
        elif tag == "p":
            self._out.append(_BLOCK if self._tight else _PARAGRAPH)
        elif tag == "a":
            self._end_link()
        elif tag in _PARAGRAPHS or tag in _BLOCKS:
            self._out.append(_PARAGRAPH if tag in _PARAGRAPHS else _BLOCK)
            if tag in ("tr", "table"):
                self._in_row = tag == "table"
            if tag in _PREFORMATTED and self._preformatted:
                self._preformatted -= 1
        elif tag == "br":
            self._out.append("\n")

    def _image(self, source: str) -> None:
        if "alt" in source.lower():
            words = _BLANKS.sub(" ", parse_attributes(source).get("alt", "")).strip()
            # Emoji that a mailer drew stand inside the sentence; words do not touch their neighbours.
            self._out.append(words if len(words) <= 2 else f" {words} ")

    def _end_link(self) -> None:
        if self._link is None:
            return
        source, begin = self._link
        self._link = None
        if any(piece.strip(" \n\x01\x02\x05\x06\x07\x08") for piece in self._out[begin:]):
            return
        address = parse_attributes(source).get("href", "")
        if _LINK_SCHEME.match(address):
            self._out.append(f" {_SIGNS.sub('', address.strip()).replace('&', '&amp;')} ")

    # --- hidden elements

    def _hide(self, tag: str, source: str) -> bool:
        attributes = parse_attributes(source)
        style = attributes.get("style", "")
        named = f"{attributes.get('class', '')} {attributes.get('id', '')}"
        faded = False
        if "hidden" not in attributes and not _HIDES.search(style) and not _PREHEADER.search(named):
            faded = _FADES.search(style) is not None and not _shows(style)
            if not faded:
                return False
        self._hidden = _Hidden(faded, [tag], {tag: 1})
        return True

    def _stays_hidden(self, tag: str, source: str, closes: bool) -> bool:
        """Follow the tags inside a hidden element; return False where the tag is visible again."""
        hidden = self._hidden
        if hidden is None or tag in _VOID:
            return True
        if closes:
            self._close_hidden(hidden, tag)
            # The end tag of a hidden element, or of what is around it, breaks the line like any other.
            return self._hidden is not None
        if hidden.faded and source and _shows(parse_attributes(source).get("style", "")):
            self._hidden = None
            return False
        if len(hidden.stack) == 1 and tag in _CLOSED_BY_SIBLING.get(hidden.stack[0], ()):
            self._hidden = None
            return False
        hidden.stack.append(tag)
        hidden.counts[tag] = hidden.counts.get(tag, 0) + 1
        return True

    def _close_hidden(self, hidden: _Hidden, tag: str) -> None:
        if not hidden.counts.get(tag):
            if tag in _CONTAINERS:
                self._hidden = None
            return
        while hidden.stack:
            top = hidden.stack.pop()
            hidden.counts[top] -= 1
            if top == tag:
                break
        if not hidden.stack:
            self._hidden = None

    # --- quote containers

    def _open_container(self, tag: str, source: str) -> None:
        for container in self._containers:
            container.spoilt = container.spoilt or container.no_inner == tag
        if tag not in _VOID:
            self._levels[tag] = self._levels.get(tag, 0) + 1
        found = quote_container(tag, source)
        if found is None or len(self._marks) >= _MAX_MARKS:
            return
        name, no_inner = found
        self._marks.append(name)
        self._out.append("" if no_inner else f"{_BLOCK}{_MARK}{len(self._marks) - 1}{_MARK}{_BLOCK}")
        if tag not in _VOID:
            number = len(self._marks) - 1
            self._containers.append(_Container(tag, self._levels[tag], len(self._out) - 1, str(number), no_inner))

    def _close_containers(self, tag: str) -> None:
        level = self._levels.get(tag, 0)
        for index, container in enumerate(self._containers):
            if container.tag == tag and container.level == level:
                for inner in reversed(self._containers[index:]):
                    self._end_container(inner)
                del self._containers[index:]
                break
        if level:
            self._levels[tag] = level - 1

    def _end_container(self, container: _Container) -> None:
        if container.no_inner:
            if container.spoilt:
                return
            self._out[container.at] = f"{_BLOCK}{_MARK}{container.name}{_MARK}{_BLOCK}"
        self._out.append(f"{_BLOCK}{_MARK}/{_MARK}{_BLOCK}")


def _shows(style: str) -> bool:
    return _SHOWS.search(_FADES.sub(";", style)) is not None


def _tidied(text: str, marks: list[str]) -> str:
    """Turn the renderer's signs into lines, cells and bullets, entities into characters, and blanks into single ones."""
    if "&" in text:
        text = unescape(text)
    text = _BREAK_RUN.sub(_line_ends, _EMPTY_BULLET.sub("- ", text))
    text = _INVISIBLE.sub("", _SPACES.sub(" ", text))
    text = _INNER_BLANKS.sub(" ", _CELLS.sub("\t", text))
    text = text.replace(_KEPT_LINE, "\n")
    text = _BLANK_LINES.sub("\n\n", _AROUND_LINE.sub("\n", text)).strip()
    text = text.replace(_KEPT_SPACE, " ").replace(_KEPT_TAB, "\t")
    if marks:
        text = _MARKED.sub(lambda mark: QUOTE_END if mark[1] else QUOTE_MARK + marks[int(mark[2])], text)
    return text


def _line_ends(run: re.Match[str]) -> str:
    """Return the line ends of a run of breaks: a block's own break and the line breaks typed after it add up to two."""
    breaks = run[0]
    if _PARAGRAPH in breaks:
        return "\n\n"
    count = breaks.count("\n") + (breaks.lstrip(" \t\x08")[0] != "\n")
    return "\n" if count <= 1 else "\n\n"

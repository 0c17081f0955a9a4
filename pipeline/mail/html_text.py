"""Render the HTML of a mail as plain text, with marks around quotes for the reply splitter.

Each tag is replaced by a placeholder (a control character for a line break, a cell, the bounds of
hidden text); then the placeholders are turned into lines. Nine of ten tags are handled by a table
look-up, and the time is linear in the source.
"""

from __future__ import annotations

import re
from html import unescape

from pipeline.mail.html_hidden import attributes_may_hide, open_hidden_element, page_may_hide_text
from pipeline.mail.html_quotes import MARK_DELIMITER, find_quote_containers
from pipeline.mail.html_source import (
    BLOCK_TAGS,
    INLINE_TAGS,
    PARAGRAPH_TAGS,
    UNRENDERED_TAGS,
    VOID_TAGS,
    parse_attributes,
    split_tags,
)
from pipeline.mail.quote_marks import QUOTE_END, QUOTE_MARK

# Placeholders that stand for tags during rendering; these characters are removed from the source
# first.
_BLOCK, _PARAGRAPH, _BULLET, _CELL, _LINE = "\x01", "\x02", "\x03", "\x08", "\x0b"
_KEPT_SPACE, _KEPT_TAB, _KEPT_LINE = "\x05", "\x06", "\x07"
_HIDE, _SHOW, _KEEP, _RELEASE = "\x0e", "\x0f", "\x10", "\x11"
_PLACEHOLDERS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_PLACEHOLDER_CHARACTERS = "".join(filter(_PLACEHOLDERS.match, map(chr, range(32))))
# A break and the blanks after it. Blanks before it are removed by plain replacement, because a
# pattern that may begin with blanks would be retried at each of them.
_GAP = re.compile("([\t\r\n\f\x01\x02\x08\x0b][ \t\r\n\f\x01\x02\x08\x0b]*)")
_INVISIBLE_PLACEHOLDERS = " \t\r\n\f" + _BLOCK + _PARAGRAPH + _CELL + _LINE + _KEEP + _RELEASE
_EMPTY_BULLET = re.compile("\x03[ \t\r\n\f\x01\x02\x08\x0b]*")
_HIDDEN_TEXT = re.compile("\x0e[^\x0f]*\x0f")
_PREFORMATTED_TEXT = re.compile("\x10([^\x10\x11]*)\x11?")
_MARKED = re.compile(f"{MARK_DELIMITER}(/?)(\\d*){MARK_DELIMITER}(\n?)")

_PREFORMATTED = frozenset({"pre", "xmp", "listing", "plaintext", "textarea"})


def _placeholder_table() -> dict[str, str]:
    """Return tag ("div", "/div"; "" is a comment) to placeholder, for tags with a fixed one."""
    both = dict.fromkeys(BLOCK_TAGS - _PREFORMATTED, _BLOCK) | dict.fromkeys(
        PARAGRAPH_TAGS - _PREFORMATTED, _PARAGRAPH
    )
    both |= dict.fromkeys(INLINE_TAGS, "") | {"": "", "br": _LINE}
    starts = {"td": _CELL, "th": _CELL, "li": _BLOCK + _BULLET}
    starts |= dict.fromkeys(UNRENDERED_TAGS, _HIDE) | dict.fromkeys(
        _PREFORMATTED, _PARAGRAPH + _KEEP
    )
    ends = {"td": "", "th": "", "li": _BLOCK, "p": _BLOCK}
    ends |= dict.fromkeys(UNRENDERED_TAGS, _SHOW) | dict.fromkeys(
        _PREFORMATTED, _RELEASE + _PARAGRAPH
    )
    table = both | starts | {f"/{tag}": placeholder for tag, placeholder in (both | ends).items()}
    # A paragraph depends on its margin, which is in the attributes.
    del table["p"]
    return table


_PLACEHOLDER_BY_TAG = _placeholder_table()

_TIGHT = re.compile(
    r"Mso(?:Normal|PlainText)|margin(?:-(?:top|bottom))?\s*:\s*0(?:px|pt|in|cm|em)?\s*(?:[;\"']|$)",
    re.IGNORECASE,
)
_LINK_SCHEME = re.compile(r"\s*(?:https?:|mailto:|tel:|ftp:)", re.IGNORECASE)

# Characters that become a blank, and characters without width that pad previews. U+E000 belongs to
# the quote marks: no sender may write it.
_SPACES = (
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_INVISIBLE = "\u200b\u2060\ufeff\u00ad\u034f\u180e\ue000"
# These join letters and emoji; next to a blank they are only padding.
_IDLE_JOINERS = re.compile("[\u200c\u200d]+(?=[\\s\u200c\u200d]|$)")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACE_RUN = re.compile(" {2,}")
_BLANK_LINES = re.compile("\n{3,}")


def html_to_text(html: str) -> str:
    r"""Render HTML as a reader sees it, without hidden text.

    Blocks are on lines of their own; inline tags do not break words. Cells are separated by tabs,
    list items begin with "- ". Links keep their text, or their address where they have none; images
    become their description; preformatted text keeps its spaces. A line `QUOTE_MARK` + name
    precedes each quote container of `quote_marks.QUOTE_SELECTORS`, a line `QUOTE_END` follows it.
    No surrogates are returned; time is linear in the source. If all of the text is hidden, nothing
    counts as hidden.

    >>> html_to_text("<p>Dear <b>An</b>n,</p><ul><li>one<li>two</ul>")
    'Dear Ann,\n- one\n- two'
    """
    html = html if html.isascii() else _SURROGATES.sub("\ufffd", html)
    html = (
        _PLACEHOLDERS.sub("", html)
        if any(character in html for character in _PLACEHOLDER_CHARACTERS)
        else html
    )
    if "<" not in html:
        return _normalise_spaces(unescape(html)).replace("\r\n", "\n").replace("\r", "\n").strip()
    parts = split_tags(html)
    text, has_hidden = _render(parts, may_hide_any=True)
    return text if text or not has_hidden else _render(parts, may_hide_any=False)[0]


def _render(parts: list[str | None], may_hide_any: bool) -> tuple[str, bool]:
    """Return the text of a page, and whether any of it was hidden."""
    tags = [tag.lower() if tag else "" for tag in parts[1::3]]
    attributes = [own or "" for own in parts[2::3]]
    placeholders = [
        placeholder if placeholder is not None else _placeholder(tag, own)
        for placeholder, tag, own in zip(
            map(_PLACEHOLDER_BY_TAG.get, tags), tags, attributes, strict=True
        )
    ]
    _show_link_addresses(parts, tags, attributes, placeholders)
    hides = (
        may_hide_any
        and page_may_hide_text(" ".join(attributes))
        and _mark_hidden(tags, attributes, placeholders)
    )
    marks = find_quote_containers(tags, attributes)
    for index, mark in marks.marks_by_tag.items():
        placeholders[index] = f"{mark}{placeholders[index]}"
    pieces = [""] * (2 * len(placeholders) + 1)
    pieces[::2] = [text or "" for text in parts[::3]]
    pieces[1::2] = placeholders
    text = _remove_hidden("".join(pieces) + marks.marks_at_end)
    return _to_lines(text, marks.names), hides


def _remove_hidden(text: str) -> str:
    """Remove hidden text, and protect the spaces of preformatted text."""
    if _HIDE in text:
        # After the last end placeholder no hidden range can end. Searching for an end from each
        # start there would take quadratic time.
        end = text.rfind(_SHOW) + 1
        text = _HIDDEN_TEXT.sub("", text[:end]) + text[end:]
    if _KEEP in text:
        text = _PREFORMATTED_TEXT.sub(_protect_spaces, text)
    for placeholder in (_HIDE, _SHOW, _KEEP, _RELEASE):
        text = text.replace(placeholder, "")
    return text


def _show_link_addresses(
    parts: list[str | None], tags: list[str], attributes: list[str], placeholders: list[str]
) -> None:
    """Put the address of each link without visible text where the link ends."""
    begin = -1
    for index, tag in enumerate(tags):
        if tag == "a":
            begin = index
        elif tag == "/a" and begin >= 0:
            shown = "".join(
                filter(
                    None,
                    [*parts[3 * begin + 3 : 3 * index + 1 : 3], *placeholders[begin + 1 : index]],
                )
            )
            if not shown.replace("&nbsp;", "").strip(_INVISIBLE_PLACEHOLDERS):
                address = parse_attributes(attributes[begin]).get("href", "")
                placeholders[index] = (
                    f" {_escaped(address.strip())} " if _LINK_SCHEME.match(address) else ""
                )
            begin = -1


def _placeholder(tag: str, attributes: str) -> str:
    """Return the placeholder of a tag that depends on its attributes, or ""."""
    if tag == "p":
        return _BLOCK if attributes and _TIGHT.search(attributes) is not None else _PARAGRAPH
    if tag == "img" and "alt" in attributes.lower():
        words = " ".join(parse_attributes(attributes).get("alt", "").split())
        # One or two words are an emoji drawn as an image, inside a sentence. A longer description
        # must not touch its neighbours.
        return _escaped(words if len(words) <= 2 else f" {words} ")
    return ""


def _mark_hidden(tags: list[str], attributes: list[str], placeholders: list[str]) -> bool:
    """Put placeholders around hidden elements and drop the tags inside; return whether any is."""
    index, count = 0, len(tags)
    for start in [
        number for number, own in enumerate(attributes) if own and attributes_may_hide(own)
    ]:
        if start < index or tags[start] in VOID_TAGS:
            continue
        hidden = open_hidden_element(tags[start], attributes[start])
        if hidden is None:
            continue
        placeholders[start] = _HIDE
        index = start + 1
        while index < count and hidden.advance(tags[index], attributes[index]):
            tags[index] = placeholders[index] = ""
            index += 1
        if index < count:
            placeholders[index] = _SHOW + placeholders[index]
        else:
            placeholders[-1] += _SHOW
    return index > 0


def _escaped(text: str) -> str:
    """Escape a decoded attribute for the final decoding, and drop placeholders from it."""
    return _PLACEHOLDERS.sub("", text).replace("&", "&amp;")


def _protect_spaces(text: re.Match[str]) -> str:
    protected = (
        text[1]
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\n", _KEPT_LINE)
        .replace(_LINE, _KEPT_LINE)
    )
    return protected.replace(" ", _KEPT_SPACE).replace("\t", _KEPT_TAB)


# --- placeholders to lines


def _to_lines(text: str, marks: list[str]) -> str:
    """Turn placeholders into line breaks, tabs and bullets, and decode entities."""
    if _BULLET in text:
        text = _EMPTY_BULLET.sub("- ", text)
    parts = _GAP.split(text)
    parts[1::2] = map(_gap_text, parts[1::2])
    text = "".join(parts)
    if "&" in text:
        text = unescape(text)
    text = (text if text.isascii() else _normalise_spaces(text)).replace(_KEPT_LINE, "\n")
    if "  " in text:
        text = _SPACE_RUN.sub(" ", text)
    text = text.replace(" \n", "\n").replace("\n ", "\n").replace(" \t", "\t").replace("\t\n", "\n")
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    text = text.strip().replace(_KEPT_SPACE, " ").replace(_KEPT_TAB, "\t")
    return _MARKED.sub(lambda mark: _mark_line(mark, marks), text) if marks else text


def _normalise_spaces(text: str) -> str:
    """Replace all kinds of space by a blank, and drop characters without width."""
    for space in _SPACES:
        if space in text:
            text = text.replace(space, " ")
    for invisible in _INVISIBLE:
        if invisible in text:
            text = text.replace(invisible, "")
    return _IDLE_JOINERS.sub("", text) if "\u200c" in text or "\u200d" in text else text


def _gap_text(run: str) -> str:
    """Return the text for a run of blanks and breaks.

    The break of a block and the line breaks typed after it add up to two at most.
    """
    if _PARAGRAPH in run:
        return "\n\n"
    if _LINE not in run:
        return "\n" if _BLOCK in run else "\t" if _CELL in run else " "
    lines = run.count(_LINE) + (run.strip(" \t\r\n\f\x08")[0] != _LINE)
    return "\n" if lines <= 1 else "\n\n"


def _mark_line(mark: re.Match[str], marks: list[str]) -> str:
    ends, number, line_end = mark.groups()
    if ends:
        return QUOTE_END + line_end
    name = marks[int(number)]
    return QUOTE_MARK + name + line_end if name else ""

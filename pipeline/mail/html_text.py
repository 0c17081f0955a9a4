"""HTML of a mail to plain text, as a reader would see it, with marks around quotes that `reply`
understands.

One substitution over the tags turns each into a sign (a break, a cell, the bounds of something
hidden); text is not touched before the signs are turned into lines. That keeps Python out of nine
of ten tags and the time linear.
"""

from __future__ import annotations

import re
from html import unescape

from pipeline.mail.html_hidden import hidden_element, may_hide, page_may_hide
from pipeline.mail.html_quotes import MARK, mark_quotes
from pipeline.mail.html_source import (
    BLOCKS,
    INLINE,
    PARAGRAPHS,
    UNREAD,
    VOID,
    parse_attributes,
    tags_and_texts,
)
from pipeline.mail.quote_marks import QUOTE_END, QUOTE_MARK

# Signs that stand for tags while a page is rendered; these characters are cut from the source
# first.
_BLOCK, _PARAGRAPH, _BULLET, _CELL, _LINE = "\x01", "\x02", "\x03", "\x08", "\x0b"
_KEPT_SPACE, _KEPT_TAB, _KEPT_LINE = "\x05", "\x06", "\x07"
_HIDE, _SHOW, _KEEP, _RELEASE = "\x0e", "\x0f", "\x10", "\x11"
_SIGNS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_SIGN_CHARACTERS = "".join(filter(_SIGNS.match, map(chr, range(32))))
# A break and the blanks after it; a blank before it goes by plain replacement, for a pattern that
# may begin with blanks would be tried again at each of them.
_GAP = re.compile("([\t\r\n\f\x01\x02\x08\x0b][ \t\r\n\f\x01\x02\x08\x0b]*)")
_UNSEEN_SIGNS = " \t\r\n\f" + _BLOCK + _PARAGRAPH + _CELL + _LINE + _KEEP + _RELEASE
_EMPTY_BULLET = re.compile("\x03[ \t\r\n\f\x01\x02\x08\x0b]*")
_HIDDEN_TEXT = re.compile("\x0e[^\x0f]*\x0f")
_PREFORMATTED_TEXT = re.compile("\x10([^\x10\x11]*)\x11?")
_MARKED = re.compile(f"{MARK}(/?)(\\d*){MARK}(\n?)")

_PREFORMATTED = frozenset({"pre", "xmp", "listing", "plaintext", "textarea"})


def _sign_table() -> dict[str, str]:
    """Return tag ("div", "/div") to sign, for the tags that always mean the same; comments have no
    name.
    """
    both = dict.fromkeys(BLOCKS - _PREFORMATTED, _BLOCK) | dict.fromkeys(
        PARAGRAPHS - _PREFORMATTED, _PARAGRAPH
    )
    both |= dict.fromkeys(INLINE, "") | {"": "", "br": _LINE}
    starts = {"td": _CELL, "th": _CELL, "li": _BLOCK + _BULLET}
    starts |= dict.fromkeys(UNREAD, _HIDE) | dict.fromkeys(_PREFORMATTED, _PARAGRAPH + _KEEP)
    ends = {"td": "", "th": "", "li": _BLOCK, "p": _BLOCK}
    ends |= dict.fromkeys(UNREAD, _SHOW) | dict.fromkeys(_PREFORMATTED, _RELEASE + _PARAGRAPH)
    table = both | starts | {f"/{tag}": sign for tag, sign in (both | ends).items()}
    # A paragraph's margin and an image's description are in the attributes.
    del table["p"]
    return table


_SIGN_OF = _sign_table()

_TIGHT = re.compile(
    r"Mso(?:Normal|PlainText)|margin(?:-(?:top|bottom))?\s*:\s*0(?:px|pt|in|cm|em)?\s*(?:[;\"']|$)",
    re.IGNORECASE,
)
_LINK_SCHEME = re.compile(r"\s*(?:https?:|mailto:|tel:|ftp:)", re.IGNORECASE)

# What becomes a blank, and what has no width and pads previews. U+E000 belongs to the quote marks:
# no sender may write it.
_SPACES = (
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_INVISIBLE = "\u200b\u2060\ufeff\u00ad\u034f\u180e\ue000"
# These join letters and emoji; beside a blank they only pad.
_IDLE_JOINERS = re.compile("[\u200c\u200d]+(?=[\\s\u200c\u200d]|$)")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACE_RUN = re.compile(" {2,}")
_BLANK_LINES = re.compile("\n{3,}")


def html_to_text(html: str) -> str:
    """Render HTML as a reader sees it: blocks on lines of their own, words unbroken by inline tags,
    hidden text left out.

    Cells are parted by tabs, list items begin with "- ", links keep their text (their address where
    they have none), images their description, preformatted text its spaces. Before a quote
    container that `reply.QUOTE_SELECTORS` names stands a line `QUOTE_MARK` + its name, after it a
    line `QUOTE_END`. No surrogates come out; linear in the source; if all of the text is hidden,
    nothing counts as hidden.
    """
    html = html if html.isascii() else _SURROGATES.sub("\ufffd", html)
    html = _SIGNS.sub("", html) if any(sign in html for sign in _SIGN_CHARACTERS) else html
    if "<" not in html:
        return _plain_spaced(unescape(html)).replace("\r\n", "\n").replace("\r", "\n").strip()
    parts = tags_and_texts(html)
    text, hid = _rendered(parts, may_hide_any=True)
    return text if text or not hid else _rendered(parts, may_hide_any=False)[0]


def _rendered(parts: list[str | None], may_hide_any: bool) -> tuple[str, bool]:
    """Return the text of a page, and whether any of it was hidden."""
    tags = [tag.lower() if tag else "" for tag in parts[1::3]]
    attributes = [own or "" for own in parts[2::3]]
    signs = [
        sign if sign is not None else _sign(tag, own)
        for sign, tag, own in zip(map(_SIGN_OF.get, tags), tags, attributes, strict=True)
    ]
    _show_addresses(parts, tags, attributes, signs)
    hides = may_hide_any and page_may_hide(" ".join(attributes)) and _hide(tags, attributes, signs)
    marks = mark_quotes(tags, attributes)
    for index, mark in marks.signs.items():
        signs[index] = f"{mark}{signs[index]}"
    pieces = [""] * (2 * len(signs) + 1)
    pieces[::2] = [text or "" for text in parts[::3]]
    pieces[1::2] = signs
    text = _without_unread("".join(pieces) + marks.closing)
    return _tidied(text, marks.names), hides


def _without_unread(text: str) -> str:
    """Cut out what is hidden, and keep the spaces of what is preformatted."""
    if _HIDE in text:
        # Behind the last end nothing ends any more; to look for it from each beginning would take
        # its time squared.
        end = text.rfind(_SHOW) + 1
        text = _HIDDEN_TEXT.sub("", text[:end]) + text[end:]
    if _KEEP in text:
        text = _PREFORMATTED_TEXT.sub(_kept, text)
    for sign in (_HIDE, _SHOW, _KEEP, _RELEASE):
        text = text.replace(sign, "")
    return text


def _show_addresses(
    parts: list[str | None], tags: list[str], attributes: list[str], signs: list[str]
) -> None:
    """Put the address of each link that shows nothing where the link ends."""
    begin = -1
    for index, tag in enumerate(tags):
        if tag == "a":
            begin = index
        elif tag == "/a" and begin >= 0:
            shown = "".join(
                filter(None, [*parts[3 * begin + 3 : 3 * index + 1 : 3], *signs[begin + 1 : index]])
            )
            if not shown.replace("&nbsp;", "").strip(_UNSEEN_SIGNS):
                address = parse_attributes(attributes[begin]).get("href", "")
                signs[index] = (
                    f" {_escaped(address.strip())} " if _LINK_SCHEME.match(address) else ""
                )
            begin = -1


def _sign(tag: str, attributes: str) -> str:
    """Return the sign of a tag that the table does not know: it depends on the attributes, or there
    is none.
    """
    if tag == "p":
        return _BLOCK if attributes and _TIGHT.search(attributes) is not None else _PARAGRAPH
    if tag == "img" and "alt" in attributes.lower():
        words = " ".join(parse_attributes(attributes).get("alt", "").split())
        # Emoji that a mailer drew stand inside the sentence; words do not touch their neighbours.
        return _escaped(words if len(words) <= 2 else f" {words} ")
    return ""


def _hide(tags: list[str], attributes: list[str], signs: list[str]) -> bool:
    """Put signs around hidden elements and take away the tags inside them; return whether there are
    any.
    """
    index, count = 0, len(tags)
    for start in [number for number, own in enumerate(attributes) if own and may_hide(own)]:
        if start < index or tags[start] in VOID:
            continue
        hidden = hidden_element(tags[start], attributes[start])
        if hidden is None:
            continue
        signs[start] = _HIDE
        index = start + 1
        while index < count and hidden.stays(tags[index], attributes[index]):
            tags[index] = signs[index] = ""
            index += 1
        if index < count:
            signs[index] = _SHOW + signs[index]
        else:
            signs[-1] += _SHOW
    return index > 0


def _escaped(text: str) -> str:
    """Protect a decoded attribute from the decoding of the whole, and drop the renderer's own signs
    from it.
    """
    return _SIGNS.sub("", text).replace("&", "&amp;")


def _kept(text: re.Match[str]) -> str:
    kept = (
        text[1]
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\n", _KEPT_LINE)
        .replace(_LINE, _KEPT_LINE)
    )
    return kept.replace(" ", _KEPT_SPACE).replace("\t", _KEPT_TAB)


# --- signs to lines


def _tidied(text: str, marks: list[str]) -> str:
    """Turn signs into lines, cells and bullets, entities into characters, and blanks into single
    ones.
    """
    if _BULLET in text:
        text = _EMPTY_BULLET.sub("- ", text)
    parts = _GAP.split(text)
    parts[1::2] = map(_gap, parts[1::2])
    text = "".join(parts)
    if "&" in text:
        text = unescape(text)
    text = (text if text.isascii() else _plain_spaced(text)).replace(_KEPT_LINE, "\n")
    if "  " in text:
        text = _SPACE_RUN.sub(" ", text)
    text = text.replace(" \n", "\n").replace("\n ", "\n").replace(" \t", "\t").replace("\t\n", "\n")
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    text = text.strip().replace(_KEPT_SPACE, " ").replace(_KEPT_TAB, "\t")
    return _MARKED.sub(lambda mark: _mark_line(mark, marks), text) if marks else text


def _plain_spaced(text: str) -> str:
    """Return the text with blanks for all kinds of space and without what has no width; the same
    where it has none.
    """
    for space in _SPACES:
        if space in text:
            text = text.replace(space, " ")
    for invisible in _INVISIBLE:
        if invisible in text:
            text = text.replace(invisible, "")
    return _IDLE_JOINERS.sub("", text) if "\u200c" in text or "\u200d" in text else text


def _gap(run: str) -> str:
    """Return what a run of blanks and breaks is: a block's own break and the line breaks typed
    after it add up to two.
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

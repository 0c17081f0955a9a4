"""Recognise the lines that programs put above a quoted or forwarded mail."""

from typing import Literal

from pipeline.processors.clean.reply.word_tables import read_table

SeparatorKind = Literal["original_message", "forwarded", "reply_above"]

_TABLE = read_table("separators")


def _titles(key: str, title: SeparatorKind) -> dict[str, SeparatorKind]:
    return {text.casefold(): title for text in _TABLE[key]}


_ALONE = _titles("reply_above", "reply_above")
_INTRODUCTIONS = _titles("forward_introduction", "forwarded")
_TITLES = {
    **_titles("original_message", "original_message"),
    **_titles("forwarded", "forwarded"),
    **_ALONE,
}
_FRAME = " \t-_=*—–─━~<>#+•:：.|\u3000\xa0"
# With a colon, a full stop and some space.
_LONGEST = max(map(len, (*_ALONE, *_INTRODUCTIONS))) + 4
# A frame has two drawn characters at least; "- original message" would be a list item.
_DRAWN = frozenset("-_=*—–─━~<>#+")
_MAX_LINE = 200


def separator_kind(line: str) -> SeparatorKind | None:
    """Return the kind of separator of a stripped line, or None.

    >>> separator_kind("-----Original Message-----")
    'original_message'
    """
    if len(line) > _MAX_LINE:
        return None
    framed = len(line) > 2 and line[0] in _DRAWN and line[1] in _DRAWN
    if not framed and len(line) > _LONGEST:
        return None
    bare = line.replace("&nbsp;", " ") if "&" in line else line
    bare = " ".join(bare.strip(_FRAME).casefold().split())
    if framed:
        return _TITLES.get(bare)
    return _ALONE.get(bare) or (_INTRODUCTIONS.get(bare) if line[-1] in ":：" else None)

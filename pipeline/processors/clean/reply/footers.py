"""Recognise texts that servers, lists and legal departments append to a mail.

Disclaimers, footers of mailing lists, notices of virus scanners.
"""

import re
from typing import Literal

from pipeline.processors.clean.reply.word_tables import alternation, read_table

FooterKind = Literal["disclaimer", "list_footer"]

_TABLE = read_table("footers")
# Phrases that always start a disclaimer, and phrases that do so only if a word of confidentiality
# follows within the next lines.
_PLAIN_DISCLAIMER = re.compile(alternation(_TABLE["disclaimer"]), re.I)
_OPENING = re.compile(alternation(_TABLE["opening"]), re.I)
_SECRECY = re.compile(alternation(_TABLE["secrecy"]), re.I)
_LIST = re.compile(alternation(_TABLE["list_footer"]), re.I)
_LIST_NAME = re.compile(alternation(_TABLE["list_name"]), re.I)
# The first three characters of all phrases in Latin script; other scripts are few enough to be
# tried always.
_STARTS = frozenset(_TABLE["starts"])
_NOISE = " \t*_-–—>|#=~[](（【"
# The decisive word of a disclaimer is in its first sentence, which wraps over a few lines.
_LOOK_AHEAD = 4


def may_start_footer(line: str) -> bool:
    """Return False, cheaply, for most stripped lines that start no footer."""
    start = line.lstrip(_NOISE)[:3]
    return not start.isascii() or start.casefold().rstrip() in _STARTS


def footer_kind(lines: list[str], at: int) -> FooterKind | None:
    """Return which footer starts at line ``at`` of stripped lines, or None.

    Line ``at`` must start a paragraph.
    """
    line = lines[at].lstrip(_NOISE)[:300]
    if _PLAIN_DISCLAIMER.match(line):
        return "disclaimer"
    if _LIST.match(line):
        return "list_footer"
    if _OPENING.match(line) and _SECRECY.search(" ".join(lines[at : at + _LOOK_AHEAD])[:1200]):
        return "disclaimer"
    return None


def is_list_footer(lines: list[str]) -> bool:
    """Return whether the lines below a drawn rule are the footer of a mailing list."""
    return _LIST_NAME.search("\n".join(lines)[:1000]) is not None

"""Normalise plain text: line ends, control characters, length; and split it into its parts."""

from __future__ import annotations

import re

from pipeline.mail.quote_marks import remove_quote_marks
from pipeline.processors.clean.reply import split_reply
from pipeline.processors.draft import TextParts

# A million characters are a thick novel. Longer text is a log file or an attack; the raw event
# keeps the rest.
MAX_CHARACTERS = 1_000_000

# C0 and C1 controls except tab and line feed, the byte order mark, and lone surrogates, which no
# UTF-8 sink can store.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")


def normalise_text(text: str) -> str:
    r"""Return a text with \n line ends, without control characters and surrounding blank space.

    >>> normalise_text(" a\r\nb\x00 ")
    'a\nb'
    """
    return _UNWANTED.sub("", _LINE_ENDS.sub("\n", text)).strip()


def truncate(text: str) -> tuple[str, bool]:
    """Return a text cut at `MAX_CHARACTERS`, and whether it was cut."""
    return text[:MAX_CHARACTERS], len(text) > MAX_CHARACTERS


def unsplit_parts(text: str) -> TextParts:
    """Return the parts of a text from a channel without quotes: all of it is the reply."""
    reply = remove_quote_marks(text).strip()
    return TextParts(body=reply, reply=reply)


def split_mail_text(text: str) -> tuple[TextParts, tuple[str, ...]]:
    """Split the text of a mail into reply, quote and signature; return the parts and flags."""
    result = split_reply(text)
    return TextParts(
        remove_quote_marks(text).strip(),
        result.reply,
        result.quoted,
        result.signature,
        result.rules,
    ), result.flags

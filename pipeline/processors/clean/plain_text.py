"""Plain text made safe to keep: line ends, control characters and length, and the parts that a
splitter found in it.
"""

from __future__ import annotations

import re

from pipeline.mail.quote_marks import remove_quote_marks
from pipeline.processors.clean.reply import split_reply
from pipeline.processors.draft import TextParts

# A million characters are a thick novel. What is longer is a log file or a bomb; the raw event
# keeps the rest.
MAX_CHARACTERS = 1_000_000

# C0 and C1 controls save tab and line feed, the byte order mark, and lone surrogates, which no
# UTF-8 sink can hold.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")


def normalise_text(text: str) -> str:
    """Return a text with \\n line ends, without control characters and outer blank space."""
    return _UNWANTED.sub("", _LINE_ENDS.sub("\n", text)).strip()


def truncate(text: str) -> tuple[str, bool]:
    """Return a text cut at `MAX_CHARACTERS`, and whether it was cut."""
    return text[:MAX_CHARACTERS], len(text) > MAX_CHARACTERS


def unsplit_parts(text: str) -> TextParts:
    """Return a text that has no quotes by the nature of its channel: all of it is the reply."""
    shown = remove_quote_marks(text).strip()
    return TextParts(body=shown, reply=shown)


def split_mail_text(text: str) -> tuple[TextParts, tuple[str, ...]]:
    """Return a mail's text in reply, quote and signature, and the flags that the splitter
    raised.
    """
    found = split_reply(text)
    return TextParts(
        remove_quote_marks(text).strip(), found.reply, found.quoted, found.signature, found.rules
    ), found.flags

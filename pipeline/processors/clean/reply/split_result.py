"""The result of splitting a mail body."""

from dataclasses import dataclass
from typing import Literal

PartKind = Literal["reply", "quoted", "signature"]


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """A range of a mail body that belongs to one kind.

    ``start`` and ``end`` are offsets in characters, end exclusive. ``rule`` names the rule that cut
    the range off ("attribution:de", "signature:closing"); it is empty for a reply.
    """

    kind: PartKind
    start: int
    end: int
    rule: str


@dataclass(frozen=True, slots=True)
class ReplySplit:
    """A mail body split into what its author wrote now, quoted text and signature.

    ``reply``, ``quoted`` and ``signature`` join the parts of that kind, without quote marks and
    surrounding blank lines. ``parts`` tile the text: every character is in exactly one part, in
    order. ``rules`` are the rules that cut, in order of the text, each once; empty means that
    nothing was cut.

    ``flags``: "inline_reply" where text of the author follows quoted lines, "bottom_reply" as well
    where all of it does, "empty_reply" where nothing remains of a text that is not blank,
    "forwarded" where the quote is a forward.
    """

    reply: str
    quoted: str
    signature: str
    parts: tuple[ReplyPart, ...]
    rules: tuple[str, ...]
    flags: tuple[str, ...]

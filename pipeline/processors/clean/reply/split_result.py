"""What a mail body is split into."""

from dataclasses import dataclass
from typing import Literal

PartKind = Literal["reply", "quoted", "signature"]


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """One stretch of a mail body that belongs to one kind.

    ``start`` and ``end`` are offsets in characters into the text that was split, end exclusive.
    ``rule`` names the rule that cut the stretch off ("attribution:de", "signature:closing"); it is
    empty for a reply.
    """

    kind: PartKind
    start: int
    end: int
    rule: str


@dataclass(frozen=True, slots=True)
class ReplySplit:
    """A mail body told apart into what its author wrote now, what is quoted and the signature.

    ``reply``, ``quoted`` and ``signature`` are the joins of the parts of that kind, without quote
    marks and without outer blank lines. ``parts`` tile the text: every character is in exactly one
    part, in order. ``rules`` are the rules that cut, in the order of the text and each once; empty
    means that nothing was cut.

    ``flags``: "inline_reply" where the author's lines follow quoted lines, "bottom_reply" besides
    where all of them do, "empty_reply" where nothing is left of a text that is not blank,
    "forwarded" where the quote is a forward.
    """

    reply: str
    quoted: str
    signature: str
    parts: tuple[ReplyPart, ...]
    rules: tuple[str, ...]
    flags: tuple[str, ...]

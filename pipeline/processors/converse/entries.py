"""Entries: what converse keeps of one record, to compare the records after it with."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.processors.converse.roles import Role

EntryKey = tuple[int, str]
"""The position of a record in time: occurred_at in ms, then record id."""
Flag = tuple[str, str | None, float | None]
"""The name of a flag, the id of the other record, and a value."""

# Bits of `RecordEntry.bits`: closes its conversation, assigns it to somebody, is a call.
CLOSES, ASSIGNS, CALL = 1, 2, 4


class FollowUpEntry(NamedTuple):
    """A follow-up of a record; instants in ms, `fulfilled_at` is 0 while it is open."""

    promised: bool
    call: bool
    due_at: int
    stated: bool
    counts_from: int
    staff: str
    phrase: str
    fulfilled_at: int = 0
    fulfilled_by: str = ""


class RecordEntry(NamedTuple):
    """A record in short; entries sort by time and record id, their first two fields.

    `content`, `text` and `names` are hashes: of all that was read of the record, of its words, and
    of the message ids it names. `size` is the length of the text, or the talk time of a call.
    """

    at: int
    record_id: str
    thread: int
    role: Role
    bits: int
    received: int
    content: int
    text: int
    simhash: int
    size: float
    channel: str
    subject: str
    names: tuple[int, ...] = ()
    followups: tuple[FollowUpEntry, ...] = ()
    flags: tuple[Flag, ...] = ()
    reopens: bool = False

    @property
    def key(self) -> EntryKey:
        """The position in time."""
        return self.at, self.record_id

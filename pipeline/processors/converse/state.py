"""A contact point's state: its last records in short, its conversations, and the bytes that both
are kept as.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from pipeline.processors.converse.roles import Role
from pipeline.processors.converse.summary import Tally

# Format of the bytes; `load` reads every older one.
_FORMAT = 1
# The last 256 records of a contact point are kept one by one: weeks or months of a person's
# messages, and some 30 kB, which load, fold and dump in under a millisecond. What is older is
# summed up by conversation; a record that comes later than 256 of its followers is told by its
# facts alone, which need no neighbours.
KEPT_ENTRIES = 256
# Conversations without a kept record are remembered for as long as they are among the last 64, so
# that an old thread that is taken up again goes on; a contact point with more threads than that at
# once is a form or a switchboard, not a person.
KEPT_THREADS = 64

Key = tuple[int, str]
"""Place in time: occurred_at in ms, record id."""
Flag = tuple[str, str | None, float | None]
"""Name of a flag, the other record, its value."""

CLOSES, ASSIGNS, CALL = 1, 2, 4


class FollowUpEntry(NamedTuple):
    """A follow-up as kept beside its record; instants in ms, `fulfilled_at` 0 while it is open."""

    promised: bool
    call: bool
    due_at: int
    stated: bool
    counts_from: int
    staff: str
    phrase: str
    fulfilled_at: int = 0
    fulfilled_by: str = ""


class Entry(NamedTuple):
    """A record in short; entries sort by time and record id, for these come first."""

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
    def key(self) -> Key:
        """Place in time."""
        return self.at, self.record_id


class Thread(NamedTuple):
    """A conversation: its number in this state, its id, and what was told of it.

    `head` is what its records beyond the horizon add up to; `tail`, where it is kept, what all of
    them do, so that a record that comes in its turn needs none of those before it.
    """

    number: int
    conversation_id: str
    head: Tally | None = None
    tail: Tally | None = None
    names: tuple[int, ...] = ()
    canonical: str = ""
    told_row: int = 0
    told_opened: int = 0

    @property
    def group(self) -> str:
        """Id of the conversation that it is part of: its own, or that which mails join it to."""
        return self.canonical or self.conversation_id


@dataclass(frozen=True, slots=True)
class State:
    """All of a contact point's state; never mutated. `horizon`: the newest record that is kept in
    no entry any more.
    """

    tenant: str = ""
    customer_id: str | None = None
    contact: str = ""
    horizon: Key = (-(1 << 62), "")
    threads: tuple[Thread, ...] = ()
    entries: tuple[Entry, ...] = field(default=())


def dump(state: State) -> bytes:
    """Return a state's bytes: JSON arrays, fields in the order of the classes above."""
    threads = [
        (*thread[:2], plain(thread.head), plain(thread.tail), *thread[4:])
        for thread in state.threads
    ]
    entries = [
        (
            (*entry[:13], [tuple(one) for one in entry.followups], *entry[14:])
            if entry.followups
            else tuple(entry)
        )
        for entry in state.entries
    ]
    return orjson.dumps(
        [_FORMAT, state.tenant, state.customer_id, state.contact, state.horizon, threads, entries]
    )


def load(raw: bytes) -> State:
    """Return the state that bytes hold; raises ValueError for bytes of a newer format or of
    none.
    """
    form, *fields = orjson.loads(raw)
    if form != _FORMAT:
        raise ValueError(
            f"a state of converse of format {form} is newer than this program, which knows"
            f" {_FORMAT}: upgrade"
        )
    tenant, customer_id, contact, horizon, threads, entries = fields
    return State(
        tenant,
        customer_id,
        contact,
        (horizon[0], horizon[1]),
        tuple(
            Thread(
                number,
                conversation,
                Tally(*head) if head else None,
                Tally(*tail) if tail else None,
                tuple(names),
                *told,
            )
            for number, conversation, head, tail, names, *told in threads
        ),
        tuple(_entry(fields) for fields in entries),
    )


def _entry(fields: list[Any]) -> Entry:
    names, followups, flags = fields[_LISTS]
    if names or followups or flags:
        kept = tuple(FollowUpEntry(*one) for one in followups)
        fields[_LISTS] = (
            tuple(names),
            kept,
            tuple((name, other, value) for name, other, value in flags),
        )
    else:
        fields[_LISTS] = (), (), ()
    return Entry._make(fields)


# Where an entry's lists stand: names, followups, flags.
_LISTS = slice(12, 15)


def plain(tally: Tally | None) -> list[Any] | None:
    """Return a tally's values in the order of its fields."""
    return None if tally is None else list(_VALUES(tally))


_VALUES = attrgetter(*Tally.__slots__)

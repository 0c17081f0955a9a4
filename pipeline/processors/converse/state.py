"""A contact point's state, as objects and as bytes: its latest records and its conversations."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from pipeline.processors.converse.entries import EntryKey, FollowUpEntry, RecordEntry
from pipeline.processors.converse.summary import ConversationSummary

# Format of the bytes; `load` reads every older one.
_FORMAT = 1
# The latest 256 records of a contact point are kept one by one: weeks or months of a person's
# messages, and some 30 kB, which load, fold and dump in under a millisecond. Older ones are
# summarized by conversation; a record that comes later than 256 of its followers yields only its
# own facts, which need no neighbours.
MAX_ENTRIES = 256
# Threads without a kept record stay in the state while they are among the latest 64, so that an old
# thread that is taken up again continues; a contact point with more threads at once is a form or a
# switchboard, not a person.
MAX_THREADS = 64


class Thread(NamedTuple):
    """One thread: its number in this state, its conversation's id, and hashes of what was emitted.

    `older_summary` summarizes the records that are no longer kept. `full_summary`, if it is kept,
    summarizes all records, so that a new record at the end needs none of those before it.
    `canonical` is the conversation that the thread is linked to, "" for its own.
    """

    number: int
    conversation_id: str
    older_summary: ConversationSummary | None = None
    full_summary: ConversationSummary | None = None
    names: tuple[int, ...] = ()
    canonical: str = ""
    row_hash: int = 0
    opened_hash: int = 0

    @property
    def group(self) -> str:
        """The id of the conversation that it is part of: its own, or the one it is linked to."""
        return self.canonical or self.conversation_id


@dataclass(frozen=True, slots=True)
class ConverseState:
    """The state of one contact point, never mutated.

    `horizon` is the key of the newest record that is no longer kept as an entry.
    """

    tenant: str = ""
    customer_id: str | None = None
    contact: str = ""
    horizon: EntryKey = (-(1 << 62), "")
    threads: tuple[Thread, ...] = ()
    entries: tuple[RecordEntry, ...] = field(default=())


def dump(state: ConverseState) -> bytes:
    """Return a state's bytes: JSON arrays, fields in the order of the classes above."""
    threads = [
        (
            *thread[:2],
            summary_values(thread.older_summary),
            summary_values(thread.full_summary),
            *thread[4:],
        )
        for thread in state.threads
    ]
    entries = [
        (
            (*entry[:13], [tuple(followup) for followup in entry.followups], *entry[14:])
            if entry.followups
            else tuple(entry)
        )
        for entry in state.entries
    ]
    return orjson.dumps(
        [_FORMAT, state.tenant, state.customer_id, state.contact, state.horizon, threads, entries]
    )


def load(raw: bytes) -> ConverseState:
    """Return the state that bytes contain.

    Raises ValueError if they are not a state, or one in a newer format.
    """
    form, *fields = orjson.loads(raw)
    if form != _FORMAT:
        raise ValueError(
            f"the state of converse has format {form}, this program reads formats up to"
            f" {_FORMAT}; upgrade this program"
        )
    tenant, customer_id, contact, horizon, threads, entries = fields
    return ConverseState(
        tenant,
        customer_id,
        contact,
        (horizon[0], horizon[1]),
        tuple(
            Thread(
                number,
                conversation,
                ConversationSummary(*older) if older else None,
                ConversationSummary(*full) if full else None,
                tuple(names),
                *rest,
            )
            for number, conversation, older, full, names, *rest in threads
        ),
        tuple(_entry(fields) for fields in entries),
    )


def _entry(fields: list[Any]) -> RecordEntry:
    names, followups, flags = fields[_LISTS]
    if names or followups or flags:
        fields[_LISTS] = (
            tuple(names),
            tuple(FollowUpEntry(*followup) for followup in followups),
            tuple((name, other, value) for name, other, value in flags),
        )
    else:
        fields[_LISTS] = (), (), ()
    return RecordEntry._make(fields)


# The indices of an entry's lists: names, followups, flags.
_LISTS = slice(12, 15)


def summary_values(summary: ConversationSummary | None) -> list[Any] | None:
    """Return a summary's values in the order of its fields; None for None."""
    return None if summary is None else list(_VALUES(summary))


_VALUES = attrgetter(*ConversationSummary.__slots__)

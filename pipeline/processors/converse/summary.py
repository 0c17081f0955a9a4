"""What a conversation's records add up to, one after the other: open, answered, waiting or closed,
and since when.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from schemas.conversations import Actor

if TYPE_CHECKING:
    from pipeline.processors.converse.state import Entry

# The bit of `Entry.bits` that closes; declared here too because state.py imports this module.
_CLOSES = 1

ACTORS: dict[str, Actor] = {
    "ask": "customer",
    "courtesy": "customer",
    "talk": "customer",
    "human": "human",
    "bot": "bot",
    "auto": "auto",
    "none": "system",
}


@dataclass(slots=True)
class Tally:
    """The sum of a conversation's records; instants in ms, None: not yet.

    `waiting_at`: the first unanswered message of the customer; `answered`: a person has answered in
    this episode, so what waits now waits for a next response, not the first; `spoken`: a person of
    ours has spoken since it was opened; `received_at`: the last arrival.
    """

    opened_at: int
    opened_by: Actor
    opened_record: str
    channel: str
    subject: str
    last_at: int
    customer_at: int | None = None
    human_at: int | None = None
    waiting_at: int | None = None
    waiting_channel: str = ""
    answered: bool = False
    spoken: bool = False
    closed_at: int | None = None
    episodes: int = 1
    received_at: int = 0

    @property
    def state(self) -> Literal["open", "answered", "waiting", "closed"]:
        """Return the state as of the last record."""
        if self.closed_at is not None:
            return "closed"
        if self.waiting_at is not None:
            return "waiting"
        return "answered" if self.spoken else "open"

    def take(self, entry: Entry) -> bool:
        """Add the next record; return whether it reopens the conversation."""
        role, at = entry.role, entry.at
        self.last_at = at
        self.received_at = max(self.received_at, entry.received)
        reopens = False
        if role in ("ask", "talk"):
            reopens = self.closed_at is not None
            self._ask(at, entry.channel)
        elif role == "courtesy":
            self.customer_at = at
        if role in ("human", "talk"):
            self._answer(at)
        if entry.bits & _CLOSES:
            self.closed_at, self.waiting_at = at, None
        return reopens

    def _ask(self, at: int, channel: str) -> None:
        self.customer_at = at
        if self.closed_at is not None:
            self.closed_at, self.answered, self.spoken = None, False, False
            self.episodes += 1
        if self.waiting_at is None:
            self.waiting_at, self.waiting_channel = at, channel

    def _answer(self, at: int) -> None:
        self.human_at, self.spoken = at, True
        if self.waiting_at is not None:
            self.waiting_at, self.answered = None, True


def begun_by(entry: Entry) -> Tally:
    """Return the tally of a conversation before its first record is taken."""
    return Tally(
        entry.at, ACTORS[entry.role], entry.record_id, entry.channel, entry.subject, entry.at
    )


def joined(heads: Iterable[Tally]) -> Tally | None:
    """Return what the older records of several linked threads add up to; None where there are none.

    Their records are not kept, so that a message of one that another answered is told by the last
    of both.
    """
    known = sorted(heads, key=lambda head: (head.last_at, head.opened_record))
    if not known:
        return None
    first = min(known, key=lambda head: (head.opened_at, head.opened_record))
    last = known[-1]
    human = max((head.human_at for head in known if head.human_at is not None), default=None)
    waits = [
        head
        for head in known
        if head.waiting_at is not None and (human is None or head.waiting_at > human)
    ]
    waiting = min(waits, key=lambda head: head.waiting_at or 0, default=None)
    return replace(
        last,
        opened_at=first.opened_at,
        opened_by=first.opened_by,
        opened_record=first.opened_record,
        channel=first.channel,
        subject=first.subject,
        customer_at=max(
            (head.customer_at for head in known if head.customer_at is not None), default=None
        ),
        human_at=human,
        waiting_at=waiting.waiting_at if waiting else None,
        waiting_channel=waiting.waiting_channel if waiting else "",
        answered=any(head.answered for head in known),
        spoken=any(head.spoken for head in known),
        received_at=max(head.received_at for head in known),
        episodes=1 + sum(head.episodes - 1 for head in known),
    )


def added_up(head: Tally | None, entries: Sequence[Entry]) -> tuple[Tally | None, set[str]]:
    """Return what records add up to after a head, and the ids of those that reopened the
    conversation.
    """
    if not entries:
        return head, set()
    tally = replace(head) if head else begun_by(entries[0])
    return tally, {entry.record_id for entry in entries if tally.take(entry)}

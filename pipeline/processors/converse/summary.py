"""The summary of a conversation: open, answered, waiting or closed, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.processors.converse.entries import CLOSES, RecordEntry
from schemas.conversations import Actor

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
class ConversationSummary:
    """A conversation's state after some of its records; instants in ms, None for not yet.

    `waiting_at`: the customer's first unanswered message. `answered`: a staff member has answered
    in this episode, so that the customer now waits for a next response, not for the first one.
    `human_spoke`: a staff member has written or called since the episode began. `received_at`: when
    the last record arrived. The bytes of the state have the fields in this order.
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
    human_spoke: bool = False
    closed_at: int | None = None
    episodes: int = 1
    received_at: int = 0

    @property
    def state(self) -> Literal["open", "answered", "waiting", "closed"]:
        """The state after the last record."""
        if self.closed_at is not None:
            return "closed"
        if self.waiting_at is not None:
            return "waiting"
        return "answered" if self.human_spoke else "open"

    def add(self, entry: RecordEntry) -> bool:
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
        if entry.bits & CLOSES:
            self.closed_at, self.waiting_at = at, None
        return reopens

    def _ask(self, at: int, channel: str) -> None:
        self.customer_at = at
        if self.closed_at is not None:
            self.closed_at, self.answered, self.human_spoke = None, False, False
            self.episodes += 1
        if self.waiting_at is None:
            self.waiting_at, self.waiting_channel = at, channel

    def _answer(self, at: int) -> None:
        self.human_at, self.human_spoke = at, True
        if self.waiting_at is not None:
            self.waiting_at, self.answered = None, True


def initial_summary(entry: RecordEntry) -> ConversationSummary:
    """Return the summary of a conversation before its first record is added."""
    return ConversationSummary(
        entry.at, ACTORS[entry.role], entry.record_id, entry.channel, entry.subject, entry.at
    )


def merge_summaries(summaries: Iterable[ConversationSummary]) -> ConversationSummary | None:
    """Return the summary of several linked threads from theirs; None if there are none.

    Their records are no longer kept, so a message counts as answered if a staff member spoke after
    it in any of the threads.
    """
    known = sorted(summaries, key=lambda item: (item.last_at, item.opened_record))
    if not known:
        return None
    first = min(known, key=lambda item: (item.opened_at, item.opened_record))
    last = known[-1]
    human = max((item.human_at for item in known if item.human_at is not None), default=None)
    waits = [
        item
        for item in known
        if item.waiting_at is not None and (human is None or item.waiting_at > human)
    ]
    waiting = min(waits, key=lambda item: item.waiting_at or 0, default=None)
    return replace(
        last,
        opened_at=first.opened_at,
        opened_by=first.opened_by,
        opened_record=first.opened_record,
        channel=first.channel,
        subject=first.subject,
        customer_at=max(
            (item.customer_at for item in known if item.customer_at is not None), default=None
        ),
        human_at=human,
        waiting_at=waiting.waiting_at if waiting else None,
        waiting_channel=waiting.waiting_channel if waiting else "",
        answered=any(item.answered for item in known),
        human_spoke=any(item.human_spoke for item in known),
        received_at=max(item.received_at for item in known),
        episodes=1 + sum(item.episodes - 1 for item in known),
    )


def summarize(
    older: ConversationSummary | None, entries: Sequence[RecordEntry]
) -> tuple[ConversationSummary | None, set[str]]:
    """Return the summary of older records and these entries, and the ids of reopening records."""
    if not entries:
        return older, set()
    summary = replace(older) if older else initial_summary(entries[0])
    return summary, {entry.record_id for entry in entries if summary.add(entry)}

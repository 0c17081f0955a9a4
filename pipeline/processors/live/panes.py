"""Panes: what was seen within a short span, per tenant and channel. A hopping window is the sum of
the panes that it covers.

A window of 24 hours that hops every 15 minutes holds each record 96 times; the pane holds it once
(docs/adr/0012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson


@dataclass(frozen=True, slots=True)
class Resolution:
    """A window of `span_s` seconds that hops every `pane_s`; with `samples` its panes remember a
    few records of each label.
    """

    name: str
    pane_s: int
    span_s: int
    samples: bool

    def pane_of(self, at_ms: int) -> int:
        """Return the start of the pane of an instant, in seconds since 1970."""
        second = at_ms // 1000
        return second - second % self.pane_s

    def holds(self, start_s: int, now_ms: int) -> bool:
        """Return whether the window as of now covers a pane: at most its whole span, at least that
        less one hop.
        """
        newest = self.pane_of(now_ms)
        return newest - self.span_s < start_s <= newest

    def is_past(self, start_s: int, now_ms: int) -> bool:
        """Return whether no window from now on covers a pane."""
        return start_s <= self.pane_of(now_ms) - self.span_s


# The windows that operators watch. Each hops by a sixth of a minute, a sixtieth of an hour, a
# ninety-sixth of a day.
MINUTE: Final = Resolution("1m", 10, 60, samples=True)
HOUR: Final = Resolution("1h", 60, 3_600, samples=True)
DAY: Final = Resolution("24h", 900, 86_400, samples=False)
RESOLUTIONS: Final = (MINUTE, HOUR, DAY)
_BY_PANE: Final = {resolution.pane_s: resolution for resolution in RESOLUTIONS}

# One record each of so many customers: over six partitions that is evidence of thirty, and a pane
# stays below a KiB or two.
_SAMPLES: Final = 5


class PaneKey(NamedTuple):
    """Where a pane stands: it counts the records of one partition of one topic, so that their
    offsets tell which are counted.
    """

    partition: int
    topic: str
    pane_s: int
    start_s: int
    tenant: str
    channel: str

    @property
    def resolution(self) -> Resolution:
        """The window that the pane belongs to."""
        return _BY_PANE[self.pane_s]

    def dump(self) -> bytes:
        """Return the key as bytes."""
        return orjson.dumps(["pane", *self])


@dataclass(slots=True)
class Pane:
    """Counts by label, samples of each label (record ids by customer), and the last offset that is
    counted.
    """

    offset: int = -1
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(
        self, offset: int, labels: tuple[str, ...], customer: str, record_id: str, *, sampled: bool
    ) -> None:
        """Count a record, unless it was counted before: a log may give a record again, in order."""
        if offset <= self.offset:
            return
        self.offset = offset
        for label in labels:
            self.counts[label] += 1
            if sampled and len(kept := self.samples.setdefault(label, {})) < _SAMPLES:
                kept.setdefault(customer, record_id)

    def voices(self, label: str) -> int:
        """Return how many customers a label was counted for, where few; all its records where they
        are many.
        """
        customers = len(self.samples.get(label, ()))
        return customers if customers < _SAMPLES else self.counts[label]

    def dump(self) -> bytes:
        """Return the pane as bytes."""
        return orjson.dumps([self.offset, self.counts, self.samples])

    @classmethod
    def load(cls, raw: bytes) -> Pane:
        """Return the pane of bytes."""
        offset, counts, samples = orjson.loads(raw)
        return cls(offset, Counter(counts), samples)


class WaitingKey(NamedTuple):
    """Where a customer who waits stands: one contact point's part in a conversation."""

    partition: int
    topic: str
    part_id: str

    def dump(self) -> bytes:
        """Return the key as bytes."""
        return orjson.dumps(["waiting", *self])


@dataclass(frozen=True, slots=True)
class Waiting:
    """A customer who waits for an answer: since when, and until when one is promised (ms since
    1970, UTC; None: no promise).
    """

    tenant: str
    channel: str
    contact: str
    conversation_id: str
    since_ms: int
    due_ms: int | None

    def dump(self) -> bytes:
        """Return it as bytes."""
        return orjson.dumps(
            [
                self.tenant,
                self.channel,
                self.contact,
                self.conversation_id,
                self.since_ms,
                self.due_ms,
            ]
        )

    @classmethod
    def load(cls, raw: bytes) -> Waiting:
        """Return it of bytes."""
        return cls(*orjson.loads(raw))


def read_key(raw: bytes) -> PaneKey | WaitingKey | None:
    """Return what a key of the state names; None for a kind that this program does not know."""
    kind, *rest = orjson.loads(raw)
    if kind == "pane":
        return PaneKey(*rest)
    return WaitingKey(*rest) if kind == "waiting" else None


def panes_of(at_ms: int, now_ms: int) -> Iterator[tuple[Resolution, int]]:
    """Give the panes that an instant belongs to and that some window from now on covers."""
    for resolution in RESOLUTIONS:
        start = resolution.pane_of(at_ms)
        if not resolution.is_past(start, now_ms):
            yield resolution, start


State = dict[bytes, bytes]
"""What changed, by key; empty bytes: the key is gone."""
Body = dict[str, Any]

"""Panes: counts of a short span of time, by tenant and channel; windows are sums of panes.

Windows of 24 hours that hop every 15 minutes would each count a record, 96 times in all; its pane
counts it once (docs/adr/0012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, NamedTuple

import orjson
from pydantic import Field, TypeAdapter


@dataclass(frozen=True, slots=True)
class Resolution:
    """A window of `span_s` seconds that hops every `pane_s` seconds.

    With `samples` its panes keep a few records of each label.
    """

    name: str
    pane_s: int
    span_s: int
    samples: bool

    def pane_of(self, at_ms: int) -> int:
        """Return the start of an instant's pane, in seconds since 1970.

        >>> HOUR.pane_of(125_000)
        120
        """
        second = at_ms // 1000
        return second - second % self.pane_s

    def covers(self, start_s: int, now_ms: int) -> bool:
        """Return whether the window as of now covers a pane.

        The window contains the newest pane, which is under way, and reaches back one span from its
        end.
        """
        newest = self.pane_of(now_ms)
        return newest - self.span_s < start_s <= newest

    def is_past(self, start_s: int, now_ms: int) -> bool:
        """Return whether neither the window as of now nor any later one covers a pane."""
        return start_s <= self.pane_of(now_ms) - self.span_s


# The windows that operators watch: a minute in steps of 10 s, an hour in minutes, a day in quarters
# of an hour.
MINUTE: Final = Resolution("1m", 10, 60, samples=True)
HOUR: Final = Resolution("1h", 60, 3_600, samples=True)
DAY: Final = Resolution("24h", 900, 86_400, samples=False)
RESOLUTIONS: Final = (MINUTE, HOUR, DAY)
_BY_PANE: Final = {resolution.pane_s: resolution for resolution in RESOLUTIONS}

# One record each of so many customers: over six partitions that is evidence of thirty, and a pane
# stays below a KiB or two.
_MAX_SAMPLES: Final = 5


class PaneKey(NamedTuple):
    """The key of a pane in the state.

    A pane counts the records of one partition of one topic, so that an offset says which records
    are counted.
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
    """Counts by label, samples by label (record ids by customer), and the last counted offset."""

    offset: int = -1
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(
        self, offset: int, labels: tuple[str, ...], customer: str, record_id: str, *, sampled: bool
    ) -> bool:
        """Count a record unless it was counted before; return whether it is counted now.

        A log may be read again, in order.
        """
        if offset <= self.offset:
            return False
        self.offset = offset
        for label in labels:
            self.counts[label] += 1
            if sampled and len(samples := self.samples.setdefault(label, {})) < _MAX_SAMPLES:
                samples.setdefault(customer, record_id)
        return True

    def copy(self) -> Pane:
        """Return a copy that can change by itself."""
        samples = {label: records.copy() for label, records in self.samples.items()}
        return Pane(self.offset, self.counts.copy(), samples)

    def customer_count(self, label: str) -> int:
        """Return the number of customers that have a label, if few; else the number of records."""
        customers = len(self.samples.get(label, ()))
        return customers if customers < _MAX_SAMPLES else self.counts[label]

    def dump(self) -> bytes:
        """Return the pane as bytes."""
        return orjson.dumps([self.offset, self.counts, self.samples])

    @classmethod
    def load(cls, raw: bytes) -> Pane:
        """Return the pane that bytes contain; raises ValueError if they contain none."""
        offset, counts, samples = _PANE.validate_json(raw)
        return cls(offset, Counter(counts), samples)


class WaitingKey(NamedTuple):
    """The key of a waiting customer in the state: one contact point's part of a conversation."""

    partition: int
    topic: str
    part_id: str

    def dump(self) -> bytes:
        """Return the key as bytes."""
        return orjson.dumps(["waiting", *self])


@dataclass(frozen=True, slots=True)
class Waiting:
    """A customer who waits for an answer: since when, and when one is due.

    Instants are in ms since 1970, UTC; `due_ms` is None without a promise.
    """

    tenant: str
    channel: str
    contact: str
    conversation_id: str
    since_ms: int
    due_ms: int | None

    def dump(self) -> bytes:
        """Return the waiting customer as bytes."""
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
        """Return the waiting customer that bytes contain; raises ValueError if they do not."""
        return cls(*_WAITING.validate_json(raw))


def read_key(raw: bytes) -> PaneKey | WaitingKey | None:
    """Return the key that bytes contain; None for a kind that this program does not know.

    Raises ValueError if they are no key.
    """
    kind, *rest = _KEY.validate_json(raw)
    if kind == "pane":
        key = _PANE_KEY.validate_python(tuple(rest))
        return key if key.pane_s in _BY_PANE else None
    return _WAITING_KEY.validate_python(tuple(rest)) if kind == "waiting" else None


# States come from a topic to which others may write, too.
_KEY = TypeAdapter(Annotated[list[Any], Field(min_length=1)])
_PANE = TypeAdapter(tuple[int, dict[str, int], dict[str, dict[str, str]]])
_WAITING = TypeAdapter(tuple[str, str, str, str, int, int | None])
_PANE_KEY = TypeAdapter(PaneKey)
_WAITING_KEY = TypeAdapter(WaitingKey)


def panes_of(at_ms: int, now_ms: int) -> Iterator[tuple[Resolution, int]]:
    """Yield the resolution and start of each pane of an instant that is not past."""
    for resolution in RESOLUTIONS:
        start = resolution.pane_of(at_ms)
        if not resolution.is_past(start, now_ms):
            yield resolution, start


StateChanges = dict[bytes, bytes]
"""What changed, by key; empty bytes remove a key."""

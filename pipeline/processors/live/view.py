"""The view of live: all partitions' panes and waiting customers put together, and asked for windows
as of an instant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pipeline.processors.live.panes import (
    RESOLUTIONS,
    Pane,
    PaneKey,
    Resolution,
    Waiting,
    WaitingKey,
    read_key,
)

# A promise that ends within a quarter of an hour can still be kept by somebody who is told now.
SOON_MS: Final = 15 * 60_000
# Those whose promise breaks first; a longer list is a report, not a screen.
_MOST_DUE: Final = 50

EVERY_CHANNEL: Final = ""


@dataclass(frozen=True, slots=True)
class Window:
    """The counts of one hopping window, of a tenant's channel or, with channel "", of all; instants
    in ms since 1970, UTC.
    """

    tenant: str
    channel: str
    window: str
    from_ms: int
    to_ms: int
    counts: Counter[str]


@dataclass(frozen=True, slots=True)
class Queue:
    """The customers of a tenant's channel who wait for an answer; `soon`: the promise ends within
    15 minutes, `overdue`: it has.
    """

    tenant: str
    channel: str
    waiting: int
    longest_s: float
    soon: int
    overdue: int


@dataclass(frozen=True, slots=True)
class Due:
    """A customer to whom an answer is promised, by when; `overdue`: it is past."""

    tenant: str
    channel: str
    contact: str
    conversation_id: str
    since_ms: int
    due_ms: int
    overdue: bool


@dataclass
class Measured:
    """What a span of panes holds of one tenant over all channels: counts by label, by channel and
    label, and sampled records.

    `voices` count a customer who says the same again and again within a pane as one; they need
    samples.
    """

    counts: Counter[str] = field(default_factory=Counter)
    channels: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    samples: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    voices: Counter[str] = field(default_factory=Counter)

    def add(self, channel: str, pane: Pane) -> None:
        """Take in a pane."""
        self.counts.update(pane.counts)
        self.channels[channel].update(pane.counts)
        for label, records in pane.samples.items():
            self.samples[label].update(records)
            self.voices[label] += pane.voices(label)


class View:
    """Everything that the folds of all partitions hold, as read back from where they keep it."""

    def __init__(self) -> None:
        self._panes: dict[int, dict[int, dict[PaneKey, Pane]]] = {
            r.pane_s: defaultdict(dict) for r in RESOLUTIONS
        }
        self._waiting: dict[WaitingKey, Waiting] = {}

    def apply(self, changes: Iterable[tuple[bytes, bytes]]) -> None:
        """Take in what changed: values by key, empty ones are gone."""
        for raw, value in changes:
            key = read_key(raw)
            if isinstance(key, PaneKey) and key.pane_s in self._panes:
                starts = self._panes[key.pane_s]
                if value:
                    starts[key.start_s][key] = Pane.load(value)
                else:
                    starts.get(key.start_s, {}).pop(key, None)
            elif isinstance(key, WaitingKey):
                if value:
                    self._waiting[key] = Waiting.load(value)
                else:
                    self._waiting.pop(key, None)

    def forget(self, now_ms: int) -> list[PaneKey]:
        """Let go of the panes that no window from now on covers, and return their keys."""
        gone: list[PaneKey] = []
        for resolution in RESOLUTIONS:
            starts = self._panes[resolution.pane_s]
            for start in [start for start in starts if resolution.is_past(start, now_ms)]:
                gone.extend(starts.pop(start))
        return gone

    def newest_ms(self) -> int | None:
        """Return the end of the newest pane, in ms since 1970; None where there is none."""
        return max(
            (
                (start + pane_s) * 1000 - 1
                for pane_s, starts in self._panes.items()
                for start, panes in starts.items()
                if panes
            ),
            default=None,
        )

    def _covered(self, resolution: Resolution, now_ms: int) -> Iterator[tuple[PaneKey, Pane]]:
        for start, panes in self._panes[resolution.pane_s].items():
            if resolution.holds(start, now_ms):
                yield from panes.items()

    def windows(self, now_ms: int) -> list[Window]:
        """Return every window as of an instant, by tenant, channel ("" first: all of them) and
        span; empty ones are left out.
        """
        found: list[Window] = []
        for resolution in RESOLUTIONS:
            sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
            for key, pane in self._covered(resolution, now_ms):
                sums[key.tenant, EVERY_CHANNEL].update(pane.counts)
                sums[key.tenant, key.channel].update(pane.counts)
            end = (resolution.pane_of(now_ms) + resolution.pane_s) * 1000
            for (tenant, channel), counts in sums.items():
                found.append(
                    Window(
                        tenant,
                        channel,
                        resolution.name,
                        end - resolution.span_s * 1000,
                        end,
                        counts,
                    )
                )
        order = {resolution.name: place for place, resolution in enumerate(RESOLUTIONS)}
        return sorted(found, key=lambda one: (one.tenant, one.channel, order[one.window]))

    def measured(
        self, resolution: Resolution, now_ms: int, span_s: int | None = None
    ) -> dict[str, Measured]:
        """Return what the window as of an instant holds by tenant, or its last `span_s` seconds (to
        the pane).
        """
        oldest = resolution.pane_of(now_ms) - (span_s or resolution.span_s)
        sums: dict[str, Measured] = defaultdict(Measured)
        for key, pane in self._covered(resolution, now_ms):
            if key.start_s > oldest:
                sums[key.tenant].add(key.channel, pane)
        return sums

    def pane_totals(
        self, resolution: Resolution, now_ms: int
    ) -> dict[str, dict[int, Counter[str]]]:
        """Return the counts over all channels by tenant and pane start, of the panes that the
        window as of an instant covers.
        """
        sums: dict[str, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for key, pane in self._covered(resolution, now_ms):
            sums[key.tenant][key.start_s].update(pane.counts)
        return sums

    def queues(self, now_ms: int) -> list[Queue]:
        """Return who waits as of an instant, by tenant and channel."""
        lines: dict[tuple[str, str], list[Waiting]] = defaultdict(list)
        for one in self._waiting.values():
            if one.since_ms <= now_ms:
                lines[one.tenant, one.channel].append(one)
        return [
            _queue(tenant, channel, line, now_ms)
            for (tenant, channel), line in sorted(lines.items())
        ]

    def due(self, now_ms: int) -> list[Due]:
        """Return the customers whose promise has broken or breaks within 15 minutes, those to break
        next first, then the overdue.
        """
        near = [
            Due(
                one.tenant,
                one.channel,
                one.contact,
                one.conversation_id,
                one.since_ms,
                one.due_ms,
                one.due_ms <= now_ms,
            )
            for one in self._waiting.values()
            if one.due_ms is not None and one.since_ms <= now_ms and one.due_ms <= now_ms + SOON_MS
        ]
        near.sort(
            key=lambda one: (
                one.overdue,
                -one.due_ms if one.overdue else one.due_ms,
                one.conversation_id,
            )
        )
        return near[:_MOST_DUE]


def _queue(tenant: str, channel: str, line: list[Waiting], now_ms: int) -> Queue:
    dues = [one.due_ms for one in line if one.due_ms is not None]
    overdue = sum(due <= now_ms for due in dues)
    soon = sum(now_ms < due <= now_ms + SOON_MS for due in dues)
    longest = max(now_ms - one.since_ms for one in line) / 1000
    return Queue(tenant, channel, len(line), longest, soon, overdue)

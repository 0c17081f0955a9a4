"""The view of live: the panes and waiting customers of all partitions, queried as of an instant."""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

# Somebody who hears of it now can still keep a promise that ends within a quarter of an hour.
SOON_MS: Final = 15 * 60_000
# The customers whose promise breaks first; a longer list is a report, not a screen.
_MAX_DUE: Final = 50

EVERY_CHANNEL: Final = ""


@dataclass(frozen=True, slots=True)
class Window:
    """The counts of one hopping window of a tenant's channel; channel "" stands for all channels.

    Instants are in ms since 1970, UTC.
    """

    tenant: str
    channel: str
    window: str
    from_ms: int
    to_ms: int
    counts: Counter[str]


@dataclass(frozen=True, slots=True)
class WaitingQueue:
    """The customers of a tenant's channel who wait for an answer.

    `soon` counts those whose promise ends within 15 minutes, `overdue` those whose promise ended.
    """

    tenant: str
    channel: str
    waiting: int
    longest_s: float
    soon: int
    overdue: int


@dataclass(frozen=True, slots=True)
class DueAnswer:
    """A customer to whom an answer is promised, and when it is due; `overdue`: that is past."""

    tenant: str
    channel: str
    contact: str
    conversation_id: str
    since_ms: int
    due_ms: int
    overdue: bool


@dataclass
class SpanCounts:
    """One tenant's counts over a span of panes, by label and by channel, and sampled records.

    `customers` counts a customer who repeats a label within a pane once; it needs samples.
    """

    counts: Counter[str] = field(default_factory=Counter)
    channels: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    samples: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    customers: Counter[str] = field(default_factory=Counter)

    def add(self, channel: str, pane: Pane) -> None:
        """Add a pane's counts."""
        self.counts.update(pane.counts)
        self.channels[channel].update(pane.counts)
        for label, records in pane.samples.items():
            self.samples[label].update(records)
            self.customers[label] += pane.customer_count(label)


class LiveView:
    """The state of live of all partitions."""

    def __init__(self) -> None:
        self._panes: dict[int, dict[int, dict[PaneKey, Pane]]] = {
            r.pane_s: defaultdict(dict) for r in RESOLUTIONS
        }
        self._waiting: dict[WaitingKey, Waiting] = {}

    def apply(self, changes: Iterable[tuple[bytes, bytes]]) -> None:
        """Apply changes of state, as pairs of key and value; an empty value removes its key.

        What is no state is left out.
        """
        for raw, value in changes:
            try:
                self._apply(raw, value)
            except ValueError as error:
                logger.warning("Key %r of live's state is left out: %s", raw[:80], error)

    def _apply(self, raw: bytes, value: bytes) -> None:
        key = read_key(raw)
        if isinstance(key, PaneKey):
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

    def evict(self, now_ms: int) -> list[PaneKey]:
        """Remove the panes that no window from now on covers; return their keys."""
        evicted: list[PaneKey] = []
        for resolution in RESOLUTIONS:
            starts = self._panes[resolution.pane_s]
            for start in [start for start in starts if resolution.is_past(start, now_ms)]:
                evicted.extend(starts.pop(start))
        return evicted

    def newest_ms(self) -> int | None:
        """Return the end of the newest pane, in ms since 1970; None if there is no pane."""
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
            if resolution.covers(start, now_ms):
                yield from panes.items()

    def windows(self, now_ms: int) -> list[Window]:
        """Return every window as of an instant that has counts, sorted by tenant, channel and span.

        The windows over all channels (channel "") come first.
        """
        windows: list[Window] = []
        for resolution in RESOLUTIONS:
            sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
            for key, pane in self._covered(resolution, now_ms):
                sums[key.tenant, EVERY_CHANNEL].update(pane.counts)
                sums[key.tenant, key.channel].update(pane.counts)
            end = (resolution.pane_of(now_ms) + resolution.pane_s) * 1000
            for (tenant, channel), counts in sums.items():
                windows.append(
                    Window(
                        tenant,
                        channel,
                        resolution.name,
                        end - resolution.span_s * 1000,
                        end,
                        counts,
                    )
                )
        order = {resolution.name: index for index, resolution in enumerate(RESOLUTIONS)}
        return sorted(windows, key=lambda item: (item.tenant, item.channel, order[item.window]))

    def span_counts(
        self, resolution: Resolution, now_ms: int, span_s: int | None = None
    ) -> dict[str, SpanCounts]:
        """Return a window's counts as of an instant, by tenant.

        With `span_s` only its last seconds count, rounded to panes.
        """
        oldest = resolution.pane_of(now_ms) - (span_s or resolution.span_s)
        sums: dict[str, SpanCounts] = defaultdict(SpanCounts)
        for key, pane in self._covered(resolution, now_ms):
            if key.start_s > oldest:
                sums[key.tenant].add(key.channel, pane)
        return sums

    def pane_totals(
        self, resolution: Resolution, now_ms: int
    ) -> dict[str, dict[int, Counter[str]]]:
        """Return the counts of each pane in a window as of an instant, by tenant and pane start.

        All channels are added together.
        """
        sums: dict[str, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for key, pane in self._covered(resolution, now_ms):
            sums[key.tenant][key.start_s].update(pane.counts)
        return sums

    def queues(self, now_ms: int) -> list[WaitingQueue]:
        """Return the customers who wait as of an instant, counted by tenant and channel."""
        queues: dict[tuple[str, str], list[Waiting]] = defaultdict(list)
        for item in self._waiting.values():
            if item.since_ms <= now_ms:
                queues[item.tenant, item.channel].append(item)
        return [
            _queue(tenant, channel, waiting, now_ms)
            for (tenant, channel), waiting in sorted(queues.items())
        ]

    def due(self, now_ms: int) -> list[DueAnswer]:
        """Return the customers whose answer is due within 15 minutes or overdue; at most 50.

        Those that are due next come first, then the overdue.
        """
        near = [
            DueAnswer(
                item.tenant,
                item.channel,
                item.contact,
                item.conversation_id,
                item.since_ms,
                item.due_ms,
                item.due_ms <= now_ms,
            )
            for item in self._waiting.values()
            if item.due_ms is not None
            and item.since_ms <= now_ms
            and item.due_ms <= now_ms + SOON_MS
        ]
        near.sort(
            key=lambda item: (
                item.overdue,
                -item.due_ms if item.overdue else item.due_ms,
                item.conversation_id,
            )
        )
        return near[:_MAX_DUE]


def _queue(tenant: str, channel: str, waiting: list[Waiting], now_ms: int) -> WaitingQueue:
    dues = [item.due_ms for item in waiting if item.due_ms is not None]
    overdue = sum(due <= now_ms for due in dues)
    soon = sum(now_ms < due <= now_ms + SOON_MS for due in dues)
    longest = max(now_ms - item.since_ms for item in waiting) / 1000
    return WaitingQueue(tenant, channel, len(waiting), longest, soon, overdue)

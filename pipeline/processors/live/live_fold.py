"""The fold of live: sightings of one partition of one topic, in order, into its panes and its
waiting customers.

Each pane keeps the offset of the last record that it counts. So a host may give records again after
a crash, in order, and every count stays exact, however far behind the state its offsets were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pipeline.processors.live.observations import Observation, WaitingUpdate
from pipeline.processors.live.panes import (
    Pane,
    PaneKey,
    StateChanges,
    Waiting,
    WaitingKey,
    panes_of,
)

ReadStates = Callable[[Sequence[bytes]], Mapping[bytes, bytes]]
"""Returns the state of those keys that have one."""

# Who has waited for longer than a week is no news of today; the history has them all.
WAITING_RETENTION_MS: Final = 7 * 86_400_000
# A clock ahead of ours by more than the largest window would leave a pane that no window ever
# reaches.
_AHEAD_MS: Final = 86_400_000


def fold(
    partition: int,
    topic: str,
    batch: Sequence[tuple[int, Observation | WaitingUpdate]],
    read: ReadStates,
    now_ms: int,
) -> StateChanges:
    """Return what a batch of offsets and sightings changes in the state of their partition."""
    changed: StateChanges = {}
    touched: dict[PaneKey, list[tuple[int, Observation]]] = {}
    for offset, seen in batch:
        if isinstance(seen, WaitingUpdate):
            changed[WaitingKey(partition, topic, seen.part_id).dump()] = _kept(seen.waiting, now_ms)
        elif seen.at_ms <= now_ms + _AHEAD_MS:
            for resolution, start in panes_of(seen.at_ms, now_ms):
                key = PaneKey(partition, topic, resolution.pane_s, start, seen.tenant, seen.channel)
                touched.setdefault(key, []).append((offset, seen))
    keys = {key: key.dump() for key in touched}
    stored = read(list(keys.values())) if keys else {}
    for key, sightings in touched.items():
        raw = stored.get(keys[key])
        pane = Pane.load(raw) if raw else Pane()
        before = pane.offset
        for offset, seen in sightings:
            pane.add(
                offset, seen.labels, seen.customer, seen.record_id, sampled=key.resolution.samples
            )
        if pane.offset != before:
            changed[keys[key]] = pane.dump()
    return changed


def _kept(waiting: Waiting | None, now_ms: int) -> bytes:
    if waiting is None or waiting.since_ms < now_ms - WAITING_RETENTION_MS:
        return b""
    return waiting.dump()

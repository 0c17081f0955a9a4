"""The fold of live: observations into the panes they belong to, and who waits for an answer.

One record changes several states: a pane of each resolution, or the entry of a waiting customer.
`state_updates` routes it to the keys of its states; `LiveFold` folds the updates of one key. A pane
keeps the offset of the last record that it counts: a host may read records again, in order, and
counts stay exact, however far its committed offsets are behind the states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.outcomes import Context, Drop, Emit, Outcome
from pipeline.processors.converse.business_hours import to_ms
from pipeline.processors.live.observations import Observation, WaitingUpdate
from pipeline.processors.live.panes import (
    Pane,
    PaneKey,
    Waiting,
    WaitingKey,
    panes_of,
)
from schemas.types import Contract

# A customer who has waited for longer than a week is no news of today; the history has them all.
WAITING_RETENTION_MS: Final = 7 * 86_400_000
# A record from a clock that is further ahead than the largest window would create a pane that no
# window reaches for days.
_MAX_AHEAD_MS: Final = 86_400_000

_COUNTED: Final[Emit[Contract]] = Emit(())
_UNCHANGED: Final = Drop("unchanged")


class PaneUpdate(NamedTuple):
    """One observation to count in one pane; `sampled` says whether the pane keeps samples."""

    offset: int
    observation: Observation
    sampled: bool


LiveUpdate = PaneUpdate | WaitingUpdate
"""An update of one state: of a pane or of a waiting customer."""
LiveValue = Pane | Waiting | None
"""One state: a pane or a waiting customer; None for a new key, and after the customer was answered.
"""


@dataclass(frozen=True, slots=True)
class LiveFold:
    """The fold over the updates of one key; it emits nothing, for the states are what is read."""

    name: str = "live"

    def empty(self) -> LiveValue:
        """Return the state of a new key."""
        return None

    def load(self, raw: bytes) -> LiveValue:
        """Return the state that bytes contain; None for empty bytes."""
        if not raw:
            return None
        # A waiting customer's array starts with a string, the tenant; a pane's with its offset.
        return Waiting.load(raw) if raw.startswith(b'["') else Pane.load(raw)

    def dump(self, state: LiveValue) -> bytes:
        """Return a state's bytes; empty bytes remove the key."""
        return b"" if state is None else state.dump()

    def __call__(
        self, state: LiveValue, batch: Sequence[LiveUpdate], ctx: Context
    ) -> tuple[LiveValue, Sequence[Outcome[Contract]]]:
        """Fold the updates of one key; an update that changes nothing is dropped."""
        outcomes: list[Outcome[Contract]] = []
        pane: Pane | None = None
        for update in batch:
            if isinstance(update, PaneUpdate):
                if pane is None:
                    state = pane = state.copy() if isinstance(state, Pane) else Pane()
                outcomes.append(_COUNTED if _count(pane, update) else _UNCHANGED)
            else:
                waiting = _retained(update.waiting, to_ms(ctx.now))
                outcomes.append(_UNCHANGED if waiting == state else _COUNTED)
                state = waiting
        return state, outcomes


def _count(pane: Pane, update: PaneUpdate) -> bool:
    observation = update.observation
    return pane.add(
        update.offset,
        observation.labels,
        observation.customer,
        observation.record_id,
        sampled=update.sampled,
    )


def _retained(waiting: Waiting | None, now_ms: int) -> Waiting | None:
    if waiting is None or waiting.since_ms < now_ms - WAITING_RETENTION_MS:
        return None
    return waiting


def state_updates(
    partition: int, topic: str, offset: int, item: Observation | WaitingUpdate, now_ms: int
) -> Iterator[tuple[PaneKey | WaitingKey, LiveUpdate]]:
    """Yield the keys of the states that a record changes, each with its update."""
    if isinstance(item, WaitingUpdate):
        yield WaitingKey(partition, topic, item.part_id), item
    elif item.at_ms <= now_ms + _MAX_AHEAD_MS:
        for resolution, start in panes_of(item.at_ms, now_ms):
            key = PaneKey(partition, topic, resolution.pane_s, start, item.tenant, item.channel)
            yield key, PaneUpdate(offset, item, resolution.samples)

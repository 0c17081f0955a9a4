"""How a host runs a fold: the states of a batch's keys are read, folded, and written with the
outputs, as messages like these.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.log.port import LogRecord, Message, States, again
from pipeline.outcomes import (
    Context,
    Drop,
    Fold,
    Models,
    NoModels,
    Outcome,
    Reject,
    StepContractError,
)
from pipeline.runtime.runner import Clock, ErrorShare, outcome_messages, step_error, utc_now
from schemas.types import Contract

logger = logging.getLogger(__name__)
State = TypeVar("State")
_MOVED = Drop("moved")
In = TypeVar("In")


@dataclass
class FoldHandler(Generic[State, In]):
    """Runs a fold over records of the log, key by key; states go to the compacted topic that
    `state_topics` names for a topic.

    A state lives on the partition of its records, so whoever reads the one may read the other. A
    record that lies elsewhere, since partitions were added, is put on its topic again, where its
    key lies now. The records of a topic without a state topic are folded from an empty state, which
    is forgotten.
    """

    name: str
    topics: tuple[str, ...]
    decode: Callable[[LogRecord], In | Reject]
    fold: Fold[State, In, Contract]
    state_topics: Mapping[str, str]
    states: States
    models: Callable[[], Models] = NoModels
    clock: Clock = utc_now
    counts: Counter[str] = field(default_factory=Counter)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the outputs, the dead letters, and the states that changed; see
        `Handler.handle`.
        """
        ctx = Context(self.clock(), self.models())
        outcomes: dict[int, Outcome[Contract]] = {}
        lanes: dict[tuple[str, int], dict[bytes, list[tuple[int, In]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for place, record in enumerate(records):
            item = self.decode(record)
            if isinstance(item, Reject):
                outcomes[place] = item
            else:
                lanes[record.topic, record.partition][record.key or b""].append((place, item))
        moved = self._moved(lanes, outcomes)
        errors = ErrorShare(len(records))
        kept: list[Message] = []
        for (topic, partition), keys in lanes.items():
            kept.extend(self._folded(topic, partition, keys, outcomes, ctx, errors))
        messages: list[Message] = []
        for place, record in enumerate(records):
            messages.extend(
                outcome_messages(self.name, record, outcomes[place], ctx.now, self.counts)
            )
        return messages + [again(records[place]) for place in moved] + kept

    def _moved(
        self,
        lanes: Mapping[tuple[str, int], dict[bytes, list[tuple[int, In]]]],
        outcomes: dict[int, Outcome[Contract]],
    ) -> list[int]:
        """Take out of the lanes what does not lie where its key does; return the places of those
        records, in their order.
        """
        moved: list[int] = []
        for (topic, partition), keys in lanes.items():
            state_topic = self.state_topics.get(topic)
            if state_topic is None:
                continue
            for key in [
                key for key in keys if key and self.states.home(state_topic, key) != partition
            ]:
                moved.extend(place for place, _ in keys.pop(key))
        outcomes.update(dict.fromkeys(moved, _MOVED))
        return sorted(moved)

    def _folded(
        self,
        topic: str,
        partition: int,
        keys: Mapping[bytes, list[tuple[int, In]]],
        outcomes: dict[int, Outcome[Contract]],
        ctx: Context,
        errors: ErrorShare,
    ) -> list[Message]:
        """Fold the records of one partition; add their outcomes and return the states that
        changed.
        """
        state_topic = self.state_topics.get(topic)
        stored = self.states.states(state_topic, partition, list(keys)) if state_topic else {}
        changed: list[Message] = []
        for key, placed in keys.items():
            before = stored.get(key, b"")
            state = self.fold.load(before) if before else self.fold.empty()
            state, made = self._guarded(state, [item for _, item in placed], ctx, errors)
            outcomes.update(zip((place for place, _ in placed), made, strict=True))
            after = self.fold.dump(state) if state_topic else b""
            if state_topic and after != before:
                changed.append(Message(state_topic, key, after, partition=partition))
        return changed

    def _guarded(
        self, state: State, batch: Sequence[In], ctx: Context, errors: ErrorShare
    ) -> tuple[State, Sequence[Outcome[Contract]]]:
        """Fold a key's records together, or one by one where that raises; one that raises by itself
        leaves the state as it was.
        """
        try:
            return self._checked(state, batch, ctx)
        except (MemoryError, StepContractError):
            raise
        except Exception as error:
            if len(batch) == 1:
                errors.count(error)
                return state, [step_error(error)]
        outcomes: list[Outcome[Contract]] = []
        for item in batch:
            state, made = self._guarded(state, [item], ctx, errors)
            outcomes.extend(made)
        return state, outcomes

    def _checked(
        self, state: State, batch: Sequence[In], ctx: Context
    ) -> tuple[State, Sequence[Outcome[Contract]]]:
        after, outcomes = self.fold(state, batch, ctx)
        if len(outcomes) != len(batch):
            raise StepContractError(
                f"fold {self.fold.name} gave {len(outcomes)} outcomes for {len(batch)} inputs"
            )
        return after, outcomes

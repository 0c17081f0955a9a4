"""Runs a fold over a batch of records: reads the states of its keys, returns the changed ones."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from pipeline.cpu_limit import limit_each
from pipeline.log.clock import Clock, utc_now
from pipeline.log.port import LogRecord, Message, StateStore, TopicPartition, republish_message
from pipeline.outcomes import (
    Context,
    Drop,
    Emit,
    Fold,
    Models,
    NoModels,
    Outcome,
    Reject,
    StepContractError,
)
from pipeline.runtime.runner import ErrorLimit, outcome_messages, step_error_rejection
from schemas.types import Contract

logger = logging.getLogger(__name__)
State = TypeVar("State")
Item = TypeVar("Item")
In = TypeVar("In")
_MOVED = Drop("moved")

# The updates of a batch by partition and state key, each with the index of its record.
_Updates = dict[TopicPartition, dict[bytes, list[tuple[int, In]]]]


@dataclass
class FoldHandler(Generic[State, Item, In]):
    """Runs a fold over log records by key; `state_topics` maps a topic to its state topic.

    `route` returns the state keys that a record updates, each with its update. Without it a record
    updates the state of its own key, and after partitions were added, a record on another partition
    than its key's is republished.

    A state lies on the partition with the number of its records' partition, so one worker owns
    both. Records of a topic without a state topic are folded from an empty state, which is not
    stored.
    """

    name: str
    topics: tuple[str, ...]
    decode: Callable[[LogRecord], Item | Drop | Reject]
    fold: Fold[State, In, Contract]
    state_topics: Mapping[str, str]
    states: StateStore
    models: Callable[[], Models] = NoModels
    clock: Clock = utc_now
    counts: Counter[str] = field(default_factory=Counter)
    route: Callable[[LogRecord, Item, Context], Iterable[tuple[bytes, In]]] | None = None

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the outputs, the dead letters and the changed states; see `Handler.handle`."""
        ctx = Context(self.clock(), self.models())
        outcomes: dict[int, Outcome[Contract]] = {}
        updates = self._updates(records, ctx, outcomes)
        moved = self._take_moved(updates, outcomes) if self.route is None else []
        errors = ErrorLimit(len(records))
        states: list[Message] = []
        for (topic, partition), keys in updates.items():
            states.extend(self._fold_partition(topic, partition, keys, outcomes, ctx, errors))
        messages: list[Message] = []
        for index, record in enumerate(records):
            messages.extend(
                outcome_messages(self.name, record, outcomes[index], ctx.now, self.counts)
            )
        return messages + [republish_message(records[index]) for index in moved] + states

    def _updates(
        self,
        records: Sequence[LogRecord],
        ctx: Context,
        outcomes: dict[int, Outcome[Contract]],
    ) -> _Updates[In]:
        """Decode and route a batch; the outcome of a record without updates is added at once."""
        updates: _Updates[In] = defaultdict(lambda: defaultdict(list))
        for index, record in enumerate(limit_each(records)):
            item = self.decode(record)
            if isinstance(item, (Drop, Reject)):
                outcomes[index] = item
                continue
            keys = updates[record.topic, record.partition]
            if self.route is None:
                keys[record.key or b""].append((index, cast(In, item)))
                continue
            # A redelivered record is counted as emitted, too, though it changes no state.
            outcomes[index] = Emit(())
            for key, update in self.route(record, item, ctx):
                keys[key].append((index, update))
        return updates

    def _take_moved(
        self, updates: _Updates[In], outcomes: dict[int, Outcome[Contract]]
    ) -> list[int]:
        """Remove the records that lie on another partition than their key's; return indices."""
        moved: list[int] = []
        for (topic, partition), keys in updates.items():
            state_topic = self.state_topics.get(topic)
            if state_topic is None:
                continue
            for key in [
                key
                for key in keys
                if key and self.states.state_partition(state_topic, key) != partition
            ]:
                moved.extend(index for index, _ in keys.pop(key))
        outcomes.update(dict.fromkeys(moved, _MOVED))
        return sorted(moved)

    def _fold_partition(
        self,
        topic: str,
        partition: int,
        keys: Mapping[bytes, list[tuple[int, In]]],
        outcomes: dict[int, Outcome[Contract]],
        ctx: Context,
        errors: ErrorLimit,
    ) -> list[Message]:
        """Fold the records of one partition; add their outcomes and return the changed states."""
        state_topic = self.state_topics.get(topic)
        stored = self.states.read_states(state_topic, partition, list(keys)) if state_topic else {}
        changed: list[Message] = []
        for key, items in limit_each(keys.items()):
            before = stored.get(key, b"")
            state = self.fold.load(before) if before else self.fold.empty()
            state, results = self._fold(state, [item for _, item in items], ctx, errors)
            for (index, _), result in zip(items, results, strict=True):
                outcomes[index] = _merge(outcomes.get(index), result)
            after = self.fold.dump(state) if state_topic else b""
            if state_topic and after != before:
                changed.append(Message(state_topic, key, after, partition=partition))
        return changed

    def _fold(
        self, state: State, batch: Sequence[In], ctx: Context, errors: ErrorLimit
    ) -> tuple[State, Sequence[Outcome[Contract]]]:
        """Fold the records of a key together, or one by one if that raises.

        A record that raises by itself is rejected and leaves the state unchanged.
        """
        try:
            return self._run_checked(state, batch, ctx)
        except (MemoryError, StepContractError):
            raise
        except Exception as error:
            if len(batch) == 1:
                errors.count(error)
                return state, [step_error_rejection(error)]
        outcomes: list[Outcome[Contract]] = []
        for item in batch:
            state, results = self._fold(state, [item], ctx, errors)
            outcomes.extend(results)
        return state, outcomes

    def _run_checked(
        self, state: State, batch: Sequence[In], ctx: Context
    ) -> tuple[State, Sequence[Outcome[Contract]]]:
        after, outcomes = self.fold(state, batch, ctx)
        if len(outcomes) != len(batch):
            raise StepContractError(
                f"fold {self.fold.name} returned {len(outcomes)} outcomes for {len(batch)} inputs"
            )
        return after, outcomes


def _merge(before: Outcome[Contract] | None, result: Outcome[Contract]) -> Outcome[Contract]:
    """Return the outcome of a record after one more of its updates was folded."""
    if before is None or isinstance(result, Reject):
        return result
    if isinstance(before, Emit) and isinstance(result, Emit):
        return Emit((*before.outputs, *result.outputs))
    return before

"""Runs a fold over a batch of records: reads the states of its keys, returns the changed ones."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from pipeline.runtime.record_guard import (
    ErrorLimit,
    attempt,
    error_rejection,
    guard_decode,
    output_messages,
)
from pipeline.runtime.runner import count_outcome
from schemas.dead_letters import RejectCode
from schemas.types import Contract

logger = logging.getLogger(__name__)
State = TypeVar("State")
Item = TypeVar("Item")
In = TypeVar("In")
_MOVED = Drop("moved")
# Our own keys have 36 bytes. A key becomes the key of a state, and Kafka takes messages of a MiB
# with key and value.
_MAX_KEY_BYTES = 4 * 1024

# The updates of a batch by partition and state key, each with the index of its record.
_Updates = dict[TopicPartition, dict[bytes, list[tuple[int, In]]]]


@dataclass(slots=True)
class _Batch:
    """A batch in the making: the outcome and the output messages of each record, by its index."""

    records: Sequence[LogRecord]
    ctx: Context
    errors: ErrorLimit
    outcomes: dict[int, Outcome[Contract]] = field(default_factory=dict)
    outputs: dict[int, list[Message]] = field(default_factory=lambda: defaultdict(list))

    def add(self, index: int, outcome: Outcome[Contract], messages: Sequence[Message] = ()) -> None:
        """Add the outcome of one more update of a record; a rejection outweighs the others."""
        before = self.outcomes.get(index)
        if before is None or isinstance(outcome, Reject):
            self.outcomes[index] = outcome
        self.outputs[index] += messages


@dataclass
class FoldHandler(Generic[State, Item, In]):
    """Runs a fold over log records by key; `state_topics` maps a topic to its state topic.

    `route` returns the state keys that a record updates, each with its update. Without it a record
    updates the state of its own key, and after partitions were added, a record on another partition
    than its key's is republished.

    A state lies on the partition with the number of its records' partition, so one worker owns
    both. Records of a topic without a state topic are folded from an empty state, which is not
    stored. Of a state that cannot be loaded nothing is changed: its records are rejected, and can
    be replayed after the state was repaired. `samples` returns records that a sound release folds.
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
    samples: Callable[[], Sequence[LogRecord]] | None = None

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the outputs, the dead letters and the changed states; see `Handler.handle`."""
        ctx = Context(self.clock(), self.models())
        batch = _Batch(records, ctx, ErrorLimit(len(records), self._trial))
        updates = self._updates(batch)
        moved = self._take_moved(updates, batch) if self.route is None else []
        states: list[Message] = []
        for (topic, partition), keys in updates.items():
            states.extend(self._fold_partition(topic, partition, keys, batch))
        messages: list[Message] = []
        for index, record in enumerate(records):
            outcome = batch.outcomes[index]
            messages += count_outcome(self.name, record, outcome, ctx.now, self.counts)
            messages += batch.outputs[index]
        return messages + [republish_message(records[index]) for index in moved] + states

    def _updates(self, batch: _Batch) -> _Updates[In]:
        """Decode and route a batch; the outcome of a record without updates is added at once."""
        updates: _Updates[In] = defaultdict(lambda: defaultdict(list))
        for index, record in enumerate(limit_each(batch.records)):
            item = guard_decode(self._decode_with_key, record)
            if isinstance(item, (Drop, Reject)):
                batch.add(index, item)
                continue
            keys = updates[record.topic, record.partition]
            if self.route is None:
                keys[record.key or b""].append((index, cast(In, item)))
                continue
            routed = attempt(partial(self._routed, record, item, batch.ctx))
            if isinstance(routed, Exception):
                batch.errors.count(routed)
                batch.add(index, error_rejection(routed))
                continue
            # A redelivered record is counted as emitted, too, though it changes no state.
            batch.add(index, Emit(()))
            for key, update in routed:
                keys[key].append((index, update))
        return updates

    def _decode_with_key(self, record: LogRecord) -> Item | Drop | Reject:
        if self.route is None and record.topic in self.state_topics:
            size = len(record.key or b"")
            if not 0 < size <= _MAX_KEY_BYTES:
                return Reject(
                    RejectCode.SCHEMA_VALUE,
                    f"key: it has {size} bytes; records of {record.topic} need a key of 1 to"
                    f" {_MAX_KEY_BYTES} bytes, by which they are folded",
                    "decode",
                )
        return self.decode(record)

    def _routed(self, record: LogRecord, item: Item, ctx: Context) -> list[tuple[bytes, In]]:
        assert self.route is not None
        return list(self.route(record, item, ctx))

    def _take_moved(self, updates: _Updates[In], batch: _Batch) -> list[int]:
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
        for index in moved:
            batch.add(index, _MOVED)
        return sorted(moved)

    def _fold_partition(
        self,
        topic: str,
        partition: int,
        keys: Mapping[bytes, list[tuple[int, In]]],
        batch: _Batch,
    ) -> list[Message]:
        """Fold the records of one partition; add their outcomes and return the changed states."""
        state_topic = self.state_topics.get(topic)
        stored = self.states.read_states(state_topic, partition, list(keys)) if state_topic else {}
        changed: list[Message] = []
        for key, items in limit_each(keys.items()):
            before = stored.get(key, b"")
            state = self._load(before)
            if isinstance(state, Exception):
                self._reject_unreadable(state, str(state_topic), partition, key, items, batch)
                continue
            after = self._fold(state, before, items, batch)[1]
            if state_topic and after != before:
                changed.append(Message(state_topic, key, after, partition=partition))
        return changed

    def _load(self, raw: bytes) -> State | Exception:
        return attempt(lambda: self.fold.load(raw) if raw else self.fold.empty())

    def _reject_unreadable(
        self,
        error: Exception,
        state_topic: str,
        partition: int,
        key: bytes,
        items: Sequence[tuple[int, In]],
        batch: _Batch,
    ) -> None:
        name = f"{state_topic}/{partition}, key {key[:80]!r}"
        logger.error("The state of %s cannot be loaded, its records are rejected: %r", name, error)
        rejection = Reject(
            RejectCode.STATE_UNREADABLE,
            f"the state at {name} cannot be loaded ({error}): repair or remove it as the runbook"
            " says, then replay this record",
            self.fold.name,
        )
        for index, _ in items:
            batch.add(index, rejection)

    def _fold(
        self, state: State, raw: bytes, items: Sequence[tuple[int, In]], batch: _Batch
    ) -> tuple[State, bytes]:
        """Fold the records of a key together, or one by one if that raises.

        Return the state and its bytes. A record that raises by itself is rejected and leaves the
        state unchanged.
        """
        folded = attempt(lambda: self._fold_checked(state, items, batch))
        if not isinstance(folded, Exception):
            state, raw, results = folded
            for (index, _), (outcome, messages) in zip(items, results, strict=True):
                batch.add(index, outcome, messages)
        elif len(items) == 1:
            batch.errors.count(folded)
            batch.add(items[0][0], error_rejection(folded))
        else:
            for item in items:
                state, raw = self._fold(state, raw, [item], batch)
        return state, raw

    def _fold_checked(
        self, state: State, items: Sequence[tuple[int, In]], batch: _Batch
    ) -> tuple[State, bytes, list[tuple[Outcome[Contract], list[Message]]]]:
        """Return the new state, its bytes, and the outcome and messages of each record.

        What cannot be written raises here, before anything of it is kept.
        """
        after, outcomes = self.fold(state, [item for _, item in items], batch.ctx)
        if len(outcomes) != len(items):
            raise StepContractError(
                f"fold {self.fold.name} returned {len(outcomes)} outcomes for {len(items)} inputs"
            )
        results = [
            (outcome, output_messages(batch.records[index], outcome))
            for (index, _), outcome in zip(items, outcomes, strict=True)
        ]
        return after, self.fold.dump(after), results

    def _trial(self, error: Exception) -> None:
        """Fold the samples from empty states, and write what comes of it; raises if that fails."""
        if self.samples is None:
            raise error
        records = self.samples()
        ctx = Context(self.clock(), self.models())
        batch = _Batch(records, ctx, ErrorLimit(0, self._trial))
        for index, record in enumerate(records):
            item = self.decode(record)
            if isinstance(item, Reject):
                raise ValueError(f"the sample {record.topic} was rejected: {item.detail}")
            if isinstance(item, Drop):
                continue
            updates = [cast(In, item)]
            if self.route is not None:
                updates = [update for _, update in self.route(record, item, ctx)]
            for update in updates:
                self._fold_checked(self.fold.empty(), [(index, update)], batch)

"""Handles a batch the same way on every host: decodes, runs the step, makes dead letters."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from pipeline.cpu_limit import limit_each
from pipeline.log.clock import Clock, utc_now
from pipeline.log.dead_letters import record_dead_letter
from pipeline.log.port import LogRecord, Message, row_version
from pipeline.logs import record_fields
from pipeline.outcomes import (
    Context,
    Drop,
    Emit,
    Models,
    NoModels,
    Outcome,
    Reject,
    Step,
    run_checked,
)
from pipeline.runtime.batch_insert import insert_batch, loadable_unchecked
from pipeline.runtime.record_guard import (
    attempt,
    error_rejection,
    guard_decode,
    guard_outputs,
    no_samples,
    run_with_bisection,
)
from pipeline.sinks.row_mapping import columns_of
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import TYPE_MISMATCH, Warehouse, WarehouseError
from schemas.dead_letters import RejectCode
from schemas.types import Contract

logger = logging.getLogger(__name__)
In = TypeVar("In")


class Handler(Protocol):
    """A stage as a host sees it: its topics, its group, and the function that handles a batch."""

    @property
    def name(self) -> str: ...

    @property
    def topics(self) -> tuple[str, ...]: ...

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the outputs of a batch, dead letters included; its side effects are durable."""
        ...


@dataclass
class StepHandler(Generic[In]):
    """Runs a step over log records and returns its outputs and dead letters as messages.

    `decode` turns a record into an input of the step, or rejects it. `prepare` returns the step for
    inputs, after lookups if it needs some (steps do no I/O); for most stages it is constant.
    `samples` returns inputs that a sound release handles.
    """

    name: str
    topics: tuple[str, ...]
    decode: Callable[[LogRecord], In | Reject]
    prepare: Callable[[Sequence[In]], Step[In, Contract]]
    models: Callable[[], Models] = NoModels
    clock: Clock = utc_now
    counts: Counter[str] = field(default_factory=Counter)
    samples: Callable[[], Sequence[In]] | None = None

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the outputs and dead letters of a batch, in its order; see `Handler.handle`."""
        ctx = Context(self.clock(), self.models())
        decoded = [guard_decode(self.decode, record) for record in limit_each(records)]
        inputs = [item for item in decoded if not isinstance(item, Reject)]

        def run(part: Sequence[In]) -> Sequence[Outcome[Contract]]:
            return run_checked(self.prepare(part), part, ctx)

        trial = no_samples if self.samples is None else lambda _: run(self.samples())
        outcomes = iter(run_with_bisection(inputs, run, error_rejection, trial))
        messages: list[Message] = []
        for record, item in zip(records, decoded, strict=True):
            outcome: Outcome[Contract] = item if isinstance(item, Reject) else next(outcomes)
            messages.extend(outcome_messages(self.name, record, outcome, ctx.now, self.counts))
        return messages


def outcome_messages(
    stage: str, record: LogRecord, outcome: Outcome[Contract], now: datetime, counts: Counter[str]
) -> list[Message]:
    """Count a record's outcome and return its messages: outputs, a dead letter, or none."""
    outcome, messages = guard_outputs(record, outcome)
    return count_outcome(stage, record, outcome, now, counts) or messages


def count_outcome(
    stage: str, record: LogRecord, outcome: Outcome[Contract], now: datetime, counts: Counter[str]
) -> list[Message]:
    """Count a record's outcome, and return its dead letter if it was rejected."""
    if isinstance(outcome, Drop):
        counts[f"dropped:{outcome.reason}"] += 1
        return []
    if not isinstance(outcome, Reject):
        counts["emitted"] += 1
        return []
    counts[f"rejected:{outcome.code}"] += 1
    logger.info(
        "%s rejected a record: %s",
        stage,
        outcome.code,
        extra={"stage": stage, **record_fields(record)},
    )
    return [record_dead_letter(stage, record, outcome, now)]


def _ignore(_seconds: float) -> None:
    """Do nothing."""


@dataclass
class LoadHandler:
    """Inserts contracts into the warehouse; only rows that it rejects become dead letters.

    Records of our own stages are inserted without validation. If that fails, `decode` validates
    every record of the batch, and bisection finds those that still fail. `on_insert` is called with
    the seconds of each insert; `samples` returns contracts that a sound release builds rows of.
    """

    name: str
    topics: tuple[str, ...]
    decode: Callable[[LogRecord], Contract | Reject]
    warehouse: Warehouse
    clock: Clock = utc_now
    on_insert: Callable[[float], object] = _ignore
    counts: Counter[str] = field(default_factory=Counter)
    samples: Callable[[], Sequence[Contract]] | None = None

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Insert a batch durably and return the dead letters.

        Raises WarehouseBusyError if a retry may help.
        """
        messages = []
        for record, outcome in zip(records, self._outcomes(records), strict=True):
            if isinstance(outcome, Reject):
                now = self.clock()
                messages += count_outcome(self.name, record, outcome, now, self.counts)
            else:
                self.counts["loaded"] += 1
        return messages

    def _outcomes(self, records: Sequence[LogRecord]) -> Sequence[Outcome[Contract]]:
        outcomes = attempt(lambda: self._insert(map(loadable_unchecked, records), len(records)))
        if not isinstance(outcomes, Exception):
            return outcomes
        logger.info(
            "Insert of %d records failed; they are validated and bisected: %r",
            len(records),
            outcomes,
        )
        decoded = [guard_decode(self._decode, record) for record in limit_each(records)]
        valid = [item for item in decoded if not isinstance(item, Reject)]
        inserted = iter(
            run_with_bisection(
                valid, lambda part: self._insert(part, len(part)), _sink_error, self._trial
            )
        )
        return [item if isinstance(item, Reject) else next(inserted) for item in decoded]

    def _decode(self, record: LogRecord) -> VersionedContract | Reject:
        contract = self.decode(record)
        return (
            contract
            if isinstance(contract, Reject)
            else VersionedContract.of(contract, row_version(record))
        )

    def _trial(self, error: Exception) -> None:
        """Raise if the stage is at fault: the server rejects rows, or the samples become none."""
        # Values that do not fit are found before the server gets them. What the server itself
        # rejects has passed a contract and the column's type: then the tables are not ours.
        from_server = isinstance(error, WarehouseError) and error.code != TYPE_MISMATCH
        if self.samples is None or from_server:
            raise error
        list(columns_of(VersionedContract.of(contract, 0) for contract in self.samples()))

    def _insert(self, part: Iterable[VersionedContract], size: int) -> Sequence[Outcome[Contract]]:
        began = time.perf_counter()
        insert_batch(self.warehouse, part)
        self.on_insert(time.perf_counter() - began)
        return [Emit(())] * size


def _sink_error(error: Exception) -> Reject:
    if not isinstance(error, WarehouseError):
        return Reject(
            RejectCode.SINK_ERROR, f"the row could not be built: {type(error).__name__}: {error}"
        )
    return Reject(
        RejectCode.SINK_ERROR, f"the warehouse rejects the row (code {error.code}): {error}"
    )

"""Handles a batch the same way on every host: runs the step, bisects errors, makes dead letters."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from pipeline.cpu_limit import grant, limit_each
from pipeline.errors import UserError
from pipeline.log.clock import Clock, utc_now
from pipeline.log.contract_messages import encode_contract, origin_headers
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
    StepContractError,
    run_checked,
)
from pipeline.runtime.batch_insert import insert_batch, loadable_unchecked
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import (
    Warehouse,
    WarehouseBusyError,
    WarehouseError,
    WarehouseSetupError,
)
from schemas.dead_letters import RejectCode
from schemas.types import Contract

logger = logging.getLogger(__name__)
In = TypeVar("In")
T = TypeVar("T")

# A step that raises on more than half of its inputs is at fault itself, and going on would fill the
# dead letters with good records. The batch must have at least twenty records, so that one bad
# record among few does not stop the worker.
_MAX_ERROR_SHARE, _MIN_BATCH_FOR_SHARE = 0.5, 20


class TooManyErrorsError(UserError):
    """A step or the warehouse failed on most records of a batch, so the worker stops."""


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
    a batch, after lookups if it needs some (steps do no I/O); for most stages it is constant.
    """

    name: str
    topics: tuple[str, ...]
    decode: Callable[[LogRecord], In | Reject]
    prepare: Callable[[Sequence[In]], Step[In, Contract]]
    models: Callable[[], Models] = NoModels
    clock: Clock = utc_now
    counts: Counter[str] = field(default_factory=Counter)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return the outputs and dead letters of a batch, in its order; see `Handler.handle`."""
        ctx = Context(self.clock(), self.models())
        decoded = [self.decode(record) for record in limit_each(records)]
        inputs = [item for item in decoded if not isinstance(item, Reject)]
        step = self.prepare(inputs)
        outcomes = iter(
            run_with_bisection(
                inputs, lambda part: run_checked(step, part, ctx), step_error_rejection
            )
        )
        messages: list[Message] = []
        for record, item in zip(records, decoded, strict=True):
            outcome: Outcome[Contract] = item if isinstance(item, Reject) else next(outcomes)
            messages.extend(outcome_messages(self.name, record, outcome, ctx.now, self.counts))
        return messages


def outcome_messages(
    stage: str, record: LogRecord, outcome: Outcome[Contract], now: datetime, counts: Counter[str]
) -> list[Message]:
    """Count a record's outcome and return its messages: outputs, a dead letter, or none."""
    if isinstance(outcome, Reject):
        counts[f"rejected:{outcome.code}"] += 1
        logger.info(
            "%s rejected a record: %s",
            stage,
            outcome.code,
            extra={"stage": stage, **record_fields(record)},
        )
        return [record_dead_letter(stage, record, outcome, now)]
    if isinstance(outcome, Drop):
        counts[f"dropped:{outcome.reason}"] += 1
        return []
    counts["emitted"] += 1
    headers = origin_headers(record.headers)
    return [
        encode_contract(output.outlet, output.key, output.value, headers)
        for output in outcome.outputs
    ]


@dataclass
class ErrorLimit:
    """Counts the records of a batch that raised, and stops the worker if they are too many."""

    batch: int
    failed: int = 0

    def count(self, error: Exception) -> None:
        """Count a failed record; raises TooManyErrorsError past the share of a large batch."""
        self.failed += 1
        if self.batch >= _MIN_BATCH_FOR_SHARE and self.failed > self.batch * _MAX_ERROR_SHARE:
            raise TooManyErrorsError(
                f"{self.failed} of {self.batch} records failed, the last with {error!r}; nothing is"
                " committed: fix the cause, then restart"
            ) from error
        logger.error(
            "A step raised; the record goes to the dead letters: %r",
            error,
            exc_info=error if self.failed == 1 else None,
        )


def run_with_bisection(
    batch: Sequence[T],
    run: Callable[[Sequence[T]], Sequence[Outcome[Contract]]],
    reject: Callable[[Exception], Reject],
) -> list[Outcome[Contract]]:
    """Run a batch; if it raises, bisect it and reject exactly the records that raise by themselves.

    Raises TooManyErrorsError if more than half of a large batch raise: the fault is not in the
    records then.
    """
    outcomes: list[Outcome[Contract]] = []
    errors = ErrorLimit(len(batch))
    todo: list[Sequence[T]] = [batch]
    while todo:
        part = todo.pop()
        grant(len(part))
        error = _attempt(part, run, outcomes)
        if error is None:
            continue
        if len(part) > 1:
            middle = len(part) // 2
            todo += [part[middle:], part[:middle]]
            continue
        errors.count(error)
        outcomes.append(reject(error))
    return outcomes


def _attempt(
    part: Sequence[T],
    run: Callable[[Sequence[T]], Sequence[Outcome[Contract]]],
    outcomes: list[Outcome[Contract]],
) -> Exception | None:
    """Add the outcomes of a part, or return the exception that a record of it may have caused."""
    try:
        outcomes.extend(run(part))
    except (MemoryError, WarehouseBusyError, WarehouseSetupError, StepContractError):
        raise
    except Exception as error:
        return error
    return None


def step_error_rejection(error: Exception) -> Reject:
    """Return the rejection of a record on which a step raised."""
    return Reject(RejectCode.STEP_ERROR, f"the step raised {type(error).__name__}: {error}")


def _ignore(_seconds: float) -> None:
    """Do nothing."""


@dataclass
class LoadHandler:
    """Inserts contracts into the warehouse; only rows that it rejects become dead letters.

    Records of our own stages are inserted without validation. If that fails, `decode` validates
    every record of the batch, and bisection finds those that still fail. `on_insert` is called with
    the seconds of each insert.
    """

    name: str
    topics: tuple[str, ...]
    decode: Callable[[LogRecord], Contract | Reject]
    warehouse: Warehouse
    clock: Clock = utc_now
    on_insert: Callable[[float], object] = _ignore
    counts: Counter[str] = field(default_factory=Counter)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Insert a batch durably and return the dead letters.

        Raises WarehouseBusyError if a retry may help.
        """
        messages = []
        for record, outcome in zip(records, self._outcomes(records), strict=True):
            if isinstance(outcome, Reject):
                self.counts[f"rejected:{outcome.code}"] += 1
                logger.info(
                    "%s rejected a record: %s",
                    self.name,
                    outcome.code,
                    extra={"stage": self.name, **record_fields(record)},
                )
                messages.append(record_dead_letter(self.name, record, outcome, self.clock()))
            else:
                self.counts["loaded"] += 1
        return messages

    def _outcomes(self, records: Sequence[LogRecord]) -> Sequence[Outcome[Contract]]:
        outcomes: list[Outcome[Contract]] = []
        error = _attempt(
            records, lambda part: self._insert(map(loadable_unchecked, part), len(part)), outcomes
        )
        if error is None:
            return outcomes
        logger.info(
            "Insert of %d records failed; they are validated and bisected: %r", len(records), error
        )
        decoded = [self._decode(record) for record in limit_each(records)]
        valid = [item for item in decoded if not isinstance(item, Reject)]
        inserted = iter(
            run_with_bisection(valid, lambda part: self._insert(part, len(part)), _sink_error)
        )
        return [item if isinstance(item, Reject) else next(inserted) for item in decoded]

    def _decode(self, record: LogRecord) -> VersionedContract | Reject:
        contract = self.decode(record)
        return (
            contract
            if isinstance(contract, Reject)
            else VersionedContract.of(contract, row_version(record))
        )

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

"""The one runner: what becomes of a batch, whatever hosts it. It owns retry, bisecting and dead
letters.
"""

from __future__ import annotations

import hashlib
import logging
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from pipeline.envelope import contract_message, following
from pipeline.errors import UserError
from pipeline.log.port import LogRecord, Message, version_of
from pipeline.logs import places
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
from pipeline.runtime.batch_insert import insert_all, trusted
from pipeline.sinks.table_columns import Loadable
from pipeline.sinks.warehouse import (
    Warehouse,
    WarehouseBusyError,
    WarehouseError,
    WarehouseSetupError,
)
from schemas.dead_letters import DeadLetter, RejectCode
from schemas.envelope import DEFAULT_TENANT, stable_id
from schemas.topics import DEAD_LETTERS
from schemas.types import Contract

logger = logging.getLogger(__name__)
In = TypeVar("In")
T = TypeVar("T")
Clock = Callable[[], datetime]

# A step that raises on more than half of what it is given has a fault of its own, not of its input;
# going on would fill the dead letters with good records. Counted over a batch of at least twenty,
# so that one poison record among few does not stop the worker.
_MAX_ERROR_SHARE, _MIN_BATCH_FOR_SHARE = 0.5, 20


class TooManyErrorsError(UserError):
    """A step or the warehouse failed on so many records of a batch that the fault must be its own:
    the worker stops.
    """


class Handler(Protocol):
    """A stage as a host sees it: where it reads, under which group, and what it makes of a
    batch.
    """

    @property
    def name(self) -> str: ...

    @property
    def topics(self) -> tuple[str, ...]: ...

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Return what the batch becomes, dead letters included; when it returns, every effect of
        its own is durable.
        """
        ...


def utc_now() -> datetime:
    """Return the present instant, UTC."""
    return datetime.now(UTC)


@dataclass
class StepHandler(Generic[In]):
    """Runs a step over records of the log; its outputs and dead letters are messages.

    `decode` turns a record into the step's input or says why it can't. `prepare` makes the step for
    a batch where it needs to look something up first (I/O belongs to hosts); for most stages it is
    a constant.
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
        decoded = [self.decode(record) for record in records]
        inputs = [item for item in decoded if not isinstance(item, Reject)]
        step = self.prepare(inputs)
        done = iter(guarded(inputs, lambda part: run_checked(step, part, ctx), step_error))
        messages: list[Message] = []
        for record, item in zip(records, decoded, strict=True):
            outcome: Outcome[Contract] = item if isinstance(item, Reject) else next(done)
            messages.extend(outcome_messages(self.name, record, outcome, ctx.now, self.counts))
        return messages


def outcome_messages(
    stage: str, record: LogRecord, outcome: Outcome[Contract], now: datetime, counts: Counter[str]
) -> list[Message]:
    """Return what a record's outcome puts on the log: its outputs, its dead letter, or nothing;
    counts it.
    """
    if isinstance(outcome, Reject):
        counts[f"rejected:{outcome.code}"] += 1
        logger.info(
            "%s refuses a record: %s", stage, outcome.code, extra={"stage": stage, **places(record)}
        )
        return [dead_letter_message(stage, record, outcome, now)]
    if isinstance(outcome, Drop):
        counts[f"dropped:{outcome.reason}"] += 1
        return []
    counts["emitted"] += 1
    headers = following(record.headers)
    return [
        contract_message(output.outlet, output.key, output.value, headers)
        for output in outcome.outputs
    ]


@dataclass
class ErrorShare:
    """Counts the records of a batch that raised, and stops the worker when the fault must be its
    own.
    """

    batch: int
    failed: int = 0

    def count(self, error: Exception) -> None:
        """Count one record that raised; raises TooManyErrorsError past `_MAX_ERROR_SHARE` of a
        batch that is large enough.
        """
        self.failed += 1
        if self.batch >= _MIN_BATCH_FOR_SHARE and self.failed > self.batch * _MAX_ERROR_SHARE:
            raise TooManyErrorsError(
                f"{self.failed} of {self.batch} records failed, the last with {error!r}: nothing is"
                " committed; mend and restart"
            ) from error
        logger.error(
            "a record goes to the dead letters: %r",
            error,
            exc_info=error if self.failed == 1 else None,
        )


def guarded(
    batch: Sequence[T],
    run: Callable[[Sequence[T]], Sequence[Outcome[Contract]]],
    refuse: Callable[[Exception], Reject],
) -> list[Outcome[Contract]]:
    """Run a batch; where it raises, halve it until the records that raise by themselves are alone,
    and refuse those.

    Raises TooManyErrorsError where more than half of a large batch raise: then the fault is not in
    the records.
    """
    outcomes: list[Outcome[Contract]] = []
    errors = ErrorShare(len(batch))
    todo: list[Sequence[T]] = [batch]
    while todo:
        part = todo.pop()
        error = _attempt(part, run, outcomes)
        if error is None:
            continue
        if len(part) > 1:
            middle = len(part) // 2
            todo += [part[middle:], part[:middle]]
            continue
        errors.count(error)
        outcomes.append(refuse(error))
    return outcomes


def _attempt(
    part: Sequence[T],
    run: Callable[[Sequence[T]], Sequence[Outcome[Contract]]],
    outcomes: list[Outcome[Contract]],
) -> Exception | None:
    """Add a part's outcomes, or return what it raised; what may pass by itself, or is a bug of
    ours, goes up.
    """
    try:
        outcomes.extend(run(part))
    except (MemoryError, WarehouseBusyError, WarehouseSetupError, StepContractError):
        raise
    except Exception as error:
        return error
    return None


def step_error(error: Exception) -> Reject:
    """Return the refusal of a record on which a step raised."""
    return Reject(RejectCode.STEP_ERROR, f"the step raised {type(error).__name__}: {error}")


def _untold(_seconds: float) -> None:
    """Tell nobody."""


@dataclass
class LoadHandler:
    """Writes contracts to the warehouse: rows of a batch table by table; only rows it refuses for
    good become dead letters.

    What our own stages wrote goes in unchecked; where that fails, every record of the batch is held
    to its contract by `decode`, and what still fails is found by halving. `took` is told the
    seconds of each insert.
    """

    name: str
    topics: tuple[str, ...]
    decode: Callable[[LogRecord], Contract | Reject]
    warehouse: Warehouse
    clock: Clock = utc_now
    took: Callable[[float], object] = _untold
    counts: Counter[str] = field(default_factory=Counter)

    def handle(self, records: Sequence[LogRecord]) -> list[Message]:
        """Insert a batch durably and return the dead letters; raises WarehouseBusyError where
        trying again may help.
        """
        messages = []
        for record, outcome in zip(records, self._outcomes(records), strict=True):
            if isinstance(outcome, Reject):
                self.counts[f"rejected:{outcome.code}"] += 1
                logger.info(
                    "%s refuses a record: %s",
                    self.name,
                    outcome.code,
                    extra={"stage": self.name, **places(record)},
                )
                messages.append(dead_letter_message(self.name, record, outcome, self.clock()))
            else:
                self.counts["loaded"] += 1
        return messages

    def _outcomes(self, records: Sequence[LogRecord]) -> Sequence[Outcome[Contract]]:
        outcomes: list[Outcome[Contract]] = []
        error = _attempt(
            records, lambda part: self._insert(map(trusted, part), len(part)), outcomes
        )
        if error is None:
            return outcomes
        logger.info("a batch of %d records is checked one by one: %r", len(records), error)
        checked = [self._checked(record) for record in records]
        kept = [item for item in checked if not isinstance(item, Reject)]
        found = iter(guarded(kept, lambda part: self._insert(part, len(part)), _sink_error))
        return [item if isinstance(item, Reject) else next(found) for item in checked]

    def _checked(self, record: LogRecord) -> Loadable | Reject:
        contract = self.decode(record)
        return (
            contract if isinstance(contract, Reject) else Loadable.of(contract, version_of(record))
        )

    def _insert(self, part: Iterable[Loadable], size: int) -> Sequence[Outcome[Contract]]:
        began = time.perf_counter()
        insert_all(self.warehouse, part)
        self.took(time.perf_counter() - began)
        return [Emit(())] * size


def _sink_error(error: Exception) -> Reject:
    if not isinstance(error, WarehouseError):
        return Reject(
            RejectCode.SINK_ERROR, f"the row could not be made: {type(error).__name__}: {error}"
        )
    return Reject(
        RejectCode.SINK_ERROR, f"the warehouse refuses the row (code {error.code}): {error}"
    )


# Enough to understand any error; the whole of the original is in the payload.
_MAX_DETAIL = 2_000


def dead_letter_message(stage: str, record: LogRecord, refusal: Reject, now: datetime) -> Message:
    """Return the dead letter of a record that a stage refused, with its original bytes, key and
    headers.
    """
    letter = DeadLetter(
        dead_letter_id=stable_id(
            "dead letter", stage, record.topic, str(record.partition), str(record.offset)
        ),
        tenant=record.header("ce_tenant") or DEFAULT_TENANT,
        stage=stage,
        step=refusal.step or "decode",
        reason_code=refusal.code,
        message=printable(refusal.detail),
        failed_at=now,
        connector=record.header("ce_connector"),
        locator=record.header("ce_locator"),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=None if record.key is None else b64encode(record.key),
        headers={name: (value or b"").decode("utf-8", "replace") for name, value in record.headers},
        payload=b64encode(record.value),
        payload_sha256=hashlib.sha256(record.value).hexdigest(),
        payload_bytes=len(record.value),
    )
    return contract_message(
        DEAD_LETTERS.name, str(letter.dead_letter_id), letter, following(record.headers)
    )


def collect_letter(
    connector: str, raw: bytes, refusal: Reject, locator: str, tenant: str, now: datetime
) -> Message:
    """Return the dead letter of bytes that a connector, or the contract of what it read,
    refused.
    """
    digest = hashlib.sha256(raw).hexdigest()
    letter = DeadLetter(
        dead_letter_id=stable_id("dead letter", "collect", connector, locator, digest),
        tenant=tenant,
        stage="collect",
        step=refusal.step or connector,
        reason_code=refusal.code,
        message=printable(refusal.detail),
        failed_at=now,
        connector=connector,
        locator=printable(locator),
        payload=b64encode(raw),
        payload_sha256=digest,
        payload_bytes=len(raw),
    )
    return contract_message(DEAD_LETTERS.name, str(letter.dead_letter_id), letter)


def printable(text: str) -> str:
    """Return a message that any sink can hold: of bounded length, lone surrogates replaced."""
    return text[:_MAX_DETAIL].encode("utf-8", "replace").decode("utf-8")

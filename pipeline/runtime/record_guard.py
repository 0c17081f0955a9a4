"""The guard around everything that a record can influence: what a record causes rejects it alone.

Decoding, steps, folds and the writing of outputs run here, on every host. An exception that the
installation causes passes, by its type (pipeline/errors.py); any other one rejects the record.
docs/adr/0030 says why a stage cannot be stopped by messages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pipeline.cpu_limit import grant
from pipeline.errors import InstallationError, is_caused_by_record
from pipeline.log.contract_messages import encode_contract, origin_headers
from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Emit, Outcome, Reject
from schemas.dead_letters import RejectCode
from schemas.types import Contract

logger = logging.getLogger(__name__)
In = TypeVar("In")
T = TypeVar("T")

# A step that raises on more than half of its inputs may be at fault itself, and going on would fill
# the dead letters with good records. The batch must have at least twenty records, so that a few bad
# ones do not cost a trial.
_MAX_ERROR_SHARE, _MIN_BATCH_FOR_SHARE = 0.5, 20

Trial = Callable[[Exception], object]
"""Runs a stage on the program's own samples, or raises: then the stage is at fault, not records."""


class TooManyErrorsError(InstallationError):
    """A stage fails on most records of a batch and on the program's own samples, so it stops."""


@dataclass
class ErrorLimit:
    """Counts the valid records of a batch that raised; past half of a large one, runs a trial.

    Records that were rejected do not count: only the stage can be at fault here, or records that
    its contracts admit and its code does not. The trial tells these apart.
    """

    batch: int
    trial: Trial
    failed: int = 0
    passed: bool = False

    def count(self, error: Exception) -> None:
        """Count a failed record; raises TooManyErrorsError if the stage itself is at fault."""
        self.failed += 1
        logger.error(
            "A step raised; the record goes to the dead letters: %r",
            error,
            exc_info=error if self.failed == 1 else None,
        )
        if (
            self.passed
            or self.batch < _MIN_BATCH_FOR_SHARE
            or self.failed <= self.batch * _MAX_ERROR_SHARE
        ):
            return
        try:
            self.trial(error)
        except Exception as fault:
            raise TooManyErrorsError(
                f"{self.failed} of {self.batch} records failed, the last with {error!r}, and so do"
                f" the program's own samples ({fault!r}); nothing is committed: fix the cause, then"
                " restart"
            ) from error
        self.passed = True
        logger.error(
            "%d of %d records failed, but the program's own samples do not: the records cause it,"
            " and go to the dead letters",
            self.failed,
            self.batch,
        )


def no_samples(error: Exception) -> None:
    """Raise the error: without samples a stage that fails on most records counts as faulty."""
    raise error


def attempt(call: Callable[[], T]) -> T | Exception:
    """Return what a call returns, or the exception that a record caused; others are raised.

    >>> attempt(lambda: [].pop())
    IndexError('pop from empty list')
    """
    try:
        return call()
    except Exception as error:
        if not is_caused_by_record(error):
            raise
        return error


def error_rejection(error: Exception, what: str = "the step", step: str = "") -> Reject:
    """Return the rejection of a record on which something raised."""
    return Reject(RejectCode.STEP_ERROR, f"{what} raised {type(error).__name__}: {error}", step)


def guard_decode(decode: Callable[[LogRecord], T], record: LogRecord) -> T | Reject:
    """Return a decoded record, or its rejection, whatever the decoding raises because of it."""
    item = attempt(lambda: decode(record))
    if not isinstance(item, Exception):
        return item
    logger.error("Reading a record raised; it goes to the dead letters: %r", item)
    return error_rejection(item, "reading the record", "decode")


def output_messages(record: LogRecord, outcome: Outcome[Contract]) -> list[Message]:
    """Return the messages of an outcome's outputs; raises if one cannot be written as JSON."""
    if not isinstance(outcome, Emit):
        return []
    headers = origin_headers(record.headers)
    return [
        encode_contract(output.outlet, output.key, output.value, headers)
        for output in outcome.outputs
    ]


def guard_outputs(
    record: LogRecord, outcome: Outcome[Contract]
) -> tuple[Outcome[Contract], list[Message]]:
    """Return an outcome with its messages, or a rejection if they cannot be written."""
    messages = attempt(lambda: output_messages(record, outcome))
    if isinstance(messages, Exception):
        return error_rejection(messages, "writing the outputs"), []
    return outcome, messages


def run_with_bisection(
    batch: Sequence[In],
    run: Callable[[Sequence[In]], Sequence[T]],
    reject: Callable[[Exception], Reject],
    trial: Trial = no_samples,
) -> list[T | Reject]:
    """Run a batch; if it raises, bisect it and reject exactly the records that raise by themselves.

    Raises TooManyErrorsError if more than half of a large batch raise and the trial raises, too.
    """
    results: list[T | Reject] = []
    errors = ErrorLimit(len(batch), trial)
    todo: list[Sequence[In]] = [batch]
    while todo:
        part = todo.pop()
        grant(len(part))
        answer = attempt(partial(run, part))
        if not isinstance(answer, Exception):
            results.extend(answer)
        elif len(part) > 1:
            middle = len(part) // 2
            todo += [part[middle:], part[:middle]]
        else:
            errors.count(answer)
            results.append(reject(answer))
    return results

"""Checks the bodies of a batch out and lets its stage handle it, in the same way on every host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from pipeline import cpu_limit
from pipeline.log.claim_check import BodyMissingError, BodyStore, restore_large_body
from pipeline.log.clock import utc_now
from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Reject
from pipeline.runtime.record_guard import attempt, error_rejection
from pipeline.runtime.runner import Handler, count_outcome
from schemas.dead_letters import RejectCode


def check_out_and_handle(
    handler: Handler, records: Sequence[LogRecord], bodies: BodyStore, outcomes: Counter[str]
) -> list[Message]:
    """Return the outputs of a batch; a record whose body is missing becomes a dead letter.

    The dead letter has the reference among its headers. `outcomes` counts it. Raises
    BodyStoreUnavailableError, and what the handler raises.
    """
    complete: list[LogRecord] = []
    letters: list[Message] = []
    for record in records:
        whole = attempt(partial(restore_large_body, record, bodies))
        if isinstance(whole, Exception):
            letters += count_outcome(handler.name, record, _rejection(whole), utc_now(), outcomes)
        else:
            complete.append(whole)
    with cpu_limit.limited(len(complete)):
        return [*letters, *(handler.handle(complete) if complete else [])]


def _rejection(error: Exception) -> Reject:
    if isinstance(error, BodyMissingError):
        return Reject(RejectCode.BODY_MISSING, str(error), "check out")
    return error_rejection(error, "checking the body out", "check out")

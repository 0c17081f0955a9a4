"""New generations of the examples: those that hold, without what is to be forgotten; then the log
before them is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from getpass import getuser
from uuid import UUID

import orjson

from pipeline.commands.effective_examples import holding, live_records
from pipeline.envelope import contract_message
from pipeline.errors import UserError
from pipeline.log.port import Log, LogRecord, Message
from pipeline.reporting.timeline import find_customers, with_linked
from pipeline.runtime.model_worker import scanned
from pipeline.runtime.runner import utc_now
from pipeline.sinks.warehouse import rows
from pipeline.workspace import Workspace
from schemas.labels import Example, Generation
from schemas.topics import EXAMPLES
from schemas.types import Contract

# Copies go in parts of this many: a few MiB.
_PART = 1_000
# A transaction of `resolve` that is open holds back what stands behind it; it can live for ten
# seconds.
_PATIENCE_S, _POLL_S = 60.0, 0.05


class GenerationError(UserError):
    """A generation could not be written to its end; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A generation that was written: its number, how many labels went over, how many examples of
    the log did not.
    """

    number: int
    kept: int
    left_out: int


def renew(log: Log, forgotten: Collection[UUID] = (), reason: str = "", by: str = "") -> Renewed:
    """Write a new generation of the labels that hold, without those of forgotten records, and
    delete the log before it.

    Every replica takes it over when it is complete. One that breaks off changes nothing and is made
    up for by the next, which leaves out what it was to forget too. Raises GenerationError where the
    log does not take it in time.
    """
    number, told = _next_number(log)
    gone = {*forgotten, *told}
    begun = Generation(
        number=number,
        state="begun",
        forgotten=tuple(sorted(gone)),
        by=by or getuser(),
        reason=reason,
        at=utc_now(),
    )
    produce(log, [begun])
    marker = _found(log, begun)
    # What was rolled back does not come again by the back door.
    keep = holding(live_records(log, marker - 1), gone)
    before = sum(_is_example(record) for record in scanned(log, 0, marker - 1))
    kept = 0
    for part in _parts(_copies(scanned(log, 0, marker - 1), keep)):
        with log.transaction() as transaction:
            transaction.produce(part)
        kept += sum(_is_example(message) for message in part)
    complete = begun.model_copy(update={"state": "complete", "at": utc_now()})
    produce(log, [complete])
    _found(log, complete, marker)
    log.truncate(EXAMPLES.name, 0, marker)
    return Renewed(number, kept, max(before - kept, 0))


def records_of(workspace: Workspace, customer: str) -> list[UUID]:
    """Return the records of a customer over all linked contact points; none where the history knows
    nobody of that name.
    """
    with workspace.reading() as warehouse:
        identity, tenant = workspace.settings.identity(), workspace.settings.tenant
        ids = with_linked(warehouse, find_customers(warehouse, identity, tenant, customer))
        found = rows(
            warehouse,
            "SELECT DISTINCT record_id FROM customer_index WHERE customer_id IN {ids:Array(UUID)}",
            ids=ids,
        )
    return [UUID(row["record_id"]) for row in found]


def produce(log: Log, events: Iterable[Contract]) -> None:
    """Put events of our own on the examples topic, durably."""
    with log.transaction() as transaction:
        transaction.produce([contract_message(EXAMPLES.name, "", event) for event in events])


def _next_number(log: Log) -> tuple[int, set[UUID]]:
    """Return the number of the next generation, and what generations that broke off were to
    forget.
    """
    number, told, complete = 0, dict[int, set[UUID]](), set[int]()
    for record in scanned(log):
        if record.header("sb_contract") != Generation.__name__:
            continue
        generation = Generation.model_validate_json(record.value)
        number = max(number, generation.number)
        told[generation.number] = set(generation.forgotten)
        if generation.state == "complete":
            complete.add(generation.number)
    return number + 1, {
        record for one, records in told.items() if one not in complete for record in records
    }


def _found(log: Log, event: Generation, start: int = 0) -> int:
    """Return the offset at which an event stands, once it and all before it can be read."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for record in scanned(log, start):
            start = record.offset + 1
            if record.header("sb_contract") == Generation.__name__ and record.value == _bytes(
                event
            ):
                return record.offset
        time.sleep(_POLL_S)
    raise GenerationError(
        f"generation {event.number} could not be read back within {_PATIENCE_S:.0f} s: when the log"
        " is to be reached again, run `switchboard labels renew`, which finishes it"
    )


def _bytes(event: Generation) -> bytes:
    return contract_message(EXAMPLES.name, "", event).value


def _copies(records: Iterable[LogRecord], keep: Collection[int]) -> Iterator[Message]:
    for record in records:
        if record.offset in keep:
            value = orjson.dumps(orjson.loads(record.value) | {"copied": True})
            yield Message(EXAMPLES.name, None, value, record.headers)


def _is_example(record: LogRecord | Message) -> bool:
    return ("sb_contract", Example.__name__.encode()) in record.headers


def _parts(messages: Iterable[Message]) -> Iterator[list[Message]]:
    part: list[Message] = []
    for message in messages:
        part.append(message)
        if len(part) == _PART:
            yield part
            part = []
    if part:
        yield part

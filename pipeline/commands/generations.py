"""Write new generations of the examples log: the effective labels, without forgotten records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from getpass import getuser
from uuid import UUID

import orjson

from pipeline.commands.effective_examples import current_records, effective_offsets
from pipeline.errors import UserError
from pipeline.log.clock import utc_now
from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import Log, LogRecord, Message
from pipeline.log.retries import poll_until
from pipeline.reporting.timeline import find_customers, with_linked
from pipeline.runtime.model_worker import scan_examples
from pipeline.sinks.warehouse import rows
from pipeline.workspace import Workspace
from schemas.labels import Example, Generation
from schemas.topics import EXAMPLES
from schemas.types import Contract

# Examples per transaction: a few MiB.
_CHUNK = 1_000
# An open transaction of `resolve` hides what is written after it; it can last ten seconds.
_TIMEOUT_S, _POLL_S = 60.0, 0.05


class GenerationError(UserError):
    """A generation could not be completed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RenewalResult:
    """A new generation: its number, and how many labels it copied and left out."""

    number: int
    copied: int
    left_out: int


def renew_generation(
    log: Log, forgotten: Collection[UUID] = (), reason: str = "", by: str = ""
) -> RenewalResult:
    """Write a generation of the effective labels, without forgotten records; delete the old one.

    Every replica switches to it when it is complete. An interrupted generation changes nothing; the
    next one also forgets what it was to forget. Raises GenerationError if the log does not accept
    it in time.
    """
    number, unfinished = _next_number(log)
    forgotten_records = {*forgotten, *unfinished}
    start_event = Generation(
        number=number,
        state="begun",
        forgotten=tuple(sorted(forgotten_records)),
        by=by or getuser(),
        reason=reason,
        at=utc_now(),
    )
    publish_events(log, [start_event])
    marker = _wait_for(log, start_event)
    # Only current records, so that examples that were rolled back do not return.
    keep = effective_offsets(current_records(log, marker - 1), forgotten_records)
    before = sum(_is_example(record) for record in scan_examples(log, 0, marker - 1))
    copied = 0
    for chunk in _chunks(_copies(scan_examples(log, 0, marker - 1), keep)):
        with log.transaction() as transaction:
            transaction.produce(chunk)
        copied += sum(_is_example(message) for message in chunk)
    complete = start_event.model_copy(update={"state": "complete", "at": utc_now()})
    publish_events(log, [complete])
    _wait_for(log, complete, marker)
    log.truncate(EXAMPLES.name, 0, marker)
    return RenewalResult(number, copied, max(before - copied, 0))


def customer_records(workspace: Workspace, customer: str) -> list[UUID]:
    """Return the records of a customer over all linked contact points; none if it is unknown."""
    with workspace.open_warehouse() as warehouse:
        identity, tenant = workspace.identity(), workspace.settings.tenant
        ids = with_linked(warehouse, find_customers(warehouse, identity, tenant, customer))
        found = rows(
            warehouse,
            "SELECT DISTINCT record_id FROM customer_index WHERE customer_id IN {ids:Array(UUID)}",
            ids=ids,
        )
    return [UUID(row["record_id"]) for row in found]


def publish_events(log: Log, events: Iterable[Contract]) -> None:
    """Write control events (pins, rollbacks, generations) to the examples topic, durably."""
    with log.transaction() as transaction:
        transaction.produce([encode_contract(EXAMPLES.name, "", event) for event in events])


def _next_number(log: Log) -> tuple[int, set[UUID]]:
    """Return the next number, and the records that interrupted generations were to forget."""
    number, forgotten, complete = 0, dict[int, set[UUID]](), set[int]()
    for record in scan_examples(log):
        if record.header("sb_contract") != Generation.__name__:
            continue
        generation = Generation.model_validate_json(record.value)
        number = max(number, generation.number)
        forgotten[generation.number] = set(generation.forgotten)
        if generation.state == "complete":
            complete.add(generation.number)
    return number + 1, {
        record
        for generation_number, records in forgotten.items()
        if generation_number not in complete
        for record in records
    }


def _wait_for(log: Log, event: Generation, start: int = 0) -> int:
    """Return the offset of an event, once it and everything before it can be read."""

    def scan_once() -> int | None:
        nonlocal start
        for record in scan_examples(log, start):
            start = record.offset + 1
            is_generation = record.header("sb_contract") == Generation.__name__
            if is_generation and record.value == _bytes(event):
                return record.offset
        return None

    offset = poll_until(scan_once, limit_s=_TIMEOUT_S, wait_s=_POLL_S)
    if offset is None:
        raise GenerationError(
            f"generation {event.number} could not be read back within {_TIMEOUT_S:.0f} s: run"
            " `switchboard labels renew` when the log is reachable again, to finish it"
        )
    return offset


def _bytes(event: Generation) -> bytes:
    return encode_contract(EXAMPLES.name, "", event).value


def _copies(records: Iterable[LogRecord], keep: Collection[int]) -> Iterator[Message]:
    for record in records:
        if record.offset in keep:
            value = orjson.dumps(orjson.loads(record.value) | {"copied": True})
            yield Message(EXAMPLES.name, None, value, record.headers)


def _is_example(record: LogRecord | Message) -> bool:
    return ("sb_contract", Example.__name__.encode()) in record.headers


def _chunks(messages: Iterable[Message]) -> Iterator[list[Message]]:
    chunk: list[Message] = []
    for message in messages:
        chunk.append(message)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

"""Traces an event from its connector to the rows of the history (`switchboard trace`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from pipeline.log.port import Log, LogRecord
from pipeline.runtime.stages import STAGES
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.text.counts import count_of
from schemas.envelope import record_id_of

# Unread records of a stage are searched one by one. More than this would take minutes, so the trace
# reports that it stopped there.
MOST_WAITING = 200_000

_COLUMNS = """
        record_id, tenant, source, event_id, event_type, connector, occurred_at, received_at,
        ingested_at, quality_flags, contact, customer_id"""

_RECORDS = f"""
SELECT
    record_id, tenant, source, event_id, event_type, connector, quality_flags, contact, customer_id,
    toString(occurred_at) AS occurred, toString(received_at) AS received,
    toString(ingested_at) AS ingested, place
FROM
(
    SELECT {_COLUMNS}, 'communications' AS place FROM communications
    UNION ALL
    SELECT {_COLUMNS}, 'business_events' AS place FROM business_events
)
WHERE record_id IN {{ids:Array(UUID)}}
    OR (event_id = {{event:String}} AND ({{source:String}} = '' OR source = {{source:String}}))
ORDER BY occurred_at, record_id
"""

_STEPS = """
SELECT at, place, what FROM
(
    SELECT received_at AS at, 'arrived' AS place, concat(connector, ' ', locator) AS what
    FROM delivery_rows FINAL WHERE record_id = {id:UUID}
    UNION ALL
    SELECT
        predicted_at,
        'classified',
        concat(
            head, ': ', if(label = '', '(does not apply)', label), ' ', toString(round(p, 2)),
            if(abstained, ', below threshold', ''), ', by ', model_version
        )
    FROM predictions WHERE record_id = {id:UUID}
    UNION ALL
    SELECT
        occurred_at,
        'conversation',
        concat(
            kind, if(detail = '', '', concat(' (', detail, ')')), ' in ', toString(conversation_id)
        )
    FROM conversation_facts WHERE record_id = {id:UUID}
    UNION ALL
    SELECT promised_at, 'follow-up', concat(kind, ', ', state, ': ', phrase)
    FROM followups WHERE record_id = {id:UUID}
    UNION ALL
    SELECT
        occurred_at,
        'flag',
        concat(flag, if(other_record_id IS NULL, '', concat(' of ', toString(other_record_id))))
    FROM record_flags WHERE record_id = {id:UUID}
)
ORDER BY place != 'arrived', at, place, what
"""

_LETTERS = """
SELECT
    toString(failed_at) AS at, stage, step, reason_code, message,
    toString(dead_letter_id) AS id, replays, replay_outcome
FROM dead_letters
WHERE if(stage = 'collect', JSONExtractString(payload, 'id'), headers['ce_id']) = {event:String}
    AND {source:String} IN (
        '', if(stage = 'collect', JSONExtractString(payload, 'source'), headers['ce_source'])
    )
ORDER BY failed_at
"""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """A step of an event: its time (UTC, or empty if it waits), its place and a description."""

    at: str
    place: str
    what: str


@dataclass(frozen=True, slots=True)
class Trace:
    """An event with its ids and its steps in order."""

    event_id: str
    source: str
    record_id: str
    steps: list[TraceStep] = field(default_factory=list)


def trace(
    log: Log, warehouse: Warehouse, wanted: str, *, tenant: str, source: str = ""
) -> tuple[list[Trace], list[str]]:
    """Return the events, or the record, with an id; and stages with too many unread records.

    If `source` is not empty, only its events are returned. An input that a connector rejected is
    found only if it was an event in JSON.
    """
    record_ids = {str(record_id_of(tenant, source, wanted))} if source else set()
    with suppress(ValueError):
        record_ids.add(str(UUID(wanted)))
    traces: dict[tuple[str, str], Trace] = {}
    for row in rows(warehouse, _RECORDS, ids=sorted(record_ids), event=wanted, source=source):
        traces[row["source"], row["event_id"]] = Trace(
            row["event_id"], row["source"], row["record_id"], _steps_in_history(warehouse, row)
        )
    for letter in rows(warehouse, _LETTERS, event=wanted, source=source):
        event = traces.setdefault((source, wanted), Trace(wanted, source, ""))
        event.steps.append(
            TraceStep(letter["at"], f"dead letter of {letter['stage']}", _rejection(letter))
        )
    ids = {wanted, *(event.event_id for event in traces.values())}
    not_searched = []
    for stage, topics in STAGES.items():
        waiting = list(islice(log.unread(stage, topics), MOST_WAITING + 1))
        if len(waiting) > MOST_WAITING:
            not_searched.append(stage)
        for record in _matching(waiting[:MOST_WAITING], ids, source):
            key = record.header("ce_source"), record.header("ce_id")
            event = traces.setdefault(key, Trace(key[1], key[0], ""))
            event.steps.append(
                TraceStep(
                    "", f"waits for {stage}", f"{record.topic}/{record.partition}@{record.offset}"
                )
            )
    return list(traces.values()), not_searched


def _matching(records: Sequence[LogRecord], ids: set[str], source: str) -> Iterator[LogRecord]:
    for record in records:
        if record.header("ce_id") in ids and source in ("", record.header("ce_source")):
            yield record


def _steps_in_history(warehouse: Warehouse, row: dict[str, Any]) -> list[TraceStep]:
    steps = [
        TraceStep(row_["at"], row_["place"], row_["what"])
        for row_ in rows(warehouse, _STEPS, id=row["record_id"])
    ]
    flags = ", ".join(row["quality_flags"])
    contact = f"customer {row['contact']}" if row["contact"] else "no customer"
    cleaned = TraceStep(
        row["received"],
        "cleaned",
        "; ".join(part for part in (row["event_type"], contact, flags) if part),
    )
    loaded = TraceStep(
        row["ingested"], "in the history", f"{row['place']}, record {row['record_id']}"
    )
    arrived = [step for step in steps if step.place == "arrived"]
    return [*arrived, cleaned, *steps[len(arrived) :], loaded]


def _rejection(letter: dict[str, Any]) -> str:
    again = (
        f"; replayed {count_of(int(letter['replays']), 'time')}, {letter['replay_outcome']}"
        if int(letter["replays"])
        else ""
    )
    return (
        f"{letter['id'][:8]} {letter['reason_code']} at {letter['step']}:"
        f" {letter['message']}{again}"
    )

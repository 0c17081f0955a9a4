"""Maps contracts to rows: which tables a contract fills, and how each column is computed.

The columns of a table are declared in `schemas/clickhouse/columns`. A column that is a field of the
contract with the same name needs no entry here.
"""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from pipeline.models.heads import HEADS, Head
from pipeline.sinks.table_columns import (
    Batch,
    Bodies,
    Body,
    Column,
    Field,
    Parents,
    Table,
    TimestampCache,
    Values,
    VersionedContract,
    computed,
    constant,
    contract_table,
    declared_columns,
    field_at,
    timestamp,
    to_timestamps,
)
from schemas.columns import relations
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.dead_letters import DeadLetter, Replay, StageReplay
from schemas.labels import Assessment, Drift, Label
from schemas.live import Alert
from schemas.reclassified import Reclassification
from schemas.records import BusinessRecord, Link, Record
from schemas.types import Contract

_NO_CALL = dict.fromkeys(
    ("started_at", "answered_at", "ended_at", "ring_s", "talk_s", "disposition")
)
_NO_ANSWER = {"label": "", "p": 0.0, "abstained": True, "version": "", "also": []}


def _calls(bodies: Bodies) -> Bodies:
    return [body["call"] or _NO_CALL for body in bodies]


def _or_empty(_batch: Batch, values: Values) -> Values:
    return [value or "" for value in values]


def _answers_of(head: str) -> Parents:
    def answers(bodies: Bodies) -> Bodies:
        return [body["predictions"].get(head, _NO_ANSWER) for body in bodies]

    return answers


def _answers(head: Head) -> dict[str, Field]:
    answers = _answers_of(head.name)
    columns = {
        head.name: Field(answers, "label"),
        f"{head.name}_p": Field(answers, "p"),
        f"{head.name}_abstained": Field(answers, "abstained"),
        f"{head.name}_version": Field(answers, "version"),
    }
    return columns | ({f"{head.name}_also": Field(answers, "also")} if head.combinable else {})


_BUILT_IN_HEADS = frozenset(head.name for head in HEADS)
_ANSWER_PARTS = ("label", "also", "p", "abstained", "version")
_NO_CUSTOM: dict[str, dict[str, Any]] = {part: {} for part in _ANSWER_PARTS}


def _custom_answers(bodies: Bodies) -> Bodies:
    """Return the answers of custom heads: for each part of an answer, its values by head."""
    return [_custom_by_part(body["predictions"]) for body in bodies]


def _custom_by_part(predictions: Body) -> dict[str, dict[str, Any]]:
    heads = predictions.keys() - _BUILT_IN_HEADS
    if not heads:
        return _NO_CUSTOM
    return {
        part: {head: predictions[head][part] for head in sorted(heads)} for part in _ANSWER_PARTS
    }


COMMUNICATIONS = Table(
    "communication_rows",
    declared_columns(
        "communication_rows",
        participants=computed(
            lambda body: [
                f"{who['role']} {who['contact']} {who['name']}".strip()
                for who in body["participants"]
            ]
        ),
        auto_kind=field_at("auto_kind")._replace(convert=_or_empty),
        attachment_names=computed(
            lambda body: [item["name"] or "" for item in body["attachments"]]
        ),
        attachment_count=computed(lambda body: len(body["attachments"])),
        call_started_at=Field(_calls, "started_at", to_timestamps),
        call_answered_at=Field(_calls, "answered_at", to_timestamps),
        call_ended_at=Field(_calls, "ended_at", to_timestamps),
        ring_s=Field(_calls, "ring_s"),
        talk_s=Field(_calls, "talk_s"),
        disposition=Field(_calls, "disposition", _or_empty),
        **{name: column for head in HEADS for name, column in _answers(head).items()},
        answers=Field(_custom_answers, "label"),
        **{f"answers_{part}": Field(_custom_answers, part) for part in _ANSWER_PARTS[1:]},
    ),
)


def _predictions(record: Body) -> Iterable[tuple[Body, str, Body]]:
    return ((record, head, answer) for head, answer in record["predictions"].items())


PREDICTIONS = Table(
    "prediction_rows",
    declared_columns(
        "prediction_rows",
        record_id=field_at(0, "record_id"),
        head=field_at(1),
        model_version=field_at(2, "version"),
        label=field_at(2, "label"),
        also=field_at(2, "also"),
        p=field_at(2, "p"),
        abstained=field_at(2, "abstained"),
        predicted_at=timestamp(0, "received_at"),
    ),
    lambda batch: batch.each(_predictions),
)


def _reclassified() -> tuple[Table, ...]:
    columns = declared_columns(
        "prediction_rows", also=field_at("also"), predicted_at=timestamp("judged_at")
    )
    return (
        Table("prediction_rows", columns),
        contract_table(Reclassification, "reclassified_rows"),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


BUSINESS_EVENTS = Table(
    "business_event_rows",
    declared_columns(
        "business_event_rows",
        amount=computed(lambda body: _decimal(body["amount"])),
        item_skus=computed(lambda body: [item["sku"] for item in body["items"]]),
        item_names=computed(lambda body: [item["name"] or "" for item in body["items"]]),
        item_quantities=computed(lambda body: [float(item["quantity"]) for item in body["items"]]),
    ),
)


def _deliveries(record_id: str, received_at: str, history: str) -> Table:
    return Table(
        "delivery_rows",
        declared_columns(
            "delivery_rows",
            record_id=field_at(record_id),
            locator=field_at("delivery", "locator"),
            body_sha256=field_at("delivery", "sha256"),
            received_at=timestamp(received_at),
            history=constant(history),
        ),
    )


# Earlier than every event, so that any known value replaces it.
_UNKNOWN = (0, "")


def _fold_customers(customers: dict[str, Body], batch: Batch) -> None:
    """Aggregate what events say about their customers, as the table's functions would.

    The latest value of each fact counts, and the times of the first and last event. Within one
    event the profile comes before contact points, and these before the displayed name.
    """
    for body in batch.bodies:
        customer_id = body["customer_id"]
        if customer_id is None:
            continue
        occurred_at = batch.timestamps.of(body["occurred_at"])
        values = {"name": body["contact_name"]}
        for point in body["contacts"]:
            kind, _, value = point.partition(":")
            values[kind] = value
        values |= body.get("profile", {})
        values["contact"] = body["contact"]
        row = customers.get(customer_id)
        if row is None:
            row = {
                "customer_id": customer_id,
                "tenant": body["tenant"],
                "first": occurred_at,
                "last": occurred_at,
                "facts": {},
            }
            customers[customer_id] = row
        elif occurred_at < row["first"]:
            row["first"] = occurred_at
        elif occurred_at > row["last"]:
            row["last"] = occurred_at
        facts = row["facts"]
        for name, value in values.items():
            if value and (fact := (occurred_at, value)) > facts.get(name, _UNKNOWN):
                facts[name] = fact


def _latest(name: str) -> Column:
    return lambda batch: [row["facts"].get(name, _UNKNOWN) for row in batch.bodies]


# A customer's facts are the columns that keep the latest value, with its time.
_CUSTOMER_FACTS = [
    column.name
    for column in relations()["customer_rows"].columns
    if column.type.startswith("SimpleAggregateFunction(max, Tuple(")
]

CUSTOMERS = Table(
    "customer_rows",
    declared_columns(
        "customer_rows",
        first_seen=field_at("first"),
        last_seen=field_at("last"),
        **{name: _latest(name) for name in _CUSTOMER_FACTS},
    ),
    fold=_fold_customers,
)


def _customer_index(history: str) -> Table:
    return Table(
        "customer_index",
        declared_columns("customer_index", history=constant(history)),
        lambda batch: batch.each(lambda body: (body,) if body["customer_id"] is not None else ()),
    )


def _common_tables(history: str) -> tuple[Table, ...]:
    return _deliveries("record_id", "received_at", history), CUSTOMERS, _customer_index(history)


# Larger than every timestamp in ms << 20, so that a version is positive. The lowest 20 bits break
# ties between events of one ms.
_LINK_EPOCH = 1 << 62


def _link_versions(batch: Batch) -> Values:
    """Return versions that are higher for earlier events.

    Of all events that show the same two contact points, the earliest one counts, in whatever order
    they are loaded.
    """
    return [
        _LINK_EPOCH
        - (batch.timestamps.of(body["linked_at"]) << 20)
        - int(body["record_id"][-5:], 16)
        for body in batch.bodies
    ]


# Few enough that decoded contracts are still in the processor's cache when their columns are
# computed: 500 take half as long again, 3,000 twice as long.
_CHUNK_CONTRACTS = 64
# Small enough that a block stays in the cache while it is encoded, large enough that the overhead
# of a block is negligible.
_BLOCK_CONTRACTS = 1_024

TABLES: dict[type[Contract], tuple[Table, ...]] = {
    Record: (COMMUNICATIONS, PREDICTIONS, *_common_tables("communications")),
    BusinessRecord: (BUSINESS_EVENTS, *_common_tables("business_events")),
    Link: (contract_table(Link, "link_rows", version=_link_versions),),
    Label: (
        contract_table(Label, "label_rows", exclude=frozenset({"delivery"})),
        _deliveries("label_id", "labelled_at", "labels"),
    ),
    Reclassification: _reclassified(),
    Assessment: (contract_table(Assessment, "assessment_rows"),),
    Drift: (contract_table(Drift, "drift_rows"),),
    DeadLetter: (
        contract_table(
            DeadLetter,
            "dead_letter_rows",
            key=computed(lambda body: b64decode(body["key"] or "")),
            payload=computed(lambda body: b64decode(body["payload"])),
        ),
    ),
    Replay: (contract_table(Replay, "replay_rows"),),
    StageReplay: (contract_table(StageReplay, "stage_replay_rows"),),
    Conversation: (contract_table(Conversation, "conversation_rows"),),
    ConversationFact: (contract_table(ConversationFact, "conversation_fact_rows"),),
    FollowUp: (contract_table(FollowUp, "followup_rows"),),
    RecordFlag: (contract_table(RecordFlag, "record_flag_rows"),),
    Alert: (contract_table(Alert, "alert_rows"),),
}


def blocks_of(
    contracts: Iterable[VersionedContract],
) -> Iterator[dict[str, dict[str, list[Any]]]]:
    """Yield blocks of rows: columns by table. Tables that are folded come in the last block.

    Raises KeyError, TypeError or ValueError if a body does not match its contract, or no table
    stores the contract.
    """
    tables: dict[str, dict[str, list[Any]]] = {}
    folded: dict[str, tuple[Table, dict[str, Body]]] = {}
    remaining, size = iter(contracts), 0
    while chunk := list(islice(remaining, _CHUNK_CONTRACTS)):
        _append_rows(chunk, tables, folded)
        size += len(chunk)
        if size >= _BLOCK_CONTRACTS:
            yield tables
            tables, size = {}, 0
    yield tables
    yield {
        name: {
            column: list(values)
            for column, values in table.column_values(Batch(list(rows.values()), ())).items()
        }
        for name, (table, rows) in folded.items()
        if rows
    }


def _append_rows(
    chunk: Sequence[VersionedContract],
    tables: dict[str, dict[str, list[Any]]],
    folded: dict[str, tuple[Table, dict[str, Body]]],
) -> None:
    for contract, batch in _by_contract(chunk).items():
        for table in TABLES[contract]:
            if table.fold is not None:
                table.fold(folded.setdefault(table.name, (table, {}))[1], batch)
                continue
            added = table.column_values(batch)
            columns = tables.setdefault(table.name, {name: [] for name in added}) if added else {}
            for name, values in added.items():
                columns[name].extend(values)


def columns_of(
    contracts: Iterable[VersionedContract],
) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yield each table that contracts fill, with its columns; see `blocks_of`."""
    tables: dict[str, dict[str, list[Any]]] = {}
    for block in blocks_of(contracts):
        for name, columns in block.items():
            table = tables.setdefault(name, {column: [] for column in columns})
            for column, values in columns.items():
                table[column].extend(values)
    yield from tables.items()


def _by_contract(chunk: Sequence[VersionedContract]) -> dict[type[Contract], Batch]:
    grouped: dict[type[Contract], list[VersionedContract]] = defaultdict(list)
    for item in chunk:
        grouped[item.contract].append(item)
    timestamps = TimestampCache()
    return {
        contract: Batch([item.body for item in items], [item.version for item in items], timestamps)
        for contract, items in grouped.items()
    }


def rows_of(contract: Contract, version: int) -> dict[str, dict[str, list[Any]]]:
    """Return the rows of one contract by table; raises KeyError if no table stores it."""
    return dict(columns_of([VersionedContract.of(contract, version)]))

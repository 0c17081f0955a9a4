"""Compares the log with the tables: every record that load has committed must have its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.commands.lag import lags
from pipeline.commands.reconciliation import accounts
from pipeline.commands.replay import next_offset
from pipeline.log.claim_check import BodyMissingError, BodyStore, restore_large_body
from pipeline.log.port import GroupPosition, Log, LogRecord, StateStore
from pipeline.runtime.batch_insert import loadable_unchecked
from pipeline.runtime.stages import STAGES
from pipeline.sinks.row_mapping import TABLES
from pipeline.sinks.table_columns import Batch, Table, VersionedContract
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.columns import relations
from schemas.topics import CONVERSE_STATE, RECORDS
from schemas.types import Contract

# Ids of one query: as many as an insert has, a few MiB of parameters.
_CHUNK = 1_000
_REJECTED_BY_LOAD = """
SELECT topic, toInt32(ifNull(partition, 0)) AS partition, toInt64(ifNull(offset, 0)) AS offset
FROM dead_letter_rows WHERE stage = 'load'
"""


@dataclass(frozen=True, slots=True)
class MissingRows:
    """Rows of a table that records between two offsets of a partition should have and have not."""

    topic: str
    partition: int
    table: str
    ids: int
    first: int
    last: int

    def __str__(self) -> str:
        return (
            f"{self.table} lacks rows of {self.ids:,} ids that load has read from"
            f" {self.topic}/{self.partition}, offsets {self.first:,} to {self.last:,}"
        )


def missing_rows(
    log: Log, warehouse: Warehouse, bodies: BodyStore, *, newest: int | None
) -> list[MissingRows]:
    """Return which rows are missing of the records that load has committed and the log still has.

    With `newest`, only so many offsets of each partition before load's offset are looked at. A row
    counts if its version is that of the record or higher. What load has rejected has no rows.
    """
    found: list[MissingRows] = []
    rejected = {
        (row["topic"], int(row["partition"]), int(row["offset"]))
        for row in rows(warehouse, _REJECTED_BY_LOAD)
    }
    for at in log.positions("load", STAGES["load"]):
        missing: dict[str, dict[str, int]] = {}
        for records in _committed(log, at, newest):
            loaded = [
                record
                for record in records
                if (record.topic, record.partition, record.offset) not in rejected
            ]
            for table, ids in _missing_of(warehouse, _with_bodies(loaded, bodies)):
                missing.setdefault(table, {}).update(ids)
        found += [
            MissingRows(
                at.topic, at.partition, table, len(ids), min(ids.values()), max(ids.values())
            )
            for table, ids in missing.items()
            if ids
        ]
    return found


def _committed(log: Log, at: GroupPosition, newest: int | None) -> Iterator[list[LogRecord]]:
    end = next_offset(at)
    start = at.first if newest is None else max(at.first, end - newest)
    while start < end and (records := log.scan(at.topic, at.partition, start, _CHUNK)):
        start = records[-1].offset + 1
        yield [record for record in records if record.offset < end]


def _with_bodies(records: Iterable[LogRecord], bodies: BodyStore) -> list[LogRecord]:
    """Return the records that have a body; one whose body is lost is reported with the bodies."""
    complete = []
    for record in records:
        with suppress(BodyMissingError):
            complete.append(restore_large_body(record, bodies))
    return complete


def _missing_of(
    warehouse: Warehouse, records: Sequence[LogRecord]
) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each table with the ids that it lacks, and the offsets of their records."""
    by_contract: dict[type[Contract], tuple[list[VersionedContract], list[int]]] = {}
    for record in records:
        try:
            item = loadable_unchecked(record)
        except (KeyError, ValueError):
            continue
        items, offsets = by_contract.setdefault(item.contract, ([], []))
        items.append(item)
        offsets.append(record.offset)
    for contract, (items, offsets) in by_contract.items():
        for table in TABLES[contract]:
            yield table.name, _missing_ids(warehouse, table, items, offsets)


def _missing_ids(
    warehouse: Warehouse,
    table: Table,
    items: Sequence[VersionedContract],
    offsets: Sequence[int],
) -> dict[str, int]:
    relation = relations()[table.name]
    key = [name.strip() for name in relation.order_by.strip("()").split(",")]
    types = {column.name: column.type for column in relation.columns}
    expected: dict[str, tuple[int, int]] = {}
    for item, offset in zip(items, offsets, strict=True):
        for identifier, version in _ids_of(table, item, key[0]):
            before = expected.get(identifier, (0, offset))
            expected[identifier] = max(before[0], version), offset
    newest = "max(version)" if "version" in types else "0"
    present: dict[str, int] = {}
    kind = "UUID" if types[key[0]] == "UUID" else "String"
    for part in _chunks(list(expected)):
        for row in rows(
            warehouse,
            f"SELECT toString({key[0]}) AS id, toString({newest}) AS newest FROM {table.name}"
            f" WHERE {key[0]} IN {{ids:Array({kind})}} GROUP BY id",
            ids=part,
        ):
            present[row["id"]] = int(row["newest"])
    return {
        identifier: offset
        for identifier, (version, offset) in expected.items()
        if identifier not in present or ("version" in types and present[identifier] < version)
    }


def _ids_of(table: Table, item: VersionedContract, key: str) -> Iterable[tuple[str, int]]:
    batch = Batch([item.body], [item.version])
    if table.fold is not None:
        folded: dict[str, dict[str, Any]] = {}
        table.fold(folded, batch)
        return [(identifier, 0) for identifier in folded]
    columns: Mapping[str, Sequence[Any]] = table.column_values(batch)
    if not columns:
        return []
    versions = columns.get("version") or [0] * len(columns[key])
    return [
        (str(identifier), version)
        for identifier, version in zip(columns[key], versions, strict=True)
    ]


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def unaccounted_items(log: Log, warehouse: Warehouse) -> list[tuple[str, bool]]:
    """Return what the reconciliation does not explain, once enrich and load have caught up.

    Each has whether items are lost, or else checkpoints that name them.
    """
    if any(lag.records for lag in lags(log, 0) if lag.group in ("enrich", "load")):
        return []
    return [
        (
            f"{account.connector} has read {account.read:,} items, and {account.missing:,} of them"
            " are neither records, redeliveries nor dead letters"
            if account.missing > 0
            else f"the checkpoints of {account.connector} name {account.read or 0:,} items, and the"
            f" history has {-account.missing:,} more: checkpoints of ingest are lost",
            account.missing > 0,
        )
        for account in accounts(log, warehouse)
        if account.missing
    ]


def lost_states(log: Log) -> int:
    """Return how many contact points have records that converse has read, and no state.

    Logs that cannot look up a state (Kafka) have none to compare.
    """
    reader: Any = log
    if not hasattr(reader, "read_states"):
        return 0
    states: StateStore = reader
    lost = 0
    for at in log.positions("converse", [RECORDS.name]):
        keys: set[bytes] = set()
        for records in _committed(log, at, None):
            keys |= {record.key for record in records if record.key}
        stored = states.read_states(CONVERSE_STATE.name, at.partition, sorted(keys))
        lost += len(keys - stored.keys())
    return lost

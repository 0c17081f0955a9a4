"""Inserts a batch of log records into the warehouse, without checks if our stages wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from pipeline.log.port import LogRecord, row_version
from pipeline.sinks.reclassification import apply_reclassifications
from pipeline.sinks.row_mapping import TABLES, blocks_of
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import Warehouse
from schemas.reclassified import Reclassification
from schemas.records import Record
from schemas.topics import TOPICS
from schemas.types import Contract

_KEPT: dict[tuple[str, str], type[Contract]] = {
    (topic.name, contract.__name__): contract
    for topic in TOPICS.values()
    for contract in topic.carries
    if contract in TABLES
}


def loadable_unchecked(record: LogRecord) -> VersionedContract:
    """Return the contract of a record without validation: the stage that wrote it validated it.

    Raises KeyError if no header names the contract, ValueError if the value is not JSON.
    """
    return VersionedContract(
        _KEPT[record.topic, record.header("sb_contract")],
        orjson.loads(record.value),
        row_version(record),
    )


def insert_batch(warehouse: Warehouse, batch: Iterable[VersionedContract]) -> None:
    """Insert the rows of a batch into all tables and return when they are durable.

    Raises the errors of `Warehouse.insert_all`.
    """
    versions: dict[type[Contract], list[int]] = {Record: [], Reclassification: []}
    warehouse.insert_all(blocks_of(_collect_versions(batch, versions)))
    apply_reclassifications(warehouse, versions[Record], versions[Reclassification])


def _collect_versions(
    batch: Iterable[VersionedContract], versions: dict[type[Contract], list[int]]
) -> Iterator[VersionedContract]:
    """Yield a batch unchanged, and add the row versions of some contracts to `versions`."""
    for loadable in batch:
        if loadable.contract in versions:
            versions[loadable.contract].append(loadable.version)
        yield loadable

"""How a batch of the log's records reaches the warehouse: trusted where our own stages wrote
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from pipeline.log.port import LogRecord, version_of
from pipeline.sinks.reclassification import settle
from pipeline.sinks.row_mapping import TABLES, blocks_of
from pipeline.sinks.table_columns import Loadable
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


def trusted(record: LogRecord) -> Loadable:
    """Return what a record carries, unchecked, where its header says that one of our stages wrote
    it, which had checked it.

    Raises KeyError where it says nothing, ValueError where it is no JSON.
    """
    return Loadable(
        _KEPT[record.topic, record.header("sb_contract")],
        orjson.loads(record.value),
        version_of(record),
    )


def insert_all(warehouse: Warehouse, batch: Iterable[Loadable]) -> None:
    """Insert what a batch becomes into all its tables, and return when every row is durable; raises
    as `Warehouse.insert_all` does.
    """
    versions: dict[type[Contract], list[int]] = {Record: [], Reclassification: []}
    warehouse.insert_all(blocks_of(_noted(batch, versions)))
    settle(warehouse, versions[Record], versions[Reclassification])


def _noted(
    batch: Iterable[Loadable], versions: dict[type[Contract], list[int]]
) -> Iterator[Loadable]:
    """Pass a batch on, and note the versions of those contracts that are asked for."""
    for loadable in batch:
        if loadable.contract in versions:
            versions[loadable.contract].append(loadable.version)
        yield loadable

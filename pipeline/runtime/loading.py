"""How a batch of the log's records reaches the warehouse: trusted where our own stages wrote them, table beside table."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice

import orjson

from pipeline.runtime.log import LogRecord, version_of
from pipeline.sinks.rows import TABLES, columns_of
from pipeline.sinks.tables import Loadable
from pipeline.sinks.warehouse import Warehouse, WarehouseBusyError
from schemas.topics import TOPICS
from schemas.types import Contract

_KEPT: dict[tuple[str, str], type[Contract]] = {
    (topic.name, contract.__name__): contract
    for topic in TOPICS.values()
    for contract in topic.carries
    if contract in TABLES
}
# Two inserts at once keep the server busy while one of them waits for the disk; more gained nothing on two cores (bench/load.py).
_INSERTS_AT_ONCE = 2

_INSERTED_AT_ONCE = 5_000


def trusted(record: LogRecord) -> Loadable:
    """Return what a record carries, unchecked, where its header says that one of our stages wrote it, which had checked it.

    Raises KeyError where it says nothing, ValueError where it is no JSON.
    """
    return Loadable(_KEPT[record.topic, record.header("sb_contract")], orjson.loads(record.value), version_of(record))


def insert_threads() -> Executor:
    """Return the threads in which a stage inserts."""
    return ThreadPoolExecutor(_INSERTS_AT_ONCE, "insert")


def insert_all(warehouse: Warehouse, threads: Executor, batch: Iterable[Loadable]) -> None:
    """Insert what a batch becomes into all its tables, and return when every row is durable.

    Raises what the warehouse raises, after all inserts have ended: what may pass by itself before what may not; and KeyError, TypeError
    or ValueError, with nothing inserted, where a body is not what its contract says.
    """
    with _collector_paused():
        rest, inserts = iter(batch), []
        try:
            while part := list(islice(rest, _INSERTED_AT_ONCE)):
                inserts += [threads.submit(warehouse.insert, table, columns) for table, columns in columns_of(part)]
        finally:
            wait(inserts)
    errors = [error for insert in inserts if (error := insert.exception()) is not None]
    for error in sorted(errors, key=lambda error: not isinstance(error, WarehouseBusyError)):
        raise error


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector from going through a batch's values again and again; there are no cycles among them."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()

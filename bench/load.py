"""Compare the load stage with clickhouse-driver alone, on a real ClickHouse server.

`python bench/load.py [--records 20000] [--rounds 5]` prints µs per record and rows/s, for each
table and for all together. Ours starts with records as they are in the log (JSON bytes of
records.v1) and ends when every row of every table is durable. The driver starts with columns that
are ready, in the form that it inserts fastest, and inserts the same rows into the same tables: one
table after another or two at once, Python lists or NumPy arrays, whichever is best. The methods
take turns and each counts its best round, because other programs use the machine. The exit code is
not zero if ours is below 0.8 of the driver's rate.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from clickhouse_driver import Client

from pipeline.envelope import encode_event, validate_data
from pipeline.identity.contacts import OwnSide
from pipeline.log.port import LogRecord, Message
from pipeline.models.replica import Replica
from pipeline.outcomes import Reject
from pipeline.processors.identify import Identity
from pipeline.runtime.batch_insert import loadable_unchecked
from pipeline.runtime.gc_control import gc_between_batches
from pipeline.runtime.stages import enrich_handler, load_handler
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.row_mapping import columns_of
from pipeline.sinks.warehouse import Warehouse
from schemas.envelope import Event
from schemas.topics import RECORDS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events

_BAR = 0.8
# What the host gives load at once: settings' batch_records times LOAD_FACTOR.
_BATCH = 10_000
_ENRICHED_AT_ONCE = 2_000

Columns = dict[str, list[Any]]
Tables = dict[str, Columns]


def log_records(count: int, topics: Sequence[str] = ()) -> list[LogRecord]:
    """Return what enrich makes of events until there are `count` records of the topics (none: of
    all).
    """
    models = Replica().classifier()
    enrich = enrich_handler(Identity(b"bench", OwnSide(("shop.example.com",))), lambda: models)
    events = make_events(count * 3)
    found: list[LogRecord] = []
    while len(found) < count:
        raw = [
            _logged(encode_event(event, data), 0)
            for event, data in map(_event, islice(events, _ENRICHED_AT_ONCE))
        ]
        for message in enrich.handle(raw):
            if not topics or message.topic in topics:
                found.append(_logged(message, len(found)))
    return found[:count]


def _event(told: dict[str, Any]) -> tuple[Event, Any]:
    event = Event.model_validate(told)
    data = validate_data(event)
    if isinstance(data, Reject):
        raise SystemExit(f"the bench made an event that is refused: {data}")
    return event, data


def _logged(message: Message, offset: int) -> LogRecord:
    return LogRecord(
        message.topic, 0, offset, 1_790_000_000_000, message.key, message.value, message.headers
    )


def batches(records: Sequence[LogRecord]) -> list[Sequence[LogRecord]]:
    """Return the records in batches as the host gives them."""
    return [records[start : start + _BATCH] for start in range(0, len(records), _BATCH)]


class Driver:
    """clickhouse-driver on columns that are ready."""

    def __init__(
        self, server: ClickHouseServer, kinds: dict[str, dict[str, str]], numpy: bool
    ) -> None:
        self._clients = [
            Client(
                "127.0.0.1",
                server.tcp_port,
                database="switchboard",
                settings={"async_insert": 0, "use_numpy": numpy},
            )
            for _ in range(2)
        ]
        self._threads = ThreadPoolExecutor(2)
        self._kinds, self._numpy = kinds, numpy

    def ready(self, table: str, columns: Columns) -> list[Any]:
        """Return columns in the form that the driver writes fastest."""
        kinds = self._kinds[table]
        lists = [_drivers(kinds[name], values) for name, values in columns.items()]
        if not self._numpy:
            return lists
        return [_array(kinds[name], values) for name, values in zip(columns, lists, strict=True)]

    def insert(self, table: str, names: Sequence[str], columns: list[Any], client: int = 0) -> None:
        """Insert one table."""
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES"
        if self._numpy:
            # The driver writes into the arrays that it is given; the next round needs them as they
            # were.
            columns = [column.copy() for column in columns]
        self._clients[client].execute(sql, columns, columnar=True, types_check=False)

    def insert_two_at_once(self, tables: Sequence[tuple[str, Sequence[str], list[Any]]]) -> None:
        """Insert all tables, two at a time: the large ones in one thread, the rest in another."""
        halves = [tables[:1], tables[1:]]

        def insert_half(half: int) -> None:
            for table, names, columns in halves[half]:
                self.insert(table, names, columns, half)

        list(self._threads.map(insert_half, (0, 1)))


def _drivers(kind: str, values: list[Any]) -> list[Any]:
    if kind in ("UUID", "Nullable(UUID)"):
        return [None if value is None else UUID(value) for value in values]
    return values


_DTYPES = {"Bool": np.bool_, "Float32": np.float32, "UInt32": np.uint32, "UInt64": np.uint64}


def _array(kind: str, values: list[Any]) -> Any:
    if "DateTime64" in kind and "Tuple" not in kind and None not in values:
        return np.array(values, np.int64)
    if kind in _DTYPES:
        return np.array(values, _DTYPES[kind])
    array = np.empty(len(values), object)
    array[:] = values
    return array


@dataclass
class Cost:
    """Seconds of a way's best round: by the clock, and by the processor on either side."""

    wall: float = float("inf")
    client: float = float("inf")
    server: float = float("inf")


def best(
    rounds: int,
    ways: Mapping[str, Callable[[], None]],
    before: Callable[[], None],
    server_pid: int = 0,
) -> dict[str, Cost]:
    """Return the cost of each way; ways take turns."""
    costs = {name: Cost() for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            before()
            gc.collect()
            server, client, begun = _cpu_of(server_pid), time.process_time(), time.perf_counter()
            way()
            cost = costs[name]
            cost.wall = min(cost.wall, time.perf_counter() - begun)
            cost.client = min(cost.client, time.process_time() - client)
            cost.server = min(cost.server, _cpu_of(server_pid) - server)
    return costs


def _cpu_of(pid: int) -> float:
    if not pid:
        return 0.0
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _load(warehouse: Warehouse, parts: Sequence[Sequence[LogRecord]]) -> None:
    handler = load_handler(warehouse)
    with gc_between_batches() as collect:
        for part in parts:
            if letters := handler.handle(part):
                raise SystemExit(f"the warehouse refused a record: {letters[0].value!r}")
            collect()


class Contest:
    """The driver and ours on one server, with the same rows: from ready columns table by table,
    then whole.
    """

    def __init__(self, server: ClickHouseServer, records: Sequence[LogRecord], rounds: int) -> None:
        self._server, self._rounds, self._count = server, rounds, len(records)
        self._parts = batches(records)
        self._ready: list[Tables] = [
            dict(columns_of(map(loadable_unchecked, part))) for part in self._parts
        ]
        self._tables = list(self._ready[0])
        self._ours = ClickHouseWarehouse(server.url)
        migrate(self._ours)
        self._asking = server.client(database="switchboard")
        kinds: dict[str, dict[str, str]] = {}
        listing = "SELECT table, name, type FROM system.columns WHERE database = 'switchboard'"
        for table, name, kind in self._asking.execute(listing):
            kinds.setdefault(table, {})[name] = kind
        self._drivers = {
            name: Driver(server, kinds, numpy=name == "NumPy") for name in ("lists", "NumPy")
        }
        self._choices: dict[str, tuple[Driver, list[tuple[list[str], list[Any]]]]] = {}

    def _clear(self) -> None:
        for table in self._tables:
            self._asking.execute(f"TRUNCATE TABLE {table}")

    def by_table(self) -> None:
        """Print each table's rates from ready columns, and choose the driver's faster method."""
        heads = f"{'driver, lists':>14} {'driver, NumPy':>14} {'ours':>10}"
        print(f"{'table':<20} {'rows':>8} {heads}  rows/s from ready columns")
        driver_sum = our_sum = 0.0
        for table in self._tables:
            made = {
                name: [
                    (list(part[table]), driver.ready(table, part[table])) for part in self._ready
                ]
                for name, driver in self._drivers.items()
            }
            ways = {name: partial(_each, self._drivers[name], table, made[name]) for name in made}
            if not _works(ways["NumPy"]):
                del ways["NumPy"]
            whole = {**ways, "ours": partial(_insert, self._ours, table, self._ready)}
            seconds = {
                name: cost.wall for name, cost in best(self._rounds, whole, self._clear).items()
            }
            rows = sum(len(next(iter(part[table].values()))) for part in self._ready)
            faster = min(ways, key=lambda name: seconds[name])
            self._choices[table] = self._drivers[faster], made[faster]
            shown = " ".join(
                f"{rows / seconds[name]:>14,.0f}" if name in seconds else f"{'fails':>14}"
                for name in made
            )
            print(f"{table:<20} {rows:>8,} {shown} {rows / seconds['ours']:>10,.0f}")
            driver_sum += seconds[faster]
            our_sum += seconds["ours"]
        print(
            f"from ready columns ours has {driver_sum / our_sum:.2f} times the driver's best rate,"
            " over all tables\n"
        )

    def whole(self) -> float:
        """Print the cost per record; return our rate from the log divided by the driver's best.

        The driver starts with ready columns.
        """
        ways: dict[str, Callable[[], None]] = {"driver, tables in turn": self._one_after_another}
        if all(driver is self._drivers["lists"] for driver, _ in self._choices.values()):
            ways["driver, two at once"] = self._two_at_once
        ours = "ours, from the log"
        ways[ours] = lambda: _load(self._ours, self._parts)
        costs = best(self._rounds, ways, self._clear, self._server.pid)
        print(f"{'':<24} {'µs/record':>10} {'client CPU':>11} {'server CPU':>11} {'records/s':>10}")
        for name, cost in costs.items():
            wall, client, busy = (
                part / self._count * 1e6 for part in (cost.wall, cost.client, cost.server)
            )
            print(
                f"{name:<24} {wall:>10.1f} {client:>11.1f} {busy:>11.1f}"
                f" {self._count / cost.wall:>10,.0f}"
            )
        ((kept,),) = self._asking.execute("SELECT count() FROM communication_rows")
        if kept != self._count:
            raise SystemExit(f"{self._count} records were loaded, but the table has {kept}")
        return min(cost.wall for name, cost in costs.items() if name != ours) / costs[ours].wall

    def _one_after_another(self) -> None:
        for place in range(len(self._parts)):
            for table, (driver, made) in self._choices.items():
                driver.insert(table, *made[place])

    def _two_at_once(self) -> None:
        for place in range(len(self._parts)):
            made = [(table, *columns[place]) for table, (_, columns) in self._choices.items()]
            self._drivers["lists"].insert_two_at_once(made)


def _each(driver: Driver, table: str, made: list[tuple[list[str], list[Any]]]) -> None:
    for names, columns in made:
        driver.insert(table, names, columns)


def _insert(warehouse: Warehouse, table: str, ready: list[Tables]) -> None:
    for part in ready:
        warehouse.insert(table, part[table])


def _works(way: Callable[[], None]) -> bool:
    try:
        way()
    except Exception:
        return False
    return True


def _nothing() -> None:
    """Prepare nothing before a round, because rows replace themselves."""


def on_one_machine(named: dict[str, Sequence[LogRecord]], rounds: int) -> None:
    """Measure and print the cost per record in the embedded store."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = ChdbWarehouse(Path(folder))
        migrate(warehouse)
        seconds = best(
            rounds,
            {name: partial(_load, warehouse, batches(some)) for name, some in named.items()},
            _nothing,
        )
        for name, cost in seconds.items():
            some, taken = len(named[name]), cost.wall
            print(
                f"embedded, {name:<14} {taken / some * 1e6:>8.1f} µs/record {some / taken:>10,.0f}"
                " records/s"
            )
        warehouse.close()


def main() -> int:
    """Print everything; return 1 if ours is below the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--embedded", action="store_true", help="also measure the embedded store")
    arguments = parser.parse_args()
    # The driver warns about every column that NumPy cannot hold; the table shows that already.
    logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)
    records = log_records(arguments.records, (RECORDS.name,))
    with tempfile.TemporaryDirectory() as folder, ClickHouseServer(Path(folder)) as server:
        contest = Contest(server, records, arguments.rounds)
        contest.by_table()
        ratio = contest.whole()
    print(
        f"from the log, with decoding, ours has {ratio:.2f} times the driver's best rate from ready"
        f" columns (target: {_BAR})"
    )
    if arguments.embedded:
        on_one_machine(
            {"records": records, "mixed": log_records(arguments.records)}, arguments.rounds
        )
    return 0 if ratio >= _BAR else 1


if __name__ == "__main__":
    sys.exit(main())

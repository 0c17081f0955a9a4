"""The embedded warehouse: typed inserts, questions that only read, migrations, and one store shared
by processes.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from pipeline.sinks import migrations, store_server
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.query_guard.limits import QuestionLimits
from pipeline.sinks.store_server import RemoteWarehouse, open_for_reading, open_for_running
from pipeline.sinks.warehouse import (
    StoreInUseError,
    Warehouse,
    WarehouseBusyError,
    WarehouseError,
    error_for_code,
)
from tests.support.migrated_store import copy_migrated_store

# 2026-11-01 10:00:00.123 UTC
NOW_MS = 1_793_527_200_123
ID = "5f0c6b36-5f1c-8a3b-9a3e-0d2f6a1b2c3d"


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[ChdbWarehouse]:
    warehouse = ChdbWarehouse(copy_migrated_store(tmp_path / "store"))
    yield warehouse
    warehouse.close()


def ask(warehouse: Warehouse, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in warehouse.query(sql, parameters).splitlines()]


def block(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def label(version: int, value: str) -> dict[str, Any]:
    return {
        "label_id": ID,
        "tenant": "t",
        "record_id": ID,
        "head": "need",
        "value": value,
        "labelled_at": NOW_MS,
        "version": version,
    }


def test_a_replayed_row_replaces_itself_and_an_older_version_does_not_count(
    warehouse: ChdbWarehouse,
) -> None:
    warehouse.insert("label_rows", block(label(2, "payment")))
    warehouse.insert("label_rows", block(label(2, "payment")))
    warehouse.insert("label_rows", block(label(1, "logistics")))
    assert ask(warehouse, "SELECT value FROM labels") == [{"value": "payment"}]


def test_every_type_is_read_back_unchanged(warehouse: ChdbWarehouse) -> None:
    row = {
        "record_id": ID,
        "kind": "order",
        "action": "paid",
        "occurred_at": NOW_MS,
        "received_at": NOW_MS,
        "customer_id": None,
        "contacts": ["email:a'b@example.org", "phone:+86"],
        "amount": Decimal("129.9900"),
        "item_quantities": [2.5],
        "rating": None,
        "text": "价格 '\\ \n\t\0 🫖",
        "attributes": {"k": "v"},
        "version": 1,
    }
    warehouse.insert("business_event_rows", block(row))
    (kept,) = ask(warehouse, "SELECT * FROM business_events")
    assert kept["text"] == row["text"]
    assert kept["contacts"] == row["contacts"]
    assert (kept["customer_id"], kept["rating"], kept["item_quantities"]) == (None, None, [2.5])
    assert Decimal(str(kept["amount"])) == Decimal("129.99")
    assert kept["attributes"] == {"k": "v"}
    assert kept["occurred_at"] == "2026-11-01 10:00:00.123"


def test_arbitrary_bytes_are_stored_unchanged(warehouse: ChdbWarehouse) -> None:
    payload = bytes(range(256))
    row = {
        "dead_letter_id": ID,
        "payload": payload,
        "headers": {},
        "failed_at": NOW_MS,
        "version": 1,
    }
    warehouse.insert("dead_letter_rows", block(row))
    assert ask(warehouse, "SELECT hex(payload) AS payload FROM dead_letters") == [
        {"payload": payload.hex().upper()}
    ]


def test_a_row_of_the_wrong_type_is_rejected_and_nothing_is_inserted(
    warehouse: ChdbWarehouse,
) -> None:
    with pytest.raises(WarehouseError, match="column labelled_at of label_rows"):
        warehouse.insert(
            "label_rows",
            block(label(1, "payment"), label(1, "payment") | {"labelled_at": "yesterday"}),
        )
    assert ask(warehouse, "SELECT * FROM labels") == []
    with pytest.raises(WarehouseError, match="there is no table nowhere"):
        warehouse.insert("nowhere", {"a": [1]})


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO label_rows (by) VALUES ('x')",
        "DROP TABLE label_rows",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "SET readonly = 0",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "SELECT 1 INTO OUTFILE '{out}'",
        "SELECT 1 INTO/**/OUTFILE '{out}'",
        "SELECT 1; SELECT 2",
        "SELECT $$ ' $$; SYSTEM STOP MERGES -- '",
        "SYSTEM STOP MERGES",
        "/* SELECT */ SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1",
        "SELECT file('/etc/passwd')",
        "SELECT `file` ('/etc/passwd')",
        "SELECT 1 WHERE (SELECT length(file('/etc/passwd')) > 0)",
        "DESCRIBE TABLE file('/etc/passwd', LineAsString)",
        "DESC url('http://127.0.0.1:1/', CSV)",
        "DESCRIBE (SELECT * FROM url('http://127.0.0.1:1/', CSV))",
        "EXPLAIN SELECT * FROM file('/etc/passwd', LineAsString)",
        "",
        "/* never closed",
    ],
)
def test_sql_that_does_more_than_read_is_rejected(
    warehouse: ChdbWarehouse, sql: str, tmp_path: Path
) -> None:
    with pytest.raises(WarehouseError):
        warehouse.query(sql.format(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1;",
        "-- first\n( SELECT 'a;b' ) /* ; */ ;",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x # end",
        "FROM system.one SELECT 'INTO OUTFILE', 'file('",
        "SHOW TABLES",
        "DESCRIBE TABLE communications",
        "DESCRIBE (SELECT 1)",
        "DESC TABLE (SELECT 1)",
        "EXPLAIN SELECT 1",
        "EXISTS TABLE communications",
        "SELECT 1 AS file, (2) AS profile",
    ],
)
def test_read_only_statements_are_allowed(warehouse: ChdbWarehouse, sql: str) -> None:
    assert warehouse.query(sql, fmt="TSV")


@pytest.mark.parametrize(
    "text", ["plain", "O'Brien", "a\\b", "line\nend\ttab\0", "价格", "\\N", "{x:String}"]
)
def test_a_parameter_is_never_parsed_as_sql(warehouse: ChdbWarehouse, text: str) -> None:
    assert ask(
        warehouse, "SELECT {x:String} AS x, {xs:Array(String)} AS xs", x=text, xs=[text, ""]
    ) == [{"x": text, "xs": [text, ""]}]


def test_errors_have_clickhouse_codes_and_temporary_ones_are_busy() -> None:
    assert isinstance(error_for_code(241, "memory"), WarehouseBusyError)
    assert not isinstance(error_for_code(60, "no table"), WarehouseBusyError)


def test_an_unknown_column_has_an_error_code(warehouse: ChdbWarehouse) -> None:
    with pytest.raises(WarehouseError, match="nonsense") as caught:
        warehouse.query("SELECT nonsense FROM communications")
    assert caught.value.code == 47


def test_migrating_again_does_nothing(warehouse: ChdbWarehouse) -> None:
    assert migrations.migrate(warehouse) == []
    assert {status for _, status in migrations.applied(warehouse).values()} == {"completed"}


def test_an_interrupted_migration_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = ChdbWarehouse(tmp_path / "store")
    known = migrations.migrations()
    broken = replace(known[0], statements=(*known[0].statements[:2], "CREATE NONSENSE"))
    monkeypatch.setattr(migrations, "migrations", lambda: (broken, *known[1:]))
    with pytest.raises(WarehouseError):
        migrations.migrate(warehouse)
    assert migrations.applied(warehouse)[1][1] == "started"
    monkeypatch.setattr(migrations, "migrations", lambda: known)
    assert len(migrations.migrate(warehouse)) == len(known)
    warehouse.close()


def test_a_changed_or_unknown_migration_is_an_error(
    warehouse: ChdbWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.migrations()
    monkeypatch.setattr(
        migrations, "migrations", lambda: (replace(known[0], sha256="other"), *known[1:])
    )
    with pytest.raises(migrations.MigrationError, match="write a new migration instead"):
        migrations.migrate(warehouse)
    monkeypatch.setattr(migrations, "migrations", lambda: known[:-1])
    with pytest.raises(migrations.MigrationError, match="upgrade Switchboard"):
        migrations.migrate(warehouse)


def test_every_column_of_every_table_and_view_has_a_comment(warehouse: ChdbWarehouse) -> None:
    silent = ask(
        warehouse,
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = ''"
        " AND table NOT IN ('customer_history')",
    )
    own = [row for row in silent if row["name"] not in ("version", "ingested_at")]
    assert own == []


_HOLDER = """
import sys, time
from pathlib import Path
from pipeline.sinks.store_server import open_for_running
warehouse = open_for_running(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
warehouse.close()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "open\n"
    yield tmp_path, process
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_a_process_with_the_store_open_answers_other_processes(
    holder: tuple[Path, Any],
) -> None:
    folder, process = holder
    warehouse = open_for_reading(folder)
    assert isinstance(warehouse, RemoteWarehouse)
    assert ask(warehouse, "SELECT count() AS n FROM communications") == [{"n": 0}]
    with pytest.raises(WarehouseError, match="READONLY"):
        warehouse.query("DROP TABLE label_rows")
    with pytest.raises(WarehouseError) as caught:
        warehouse.query("SELECT nonsense")
    assert caught.value.code == 47
    limits = QuestionLimits(seconds=60, memory_bytes=1 << 30, rows=10, bytes=1 << 20)
    assert warehouse.query("SELECT 1 AS a", limits=limits) == b'{"a":1}\n'
    with pytest.raises(WarehouseError, match="question_rows"):
        warehouse.query("SELECT number FROM numbers(11)", limits=limits)
    with pytest.raises(StoreInUseError, match=str(process.pid)):
        open_for_running(folder)
    warehouse.close()
    assert (folder / "store.sock").stat().st_mode & 0o077 == 0


def test_a_reader_waits_for_a_process_that_is_opening_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = store_server._Lock.take(tmp_path)
    assert lock is not None
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        lock.release()

    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=wait))
    warehouse = open_for_reading(tmp_path)
    assert warehouse.query("SELECT 1 AS one") == b'{"one":1}\n'
    warehouse.close()
    assert len(waits) == 1


def test_the_store_opens_at_once_after_its_process_was_killed(holder: tuple[Path, Any]) -> None:
    folder, process = holder
    process.kill()
    process.wait()
    warehouse = open_for_reading(folder)
    assert ask(warehouse, "SELECT count() AS n FROM communications") == [{"n": 0}]
    warehouse.close()


def test_a_folder_with_a_path_too_long_for_a_socket_is_served(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    warehouse = open_for_running(folder)
    assert not (folder / "store.sock").exists()
    warehouse.close()

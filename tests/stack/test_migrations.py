"""Migrations on a real ClickHouse server: by several processes at once, after a killed migrator.

Looking at them changes nothing.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.sinks import migrations
from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.migration_lock import MigrationLock
from pipeline.sinks.warehouse import WarehouseBusyError, rows
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.warehouses import fresh_url

pytestmark = pytest.mark.stack

_MIGRATOR = """
import sys
from pipeline.sinks.migrations import migrate
from pipeline.sinks.clickhouse import ClickHouseWarehouse
sys.stdin.read(1)
print(len(migrate(ClickHouseWarehouse(sys.argv[1]))), flush=True)
"""
# Applies the first two statements, says so, and never comes to the third.
_SLEEPER = """
import sys
from pipeline.sinks.migrations import migrate
from pipeline.sinks.clickhouse import ClickHouseWarehouse

class Sleeper(ClickHouseWarehouse):
    done = 0
    def execute(self, sql):
        if sql.startswith("CREATE") and "schema_migrations" not in sql:
            self.done += 1
            if self.done == 3:
                print("asleep", flush=True)
                sys.stdin.read()
        super().execute(sql)

print(migrate(Sleeper(sys.argv[1]), lease_s=float(sys.argv[2])))
"""


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )


def status(warehouse: ClickHouseWarehouse) -> list[str]:
    found = rows(
        warehouse,
        "SELECT status, finished_at >= started_at AS ended, by FROM schema_migrations FINAL",
    )
    assert all(row["ended"] and ":" in row["by"] for row in found)
    return [row["status"] for row in found]


def locks(warehouse: ClickHouseWarehouse) -> list[str]:
    sql = (
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE"
        " 'schema_migrations_lock_%'"
    )
    return [row["name"] for row in rows(warehouse, sql)]


def test_four_concurrent_processes_apply_every_migration_once(clickhouse: ClickHouseServer) -> None:
    url = fresh_url(clickhouse)
    known = len(migrations.migrations())
    processes = [started(_MIGRATOR, url) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    told = [int(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(told) == [0, 0, 0, known]
    warehouse = ClickHouseWarehouse(url)
    assert status(warehouse) == ["completed"] * known
    assert len(locks(warehouse)) == 1
    assert migrations.migrate(warehouse) == []
    warehouse.close()


def test_another_process_continues_after_the_lease_of_a_killed_one_expired(
    clickhouse: ClickHouseServer,
) -> None:
    url = fresh_url(clickhouse)
    process = started(_SLEEPER, url, "3")
    assert process.stdout is not None
    assert process.stdout.readline() == "asleep\n"
    warehouse = ClickHouseWarehouse(url)
    assert not MigrationLock(warehouse, 1).acquire()
    process.kill()
    process.communicate()
    assert migrations.applied(warehouse)[1][1] == "started"
    assert len(migrations.migrate(warehouse)) == len(migrations.migrations())
    assert migrations.missing(warehouse) == []
    warehouse.close()


def test_a_process_suspended_past_its_lease_detects_that_another_took_over(
    clickhouse: ClickHouseServer,
) -> None:
    warehouse = ClickHouseWarehouse(fresh_url(clickhouse))
    warehouse.create_database()
    sleeper, other = MigrationLock(warehouse, 0), MigrationLock(warehouse, 60)
    assert sleeper.acquire()
    assert other.acquire()
    with pytest.raises(WarehouseBusyError, match="took over"):
        sleeper.renew()
    sleeper.release()
    assert not sleeper.acquire()
    other.renew()
    other.release()
    assert sleeper.acquire()
    assert len(locks(warehouse)) == 1
    warehouse.close()


def test_one_of_two_processes_acquires_an_expired_lock(
    clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = ClickHouseWarehouse(fresh_url(clickhouse))
    warehouse.create_database()
    first, slow = MigrationLock(warehouse, 0), MigrationLock(warehouse, 60)
    assert first.acquire()
    seen = first._all()
    looks = iter([seen])
    fresh = slow._all
    monkeypatch.setattr(slow, "_all", lambda: next(looks, None) or fresh())
    # While the slow one thinks, others come and go: the number it wants is free again, and is no
    # longer the next.
    for _ in range(3):
        quick = MigrationLock(warehouse, 0)
        assert quick.acquire()
    assert not slow.acquire()
    assert len(locks(warehouse)) == 1
    warehouse.close()


def test_checking_for_missing_migrations_changes_nothing(
    clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = ClickHouseWarehouse(fresh_url(clickhouse))
    warehouse.create_database()
    known = migrations.migrations()
    assert migrations.missing(warehouse) == list(known)
    assert rows(warehouse, "SHOW TABLES") == []
    migrations.migrate(warehouse)
    newer = replace(known[0], number=len(known) + 1, name="0099_more.sql", sha256="new")
    monkeypatch.setattr(migrations, "migrations", lambda: (*known, newer))
    assert migrations.missing(warehouse) == [newer]
    monkeypatch.setattr(migrations, "migrations", lambda: known[:-1])
    with pytest.raises(migrations.MigrationError, match="upgrade Switchboard"):
        migrations.missing(warehouse)
    warehouse.close()


def test_without_a_database_all_migrations_are_missing(tmp_path: Path) -> None:
    # A server of its own: chdb's listener does not survive many refusals.
    with ClickHouseServer(tmp_path) as server:
        warehouse = ClickHouseWarehouse(server.url)
        assert migrations.missing(warehouse) == list(migrations.migrations())
        warehouse.close()

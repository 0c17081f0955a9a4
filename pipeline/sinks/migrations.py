"""Applies the migrations of `schemas/migrations.py` in order, each once, and records checksums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.log.clock import now_ms
from pipeline.log.retries import poll_until
from pipeline.sinks.migration_lock import MigrationLock
from pipeline.sinks.warehouse import Warehouse, WarehouseBusyError, WarehouseError, rows
from schemas.migrations import migration_texts

_STATUS_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32 COMMENT 'Number of the migration',
    name String COMMENT 'File name of the migration',
    sha256 String COMMENT 'SHA-256 of its SQL text',
    status LowCardinality(String) COMMENT 'started or completed',
    changed_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
        COMMENT 'When this row was inserted, UTC'
)
ENGINE = ReplacingMergeTree(changed_at) ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Migrations applied to this database'
"""
# Apart from the table: databases of the first release have the table without them.
_STATUS_COLUMNS = """
ALTER TABLE schema_migrations
    ADD COLUMN IF NOT EXISTS started_at DateTime64(3, 'UTC') COMMENT 'When it was started, UTC',
    ADD COLUMN IF NOT EXISTS finished_at Nullable(DateTime64(3, 'UTC'))
        COMMENT 'When it was completed, UTC; null if it was not',
    ADD COLUMN IF NOT EXISTS by String COMMENT 'Host and process that applied it'
"""
# ClickHouse's error numbers UNKNOWN_TABLE and UNKNOWN_DATABASE: nothing has been applied yet.
_ABSENT = (60, 81)
# Longer than any statement takes on a busy server. After a migrator was killed, others wait this
# long before they take over.
_LEASE_S = 30.0
# Long enough for another process to apply everything, or for two killed ones to lose their leases.
_MAX_WAIT_S, _POLL_S = 120.0, 0.2
_STARTED, _COMPLETED = "started", "completed"


class MigrationError(UserError):
    """A migration was changed after it had been applied, or the database has an unknown one."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration: its number, file name, checksum and statements, which can be run again."""

    number: int
    name: str
    sha256: str
    statements: tuple[str, ...]


def migrations() -> tuple[Migration, ...]:
    """Return all migrations in order; raises MigrationError if numbers are not 1, 2, 3 …"""
    parsed = [_parse(name, text) for name, text in migration_texts().items()]
    if [migration.number for migration in parsed] != list(range(1, len(parsed) + 1)):
        raise MigrationError(
            f"migrations must be numbered 1, 2, 3 …: {', '.join(m.name for m in parsed)}"
        )
    return tuple(parsed)


def _parse(name: str, text: str) -> Migration:
    return Migration(
        int(name.partition("_")[0]),
        name,
        hashlib.sha256(text.encode()).hexdigest(),
        tuple(_statements(text)),
    )


def _statements(text: str) -> Iterator[str]:
    bare = re.sub(r"^--.*$", "", text, flags=re.MULTILINE)
    yield from (
        statement.strip()
        for statement in re.split(r";\s*$", bare, flags=re.MULTILINE)
        if statement.strip()
    )


def applied(warehouse: Warehouse) -> dict[int, tuple[str, str]]:
    """Return the checksum and status of each migration in the database, by number."""
    try:
        found = rows(warehouse, "SELECT number, sha256, status FROM schema_migrations FINAL")
    except WarehouseError as error:
        if error.code in _ABSENT:
            return {}
        raise
    return {row["number"]: (row["sha256"], row["status"]) for row in found}


def missing(warehouse: Warehouse) -> list[Migration]:
    """Return the migrations that were not completed on the database, in order.

    Raises MigrationError if an applied one was changed, or the database is newer than the program.
    """
    known, recorded = migrations(), applied(warehouse)
    if newer := sorted(set(recorded) - {migration.number for migration in known}):
        raise MigrationError(
            f"the database has migrations {newer}, which this program does not know: upgrade"
            " Switchboard"
        )
    for migration in known:
        sha256, status = recorded.get(migration.number, ("", ""))
        if status == _COMPLETED and sha256 != migration.sha256:
            raise MigrationError(
                f"{migration.name} was changed after it was applied: write a new migration instead"
            )
    return [
        migration
        for migration in known
        if recorded.get(migration.number, ("", ""))[1] != _COMPLETED
    ]


def migrate(warehouse: Warehouse, lease_s: float = _LEASE_S) -> list[Migration]:
    """Apply missing migrations in order and return them.

    An interrupted migration is run again from its start. Several processes may call this at once:
    one applies, the others wait. Raises MigrationError as `missing` does, and WarehouseBusyError if
    another process migrates for more than two minutes.
    """
    warehouse.create_database()
    lock = MigrationLock(warehouse, lease_s)

    def migrate_once() -> list[Migration] | None:
        if not missing(warehouse):
            return []
        if not lock.acquire():
            return None
        try:
            return _apply_missing(warehouse, lock)
        finally:
            # If the server is away, the first error is raised, and the lease expires by itself.
            with suppress(WarehouseError):
                lock.release()

    applied = poll_until(migrate_once, limit_s=_MAX_WAIT_S, wait_s=_POLL_S)
    if applied is None:
        raise WarehouseBusyError(
            f"{lock.holder} has been migrating for more than {_MAX_WAIT_S:.0f} s: check that"
            " process"
        )
    return applied


def _apply_missing(warehouse: Warehouse, lock: MigrationLock) -> list[Migration]:
    warehouse.execute(_STATUS_TABLE)
    warehouse.execute(_STATUS_COLUMNS)
    done = []
    for migration in missing(warehouse):
        started_at = now_ms()
        _record(warehouse, migration, started_at, None, lock.owner)
        for statement in migration.statements:
            lock.renew()
            warehouse.execute(statement)
        _record(warehouse, migration, started_at, now_ms(), lock.owner)
        done.append(migration)
    return done


def repeat_migrations(warehouse: Warehouse) -> None:
    """Run every statement of all migrations again, which creates tables and views that are gone."""
    for migration in migrations():
        for statement in migration.statements:
            warehouse.execute(statement)


def _record(
    warehouse: Warehouse, migration: Migration, started_at: int, finished_at: int | None, by: str
) -> None:
    row = {
        "number": migration.number,
        "name": migration.name,
        "sha256": migration.sha256,
        "status": _STARTED if finished_at is None else _COMPLETED,
        "started_at": started_at,
        "finished_at": finished_at,
        "by": by,
    }
    warehouse.insert("schema_migrations", {name: [value] for name, value in row.items()})

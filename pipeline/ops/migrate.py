"""Migrations: the numbered SQL files of schemas/clickhouse, each applied once, in order, recorded with its checksum."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from pipeline.errors import UserError
from pipeline.sinks.warehouse import Warehouse, rows

_STATUS_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32 COMMENT 'Number of the file',
    name String COMMENT 'Its name',
    sha256 String COMMENT 'SHA-256 of its text',
    status LowCardinality(String) COMMENT 'started or completed',
    changed_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When, UTC'
)
ENGINE = ReplacingMergeTree(changed_at) ORDER BY number
COMMENT 'Which migrations this database has had'
"""


class MigrationError(UserError):
    """A migration was changed after it had been applied, or the database has one that this program does not know."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name and its statements, all of them safe to run again."""

    number: int
    name: str
    sha256: str
    statements: tuple[str, ...]


def migrations() -> tuple[Migration, ...]:
    """Return all migrations in order; raises MigrationError where numbers have a gap or repeat."""
    folder = resources.files("schemas") / "clickhouse"
    found = sorted(
        (_parse(entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda migration: migration.number,
    )
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations must be numbered 1, 2, 3 …: {', '.join(m.name for m in found)}")
    return tuple(found)


def _parse(name: str, text: str) -> Migration:
    return Migration(
        int(name.partition("_")[0]), name, hashlib.sha256(text.encode()).hexdigest(), tuple(_statements(text))
    )


def _statements(text: str) -> Iterator[str]:
    bare = re.sub(r"^--.*$", "", text, flags=re.MULTILINE)
    yield from (statement.strip() for statement in re.split(r";\s*$", bare, flags=re.MULTILINE) if statement.strip())


def applied(warehouse: Warehouse) -> dict[int, tuple[str, str]]:
    """Return number → (sha256, status) of the migrations that the database has had."""
    warehouse.execute(_STATUS_TABLE)
    found = rows(warehouse, "SELECT number, sha256, status FROM schema_migrations FINAL")
    return {row["number"]: (row["sha256"], row["status"]) for row in found}


def migrate(warehouse: Warehouse) -> list[Migration]:
    """Apply what is missing, in order, and return it; a migration that broke off is run again from its start.

    Raises MigrationError where an applied file was changed since, or where the database is newer than this program.
    """
    known, had = migrations(), applied(warehouse)
    if newer := sorted(set(had) - {migration.number for migration in known}):
        raise MigrationError(
            f"the database has migrations {newer} that this program does not know: upgrade Switchboard"
        )
    done = []
    for migration in known:
        sha256, status = had.get(migration.number, ("", ""))
        if status == "completed":
            if sha256 != migration.sha256:
                raise MigrationError(
                    f"{migration.name} was changed after it was applied: write a new migration instead"
                )
            continue
        _record(warehouse, migration, "started")
        for statement in migration.statements:
            warehouse.execute(statement)
        _record(warehouse, migration, "completed")
        done.append(migration)
    return done


def _record(warehouse: Warehouse, migration: Migration, status: str) -> None:
    warehouse.insert(
        "schema_migrations",
        {
            "number": [migration.number],
            "name": [migration.name],
            "sha256": [migration.sha256],
            "status": [status],
        },
    )

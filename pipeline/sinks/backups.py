"""Backups by ClickHouse's BACKUP and RESTORE, verified by row counts and checksums of tables.

https://clickhouse.com/docs/operations/backup. A backup has each table as it was at one moment;
tables are backed up one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from pipeline.errors import UserError
from pipeline.sinks.warehouse import Warehouse, WarehouseError, rows

TableChecksums = dict[str, list[str]]
"""Row count and checksum of each table; as text, because they exceed what JSON numbers hold."""

# Has rows as soon as a database has tables, so its rows do not make a database used.
_MIGRATIONS = "schema_migrations"
# ClickHouse's error number if its configuration does not allow the backup destination.
_INVALID_CONFIG = 318


class BackupError(UserError):
    """A backup cannot be written or restored, or does not match its manifest."""


def back_up(
    warehouse: Warehouse, destination: str, witnesses: Sequence[Sequence[str]]
) -> TableChecksums:
    """Back up a database, verify the backup in a temporary database, and return its checksums.

    See `verified_checksums` for `witnesses`.
    """
    (current,) = rows(warehouse, "SELECT currentDatabase() AS name")
    name = _quoted(current["name"])
    copy = f"{current['name']}_check_{uuid4().hex[:8]}"
    _execute(warehouse, f"BACKUP DATABASE {name} TO {destination}")
    try:
        _execute(warehouse, f"RESTORE DATABASE {name} AS {_quoted(copy)} FROM {destination}")
        return verified_checksums(warehouse, copy, witnesses)
    finally:
        warehouse.execute(f"DROP DATABASE IF EXISTS {_quoted(copy)} SYNC")


def restore(
    warehouse: Warehouse,
    source: str,
    database: str,
    expected: Mapping[str, Sequence[str]],
    witnesses: Sequence[Sequence[str]],
) -> None:
    """Restore the backup of a database into an empty one and compare checksums.

    Raises BackupError if the warehouse's database has rows, or checksums differ from `expected`.
    """
    (current,) = rows(warehouse, "SELECT currentDatabase() AS name")
    target = current["name"]
    used = [
        table
        for table, (count, _) in table_checksums(warehouse, target).items()
        if count != "0" and table != _MIGRATIONS
    ]
    if used:
        raise BackupError(
            f"{target} has rows ({', '.join(used)}): restore into a database that does not"
            " exist yet"
        )
    warehouse.execute(f"DROP DATABASE {_quoted(target)} SYNC")
    warehouse.create_database()
    _execute(warehouse, f"RESTORE DATABASE {_quoted(database)} AS {_quoted(target)} FROM {source}")
    restored = verified_checksums(warehouse, target, witnesses)
    if restored != {table: list(checksum) for table, checksum in expected.items()}:
        different = sorted(
            table for table in {*restored, *expected} if restored.get(table) != expected.get(table)
        )
        raise BackupError(
            f"{source} does not match its manifest: {', '.join(different)} differ; use another"
            " backup"
        )


def verified_checksums(
    warehouse: Warehouse, database: str, witnesses: Sequence[Sequence[str]]
) -> TableChecksums:
    """Return the checksums of a database after checking that it is complete.

    Each group of `witnesses` has the ids of the last records before an offset of load, which were
    durable when the offset was committed. Raises BackupError if none of a group exists.
    """
    for group in witnesses:
        (row,) = rows(
            warehouse,
            f"SELECT count() > 0 AS any FROM {_quoted(database)}.delivery_rows WHERE record_id IN"
            " {ids:Array(UUID)}",
            ids=list(group),
        )
        if not row["any"]:
            raise BackupError(
                f"the backup is older than the offsets that belong to it: it lacks {group[-1]}"
            )
    return table_checksums(warehouse, database)


def table_checksums(warehouse: Warehouse, database: str) -> TableChecksums:
    """Return row count and checksum of the current rows of each table; merges change neither."""
    checksums: TableChecksums = {}
    for table in rows(
        warehouse,
        "SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE"
        " '%MergeTree' ORDER BY name",
        database=database,
    ):
        (row,) = rows(
            warehouse,
            "SELECT toString(count()) AS rows, toString(sum(cityHash64(* APPLY(x ->"
            " ifNull(toString(x), '-'))))) AS checksum FROM"
            f" {_quoted(database)}.{_quoted(table['name'])} FINAL",
        )
        checksums[table["name"]] = [row["rows"], row["checksum"]]
    return checksums


def _execute(warehouse: Warehouse, sql: str) -> None:
    try:
        warehouse.execute(sql)
    except WarehouseError as error:
        if error.code == _INVALID_CONFIG:
            raise BackupError(
                "the server's configuration does not allow this backup destination: add it as"
                " <backups><allowed_path>, or choose another one by the setting backup_place"
                f" ({error})"
            ) from error
        raise


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def file_destination(path: str) -> str:
    """Return the destination of BACKUP and RESTORE for a folder.

    >>> file_destination("/backups/monday")
    "File('/backups/monday')"
    """
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"File('{escaped}')"

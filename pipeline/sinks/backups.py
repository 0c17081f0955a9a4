"""Backups of a warehouse by ClickHouse's own BACKUP and RESTORE, and the sums that prove them: rows
and a checksum a table.

https://clickhouse.com/docs/operations/backup. A backup holds each table as it was at one instant;
tables are taken one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from pipeline.errors import UserError
from pipeline.sinks.warehouse import Warehouse, WarehouseError, rows

TableChecksums = dict[str, list[str]]
"""Of each table its rows and their checksum, as text, for a checksum is larger than JSON's numbers are exact."""

# Has rows as soon as a database has tables, and tells nothing of the history.
_MIGRATIONS = "schema_migrations"
# What ClickHouse answers where its configuration names no place for backups.
_INVALID_CONFIG = 318


class BackupError(UserError):
    """A backup cannot be made, or is not what its manifest says."""


def back_up(warehouse: Warehouse, place: str, witnesses: Sequence[Sequence[str]]) -> TableChecksums:
    """Back up a warehouse's database, restore that beside it to prove it, and return its sums; see
    `check`.
    """
    (here,) = rows(warehouse, "SELECT currentDatabase() AS name")
    beside = f"{here['name']}_check_{uuid4().hex[:8]}"
    _execute(warehouse, f"BACKUP DATABASE {_quoted(here['name'])} TO {place}")
    try:
        _execute(
            warehouse, f"RESTORE DATABASE {_quoted(here['name'])} AS {_quoted(beside)} FROM {place}"
        )
        return verified_checksums(warehouse, beside, witnesses)
    finally:
        warehouse.execute(f"DROP DATABASE IF EXISTS {_quoted(beside)} SYNC")


def restore(
    warehouse: Warehouse,
    place: str,
    database: str,
    wanted: Mapping[str, Sequence[str]],
    witnesses: Sequence[Sequence[str]],
) -> None:
    """Restore a database's backup into a warehouse's own, which must have no rows, and hold it to
    its sums; raises BackupError.
    """
    (here,) = rows(warehouse, "SELECT currentDatabase() AS name")
    held = [
        table
        for table, (count, _) in table_checksums(warehouse, here["name"]).items()
        if count != "0" and table != _MIGRATIONS
    ]
    if held:
        raise BackupError(
            f"{here['name']} holds rows ({', '.join(held)}): restore into a database that does not"
            " exist yet"
        )
    warehouse.execute(f"DROP DATABASE {_quoted(here['name'])} SYNC")
    warehouse.create_database()
    _execute(
        warehouse, f"RESTORE DATABASE {_quoted(database)} AS {_quoted(here['name'])} FROM {place}"
    )
    found = verified_checksums(warehouse, here["name"], witnesses)
    if found != {table: list(one) for table, one in wanted.items()}:
        wrong = sorted(
            table for table in {*found, *wanted} if found.get(table) != wanted.get(table)
        )
        raise BackupError(
            f"{place} does not hold what its manifest says: {', '.join(wrong)} differ"
        )


def verified_checksums(warehouse: Warehouse, database: str, witnesses: Sequence[Sequence[str]]) -> TableChecksums:
    """Return a database's sums; raises BackupError where of some group of witnesses (record ids)
    none is there.

    A group is the last records before an offset of load: they were durable when the offset was
    committed.
    """
    for group in witnesses:
        (seen,) = rows(
            warehouse,
            f"SELECT count() > 0 AS any FROM {_quoted(database)}.delivery_rows WHERE record_id IN"
            " {ids:Array(UUID)}",
            ids=list(group),
        )
        if not seen["any"]:
            raise BackupError(
                f"the backup is older than the offsets that go with it: it lacks {group[-1]}"
            )
    return table_checksums(warehouse, database)


def table_checksums(warehouse: Warehouse, database: str) -> TableChecksums:
    """Return of each table its rows and their checksum, replaced rows left out: merges that go on
    change neither.
    """
    found: TableChecksums = {}
    for table in rows(
        warehouse,
        "SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE"
        " '%MergeTree' ORDER BY name",
        database=database,
    ):
        (one,) = rows(
            warehouse,
            "SELECT toString(count()) AS rows, toString(sum(cityHash64(* APPLY(x ->"
            " ifNull(toString(x), '-'))))) AS checksum FROM"
            f" {_quoted(database)}.{_quoted(table['name'])} FINAL",
        )
        found[table["name"]] = [one["rows"], one["checksum"]]
    return found


def _execute(warehouse: Warehouse, sql: str) -> None:
    try:
        warehouse.execute(sql)
    except WarehouseError as error:
        if error.code == _INVALID_CONFIG:
            raise BackupError(
                "the server's configuration names no place for backups: give it"
                " <backups><allowed_path>, or name another place by the setting backup_place"
                f" ({error})"
            ) from error
        raise


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def file_destination(path: str) -> str:
    """Return a folder as BACKUP and RESTORE name it."""
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"File('{escaped}')"

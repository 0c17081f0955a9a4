"""Asks ClickHouse which parts of its tables are damaged: CHECK TABLE, and parts it has set aside.

https://clickhouse.com/docs/sql-reference/statements/check-table. At its start ClickHouse moves a
part whose files are incomplete to the table's folder `detached`, and goes on without its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.sinks.warehouse import WarehouseError

Ask = Callable[[str], list[dict[str, Any]]]
"""Runs a statement about the tables' state and returns its rows."""

_TABLES = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree') ORDER BY name
"""
# One row a part instead of one a table.
_SETTINGS = "SETTINGS check_query_single_value_result = 0"
_DETACHED = """
SELECT table, name, ifNull(reason, '') AS reason FROM system.detached_parts
WHERE database = currentDatabase() AND startsWith(reason, 'broken') ORDER BY table, name
"""


@dataclass(frozen=True, slots=True)
class DamagedPart:
    """A part whose rows cannot be read; `detached` if ClickHouse has set it aside already.

    The name is empty if the whole table cannot be checked.
    """

    table: str
    name: str
    message: str
    detached: bool = False


def damaged_parts(ask: Ask) -> list[DamagedPart]:
    """Read every byte of every table of the current database and return the damaged parts."""
    found: list[DamagedPart] = []
    for row in ask(_TABLES):
        table = row["name"]
        try:
            results = ask(f"CHECK TABLE `{table}` {_SETTINGS}")
        except WarehouseError as error:
            found.append(DamagedPart(table, "", str(error)))
            continue
        found += [
            DamagedPart(table, result["part_path"], result["message"])
            for result in results
            if not result["is_passed"]
        ]
    return found + [
        DamagedPart(row["table"], row["name"], row["reason"], detached=True)
        for row in ask(_DETACHED)
    ]

"""One migrator at a time: a lock in ClickHouse, which has no other than that a table is created
once.

The lock is a table whose name ends in a number, and whose comment says who holds it and until when,
by the server's clock. Whoever wants it creates the table of the next number, where the last is
given back or has run out: of all who try, ClickHouse lets one. The table of the highest number is
never dropped, so a number is never used twice, and one who has slept finds that there is a higher
one.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import orjson

from pipeline.sinks.warehouse import Warehouse, WarehouseBusyError, WarehouseError, rows

_PREFIX = "schema_migrations_lock_"
_TABLE_ALREADY_EXISTS = 57
# Nobody can take a lock over before its lease has run out; to ask before every statement doubled
# the time of a first start.
_RENEWED_AFTER = 1 / 3


class MigrationLock:
    """The lock of a warehouse's migrations; `owner` is this process, `holder` who had it at the
    last try.
    """

    def __init__(self, warehouse: Warehouse, lease_s: float) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self.holder = ""
        self._warehouse = warehouse
        self._lease_ms = int(lease_s * 1000)
        self._number = 0
        self._told_at = 0.0

    def acquire(self) -> bool:
        """Try once; return whether it is ours now."""
        highest, told = self._highest()
        if highest and told["until"] > self._now():
            self.holder = told["owner"]
            return False
        number = highest + 1
        self._told_at = time.time()
        try:
            self._warehouse.execute(
                f"CREATE TABLE {_PREFIX}{number} (nothing UInt8 COMMENT 'Holds nothing') ENGINE ="
                f" Null COMMENT {self._lease_comment()}"
            )
        except WarehouseError as error:
            if error.code == _TABLE_ALREADY_EXISTS:
                return False
            raise
        self._number = number
        if self._highest()[0] != number:
            # Between our look and our table others came and went; theirs counts.
            self._drop(number)
            return False
        for older in [one for one, _ in self._all() if one < number]:
            self._drop(older)
        return True

    def renew(self) -> None:
        """Hold it for another lease, once a part of ours is over; raises WarehouseBusyError where
        ours ran out and another took it.
        """
        now = time.time()
        if now < self._told_at + self._lease_ms / 1000 * _RENEWED_AFTER:
            return
        highest, told = self._highest()
        if highest != self._number:
            raise WarehouseBusyError(
                f"{told['owner']} has taken over the migration, for ours took longer than its lease"
            )
        self._told_at = now
        self._set_comment(self._lease_comment())

    def release(self) -> None:
        """Give it back, where it is still ours."""
        if self._highest()[0] == self._number:
            self._set_comment(_quoted({"owner": self.owner, "until": 0}))

    def _lease_comment(self) -> str:
        return _quoted({"owner": self.owner, "until": self._now() + self._lease_ms})

    def _set_comment(self, comment: str) -> None:
        self._warehouse.execute(f"ALTER TABLE {_PREFIX}{self._number} MODIFY COMMENT {comment}")

    def _drop(self, number: int) -> None:
        self._warehouse.execute(f"DROP TABLE IF EXISTS {_PREFIX}{number}")

    def _now(self) -> int:
        (row,) = rows(self._warehouse, "SELECT toUnixTimestamp64Milli(now64(3)) AS now")
        return int(row["now"])

    def _highest(self) -> tuple[int, dict[str, Any]]:
        return max(self._all(), key=lambda lock: lock[0], default=(0, {}))

    def _all(self) -> list[tuple[int, dict[str, Any]]]:
        found = rows(
            self._warehouse,
            "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND"
            " startsWith(name, {prefix:String})",
            prefix=_PREFIX,
        )
        return [
            (int(row["name"].removeprefix(_PREFIX)), orjson.loads(row["comment"])) for row in found
        ]


def _quoted(comment: dict[str, Any]) -> str:
    text = orjson.dumps(comment).decode()
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

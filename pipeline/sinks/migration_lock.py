"""A lock so that one process migrates at a time.

ClickHouse has no locks, but it creates a table of a name only once. The lock is a table with a
number at the end of its name; its comment has the owner and the expiry of the lease by the server's
clock. If the lease was released or has expired, a process acquires the lock by creating the table
with the next number; of several processes one succeeds. The table with the highest number is never
dropped, so a number is never used twice, and a process that was suspended finds a higher number.
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
# Renewed after this part of the lease: no other process can acquire the lock before it expires, and
# renewing before every statement doubled the time of a first start.
_RENEWED_AFTER = 1 / 3


class MigrationLock:
    """The lock of migrations. `owner` is this process, `holder` the owner at the last attempt."""

    def __init__(self, warehouse: Warehouse, lease_s: float) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self.holder = ""
        self._warehouse = warehouse
        self._lease_ms = int(lease_s * 1000)
        self._number = 0
        self._renewed_at = 0.0

    def acquire(self) -> bool:
        """Try once to acquire the lock and return whether it succeeded."""
        highest, lease = self._highest()
        if highest and lease["until"] > self._now():
            self.holder = lease["owner"]
            return False
        number = highest + 1
        self._renewed_at = time.time()
        try:
            self._warehouse.execute(
                f"CREATE TABLE {_PREFIX}{number} (nothing UInt8 COMMENT 'Always empty') ENGINE ="
                f" Null COMMENT {self._lease_comment()}"
            )
        except WarehouseError as error:
            if error.code == _TABLE_ALREADY_EXISTS:
                return False
            raise
        self._number = number
        if self._highest()[0] != number:
            # Other processes acquired and released it after the check; their number is higher.
            self._drop(number)
            return False
        for older in [other for other, _ in self._all() if other < number]:
            self._drop(older)
        return True

    def renew(self) -> None:
        """Extend the lease after a part of it; raises WarehouseBusyError if another took over."""
        now = time.time()
        if now < self._renewed_at + self._lease_ms / 1000 * _RENEWED_AFTER:
            return
        highest, lease = self._highest()
        if highest != self._number:
            raise WarehouseBusyError(
                f"{lease['owner']} took over the migration because a statement took longer than the"
                " lease: run it again"
            )
        self._renewed_at = now
        self._set_comment(self._lease_comment())

    def release(self) -> None:
        """Release the lock if this process still has it."""
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

"""`migrate`: create and alter the tables of the warehouse."""

from __future__ import annotations

from pipeline.sinks.migrations import migrate, missing
from pipeline.workspace import Workspace


def apply_migrations(workspace: Workspace) -> list[str]:
    """Apply the missing migrations and return their names; several processes may do so at once.

    Opening the embedded store migrates it, so its list is empty.
    """
    if not workspace.settings.distributed:
        with workspace.open_warehouse():
            return []
    server = workspace.connect_clickhouse()
    try:
        return [migration.name for migration in migrate(server)]
    finally:
        server.close()


def missing_migrations(workspace: Workspace) -> list[str]:
    """Return the names of the migrations that the server lacks; changes nothing there."""
    if not workspace.settings.distributed:
        return apply_migrations(workspace)
    server = workspace.connect_clickhouse()
    try:
        return [migration.name for migration in missing(server)]
    finally:
        server.close()

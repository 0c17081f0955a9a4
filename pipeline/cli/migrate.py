"""`switchboard migrate`: create and alter the tables of the warehouse."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import app, workspace_of
from pipeline.cli.console import FAILED, note


@app.command()
def migrate(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if a migration is missing.")
    ] = False,
) -> None:
    """Create and alter the tables as this version needs them.

    You can run it again, and by several processes at once. The embedded store is migrated whenever
    it is opened.
    """
    from pipeline.commands.migrate import apply_migrations, missing_migrations

    workspace = workspace_of(context)
    names = missing_migrations(workspace) if check else apply_migrations(workspace)
    for name in names:
        note(f"{name}: {'missing' if check else 'applied'}")
    if not names:
        note("no migration is missing" if check else "nothing to do: all migrations are applied")
    elif check:
        raise SystemExit(FAILED)

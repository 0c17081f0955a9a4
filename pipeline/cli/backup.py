"""`switchboard backup`: back up a running installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import note
from pipeline.text.counts import count_of


@app.command()
def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder that is empty or absent.")],
    as_json: Json = False,
) -> None:
    """Back up a running installation to a folder.

    On the embedded engine, that is the log, store, bodies and models; otherwise ClickHouse and the
    offsets that belong to it.
    """
    from pipeline.commands.backup import create_backup

    manifest = create_backup(workspace_of(context), folder)
    if as_json:
        console.json(manifest.model_dump(by_alias=True))
    else:
        tables = count_of(len(manifest.tables), "table")
        note(
            f"{count_of(manifest.rows, 'row')} in {tables} backed up and verified;"
            f" ClickHouse wrote {manifest.destination}"
        )

"""`switchboard restore`: restore a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import note
from pipeline.text.counts import count_of


@app.command()
def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder of a backup.")],
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty installation and verify it.

    It compares every table. On Kafka, the next run loads again what came after the backup.
    """
    from pipeline.commands.restore import restore_backup

    manifest, rewinds = restore_backup(workspace_of(context), folder)
    offsets = sum(rewind.offsets for rewind in rewinds)
    if as_json:
        console.json({**manifest.model_dump(by_alias=True), "again": offsets})
        return
    note(
        f"{count_of(manifest.rows, 'row')} in {count_of(len(manifest.tables), 'table')} restored;"
        f" they equal the backup of {manifest.created_at}"
    )
    if rewinds:
        note(f"load will process {count_of(offsets, 'offset')} again: start its workers")

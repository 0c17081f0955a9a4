"""`switchboard restore`: restore a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import note


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
        f"{manifest.rows:,} rows in {len(manifest.tables)} tables restored; they equal the backup"
        f" of {manifest.created_at}"
    )
    if rewinds:
        note(f"load will process {offsets:,} offsets again: start its workers")

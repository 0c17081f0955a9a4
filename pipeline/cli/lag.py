"""`switchboard lag`: how far each stage is behind."""

from __future__ import annotations

from dataclasses import asdict

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.log.clock import now_ms


@app.command()
def lag(context: typer.Context, as_json: Json = False) -> None:
    """Show how far each stage is behind on each topic.

    The lag is a number of records, and the seconds since the oldest unread one was written.
    """
    from pipeline.commands.lag import lags

    with workspace_of(context).open_log() as log:
        rows = lags(log, now_ms())
    if as_json:
        console.json([asdict(row) for row in rows])
        return
    columns = ("stage", "topic", "behind", "seconds behind")
    cells = [(row.group, row.topic, row.records, f"{row.seconds:.1f}") for row in rows]
    console.table("Lag", columns, cells, numbers=columns[2:])

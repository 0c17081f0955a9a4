"""`switchboard spool`: send spooled messages to Kafka."""

from __future__ import annotations

import typer

from pipeline.cli.app import app, workspace_of
from pipeline.cli.console import FAILED, note
from pipeline.text.counts import count_of


@app.command()
def spool(context: typer.Context) -> None:
    """Send the messages that were spooled while Kafka was unreachable.

    It fails if messages remain in the data folder.
    """
    from pipeline.commands.spool import send_spool

    result = send_spool(workspace_of(context))
    note(f"{count_of(result.sent, 'message')} sent, {result.remaining} remain")
    if not result.complete:
        raise SystemExit(FAILED)

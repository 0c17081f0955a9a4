"""`switchboard demo`: the whole pipeline on the samples of this repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.console import note
from pipeline.cli.history import show_timeline
from pipeline.cli.ingest import fail_if_unread, show_tally
from pipeline.cli.run import words_of

if TYPE_CHECKING:
    from pipeline.commands.ingest import IngestTally


@app.command()
def demo(
    context: typer.Context,
    samples: Annotated[Path | None, typer.Option(help="Folder of the samples.")] = None,
) -> None:
    """Ingest the samples, run until idle, show a history, write a report."""
    from pipeline.commands.demo import DEMO_CUSTOMER, run_demo

    def show(connector: str, tally: IngestTally) -> None:
        show_tally(connector, tally)
        fail_if_unread(tally)

    result = run_demo(context.obj, samples, show)
    note(words_of(result.processed))
    show_timeline(DEMO_CUSTOMER, result.timeline)
    note(f"report: {result.report}")
    note(f"try: switchboard --data-dir {result.data_dir} query 'SELECT * FROM daily_volume'")

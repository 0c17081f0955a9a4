"""`switchboard report`: an HTML page of figures and charts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app, workspace_of
from pipeline.cli.console import note


@app.command()
def report(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    since: Annotated[str | None, typer.Option(help="First day, such as 2026-08-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day, such as 2026-10-31.")] = None,
) -> None:
    """Write a report as one self-contained HTML page.

    It shows volumes, needs, sentiment, customers and complaints.
    """
    from pipeline.reporting.report import Period, write_report

    workspace = workspace_of(context)
    period = Period.of(since, until, workspace.settings.timezone or "UTC")
    with workspace.open_warehouse() as warehouse:
        path = write_report(warehouse, out, period)
    note(f"report: {path}")

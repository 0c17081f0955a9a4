"""`switchboard trace`: where an event is in the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import fail, note, out, safe_text

if TYPE_CHECKING:
    from pipeline.reporting.trace import Trace


@app.command()
def trace(
    context: typer.Context,
    event: Annotated[str, typer.Argument(help="The id of an event in its source, or a record id.")],
    source: Annotated[
        str, typer.Option(help="The source of the event, if several sources use the same id.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show where an event is in the pipeline, and each step so far.

    The steps lead from the connector that read the event to its rows in the history.
    """
    from pipeline.reporting.trace import MOST_WAITING, trace

    workspace = workspace_of(context)
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        events, skipped = trace(
            log, warehouse, event, tenant=workspace.settings.tenant, source=source
        )
    for stage in skipped:
        note(
            f"{stage} is more than {MOST_WAITING:,} records behind; only the first of them were"
            " searched"
        )
    if not events:
        fail(
            f"{event!r} is unknown: it is not in the history, not a dead letter, and not waiting"
            " for a stage"
        )
    if as_json:
        console.json([asdict(event) for event in events])
    else:
        _show(events)


def _show(events: Sequence[Trace]) -> None:
    """Print the steps of each event in order, with times in UTC."""
    for event in events:
        source = safe_text(event.source or "(unknown source)")
        out.print(safe_text(event.event_id) + Text(" of ") + source)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("when (UTC)", "where", "what"):
            table.add_column(column, overflow="fold", no_wrap=column == "when (UTC)")
        for step in event.steps:
            table.add_row(safe_text(step.at or "now"), safe_text(step.place), safe_text(step.what))
        out.print(table)

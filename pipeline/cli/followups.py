"""`switchboard followups`: what was promised to customers, or requested by them."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail
from pipeline.text.counts import count_of


@app.command()
def followups(
    context: typer.Context,
    hours: Annotated[
        float | None,
        typer.Option(help="Only follow-ups that are overdue or due within this many hours."),
    ] = None,
    staff: Annotated[str, typer.Option(help="Only follow-ups of one staff member.")] = "",
    kind: Annotated[
        str, typer.Option(help="promised (by staff) or requested (by the customer).")
    ] = "",
    done: Annotated[
        bool, typer.Option("--done", help="List follow-ups that are done instead of open ones.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of follow-ups.")] = 50,
    as_json: Json = False,
) -> None:
    """List open follow-ups: promises to customers and their requests.

    Overdue follow-ups come first.
    """
    from pipeline.reporting.followups import followups as list_followups

    if kind not in ("", "promised", "requested"):
        fail(f"--kind {kind}: write promised or requested", WRONG_USE)
    workspace = workspace_of(context)
    zone = workspace.settings.timezone or "UTC"
    within = None if hours is None else round(hours * 3_600)
    with workspace.open_warehouse() as warehouse:
        listed = list_followups(
            warehouse, zone=zone, within_s=within, staff=staff, kind=kind, done=done, limit=limit
        )
    if as_json:
        console.json(listed)
        return
    columns = ("state", f"due ({zone})", "who", "customer", "channel", "said", "record")
    rows = [
        (
            row["state"],
            row["due"][:16] + ("" if row["due_stated"] else " ?"),
            row["staff"] if row["kind"] == "promised" else "asked for",
            row["contact_name"] or row["contact"],
            row["channel"],
            row["phrase"],
            row["record_id"][:8],
        )
        for row in listed
    ]
    console.table(count_of(len(listed), "follow-up"), columns, rows)

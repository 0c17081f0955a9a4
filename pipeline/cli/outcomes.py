"""`switchboard outcomes`: label messages by what customers did afterwards."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail, note


@app.command()
def outcomes(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(help="First day of the messages, such as 2026-08-01 [default: all].")
    ] = "",
    as_json: Json = False,
) -> None:
    """Label messages by what customers did next, and detect drift.

    A customer paid, did not pay, or gave a rating. You can run it at any time, from cron too: it
    never publishes a label twice.
    """
    from datetime import UTC, datetime

    from pipeline.commands.outcome_labels import OutcomeHorizon
    from pipeline.commands.outcomes import scan_outcomes
    from schemas.types import EARLIEST

    workspace = workspace_of(context)
    try:
        first = datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=UTC) if since else EARLIEST
    except ValueError:
        fail(f"--since {since}: write a day such as 2026-08-01", WRONG_USE)
    counts = scan_outcomes(workspace, OutcomeHorizon(workspace.settings.intent_horizon_days, first))
    if as_json:
        console.json(counts)
    else:
        words = (f"{what} {count:,}" for what, count in sorted(counts.items()))
        note(", ".join(words) or "nothing new")

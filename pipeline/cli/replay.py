"""`switchboard replay`: reprocess a stage from an earlier offset."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, WRONG_USE, fail, note
from pipeline.settings import parse_zone


@app.command()
def replay(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="A stage, or a topic: all stages that read it.")],
    since: Annotated[
        str,
        typer.Option(
            "--from", help="Replay what was written to the log since this time, or `beginning`."
        ),
    ] = "",
    offset: Annotated[
        list[str] | None,
        typer.Option(help="Replay a topic from PARTITION:OFFSET; may be repeated."),
    ] = None,
    stage: Annotated[
        str, typer.Option(help="Only this stage, if several stages read the topic.")
    ] = "",
    skip: Annotated[
        bool,
        typer.Option(
            "--skip", help="Also move forward; the records in between are never processed."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Replay; without it, only show what would be replayed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Reprocess a stage from an earlier offset; rows are upserted.

    Stop the workers of the stage first.
    """
    from pipeline.commands.replay import (
        apply_rewinds,
        parse_instant,
        parse_offsets,
        plan_rewinds,
        resolve_stages,
    )

    if bool(since) == bool(offset):
        fail("name a start: either --from TIME or --offset PARTITION:OFFSET", WRONG_USE)
    workspace = workspace_of(context)
    stages = resolve_stages(target, stage)
    zone = workspace.settings.zone or parse_zone("UTC")
    since_ms = parse_instant(since, zone) if since else None
    offsets = parse_offsets(target, offset) if offset else {}
    with workspace.open_log() as log:
        rewinds = plan_rewinds(log, stages, since_ms=since_ms, offsets=offsets, skip=skip)
        if yes and rewinds:
            asked = f"from {since}" if since else " ".join(offset or ())
            apply_rewinds(workspace, log, rewinds, asked)
    if as_json:
        console.json([{**asdict(rewind), "offsets": rewind.offsets} for rewind in rewinds])
    elif rewinds:
        columns = ("stage", "topic", "partition", "current", "target", "offsets")
        rows = [
            (row.stage, row.topic, row.partition, row.current, row.target, row.offsets)
            for row in rewinds
        ]
        console.table("Replay", columns, rows, numbers=columns[2:])
    if not rewinds:
        note("nothing to replay: the stage has processed nothing since then")
    elif yes:
        note("offsets are reset: the workers of the stage reprocess the records when they run")
    else:
        note("nothing is changed yet: stop the workers of the stage, then repeat with --yes")
        raise SystemExit(FAILED)

"""Commands that keep an installation whole: replay, backup, restore."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, WRONG_USE, fail, note
from pipeline.settings import zone_of


@app.command()
def replay(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="A stage, or a topic: all stages that read it.")],
    since: Annotated[
        str,
        typer.Option(
            "--from", help="When the log took the first record to handle again, or `beginning`."
        ),
    ] = "",
    offset: Annotated[
        list[str] | None,
        typer.Option(help="Of a topic: PARTITION:OFFSET to handle again from; may be repeated."),
    ] = None,
    stage: Annotated[str, typer.Option(help="Only this stage, where several read the topic.")] = "",
    skip: Annotated[
        bool,
        typer.Option("--skip", help="Go forward too, past records that are then never handled."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, it is only shown.")] = False,
    as_json: Json = False,
) -> None:
    """Let a stage handle again what the log still holds: rows replace themselves. End the stage's
    workers first.
    """
    from pipeline.commands.replay import instant_of, offsets_of, planned, rewind, stages_of

    if bool(since) == bool(offset):
        fail("say from where: either --from TIME or --offset PARTITION:OFFSET", WRONG_USE)
    workspace = workspace_of(context)
    stages = stages_of(target, stage)
    zone = workspace.settings.zone or zone_of("UTC")
    since_ms = instant_of(since, zone) if since else None
    offsets = offsets_of(target, offset) if offset else {}
    with workspace.log() as log:
        rewinds = planned(log, stages, since_ms=since_ms, offsets=offsets, skip=skip)
        if yes and rewinds:
            rewind(workspace, log, rewinds, f"from {since}" if since else " ".join(offset or ()))
    if as_json:
        console.json([{**asdict(one), "offsets": one.offsets} for one in rewinds])
    elif rewinds:
        columns = ("stage", "topic", "partition", "is at", "goes to", "offsets again")
        rows = [
            (one.stage, one.topic, one.partition, one.found, one.wanted, one.offsets)
            for one in rewinds
        ]
        console.table("Replay", columns, rows, numbers=columns[2:])
    if not rewinds:
        note("nothing was handled since then: nothing to replay")
    elif yes:
        note("done: the stage's workers handle it again as soon as they run")
    else:
        note("nothing is changed yet: end the stage's workers, then say --yes")
        raise SystemExit(FAILED)


@app.command()
def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder that is empty or absent.")],
    as_json: Json = False,
) -> None:
    """Back up while everything runs: the embedded log, store, bodies and models, or ClickHouse and
    the offsets that go with it.
    """
    from pipeline.commands.backup import back_up

    manifest = back_up(workspace_of(context), folder)
    if as_json:
        console.json(manifest.model_dump())
    else:
        note(
            f"{manifest.rows:,} rows in {len(manifest.tables)} tables, checked; ClickHouse's part"
            f" is {manifest.place}"
        )


@app.command()
def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A backup's folder.")],
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty installation and check it table by table; what came after it
    is loaded again by the next run.
    """
    from pipeline.commands.backup import bring_back

    manifest, rewinds = bring_back(workspace_of(context), folder)
    if as_json:
        console.json({**manifest.model_dump(), "again": sum(one.offsets for one in rewinds)})
        return
    note(
        f"{manifest.rows:,} rows in {len(manifest.tables)} tables are what the backup of"
        f" {manifest.made_at} held"
    )
    if rewinds:
        note(
            f"load will load {sum(one.offsets for one in rewinds):,} offsets again: start its"
            " workers"
        )

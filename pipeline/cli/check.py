"""`switchboard check`: whether everything that was stored is still there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, WRONG_USE, fail, note
from pipeline.log.clock import now_ms


@app.command()
def check(
    context: typer.Context,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Read every byte, and compare every record with the tables."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Set damaged parts aside and let the stages read them again."
        ),
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Go on without what is lost, if nothing restores it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that log, store, bodies and checkpoints are whole and agree.

    It names what is missing and the commands that repair it, and fails if something is.
    """
    from pipeline.commands.check import check_installation

    if repair and accept:
        fail("name either --repair or --accept", WRONG_USE)
    workspace = workspace_of(context)
    if repair or accept:
        from pipeline.commands.check_repair import accept_loss
        from pipeline.commands.check_repair import repair as repair_installation

        done = (accept_loss if accept else repair_installation)(workspace, now_ms())
        if as_json:
            console.json({"done": done})
        for line in () if as_json else done or ["nothing to repair"]:
            note(line)
        return
    report = check_installation(workspace, now_ms(), deep=deep)
    if as_json:
        console.json(asdict(report))
    else:
        for damage in report.damages:
            console.out.print(console.safe_text(f"{damage.part}: {damage.message}"), soft_wrap=True)
            for command in damage.commands:
                console.out.print(console.safe_text(f"    {command}"), soft_wrap=True)
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items())
    if report.damages:
        note("not whole: below each damage are the commands that repair it, in their order")
        raise SystemExit(FAILED)
    note(f"whole: {counts or 'nothing stored yet'}")

"""`switchboard reclassify`: answer the heads again for records of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli import console
from pipeline.cli.app import HeadNames, Json, app, workspace_of
from pipeline.cli.console import note
from pipeline.text.counts import count_of

if TYPE_CHECKING:
    from pipeline.commands.reclassify import ReclassificationRun

# More kinds of change than a person reads on a screen; --json has them all.
_MAX_CHANGES = 25


@app.command()
def reclassify(
    context: typer.Context,
    head: HeadNames = None,
    since: Annotated[str | None, typer.Option(help="First day, such as 2026-08-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day, such as 2026-10-31.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start again instead of resuming an earlier run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Classify records of the history again with the current models.

    The answers are written to the log; `switchboard run` (or the workers of load) brings them to
    the tables. The table predictions keeps earlier answers. An interrupted run resumes where it
    stopped, with the models that it started with.
    """
    from pipeline.commands.reclassify import ReclassificationScope, prepare_run, select_heads
    from pipeline.reporting.report import Period

    workspace = workspace_of(context)
    span = Period.of(since, until, workspace.settings.timezone or "UTC").parameters
    scope = ReclassificationScope(
        span["start"], span["end"], select_heads(head or [], workspace.heads())
    )
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        run = prepare_run(workspace, log, warehouse, scope, resume=not (restart or dry_run))
        if run.lost_version:
            note(
                f"the models {run.lost_version} of the interrupted run no longer exist: starting"
                " again"
            )
        if run.progress.after:
            note(
                f"resuming after {count_of(run.progress.records, 'record')}, with the models"
                f" {run.progress.version}"
            )
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console.err, transient=True) as bar:
            task = bar.add_task("classifying", total=run.total, completed=run.progress.records)
            for progress in run.classify(log, warehouse, dry=dry_run):
                bar.update(task, completed=progress.records)
    _show(run, dry_run=dry_run, as_json=as_json)


def _show(run: ReclassificationRun, *, dry_run: bool, as_json: bool) -> None:
    progress = run.progress
    changes = [
        {"head": name, "from": old, "to": new, "records": count}
        for (name, old, new), count in progress.changed.most_common()
    ]
    if as_json:
        console.json(
            {
                "version": progress.version,
                "records": progress.records,
                "answers": progress.answers,
                "dry_run": dry_run,
                "changed": changes,
            }
        )
        return
    if changes:
        rows = [
            (change["head"], change["from"], change["to"], change["records"])
            for change in changes[:_MAX_CHANGES]
        ]
        console.table(
            count_of(sum(progress.changed.values()), "changed label"),
            ("head", "was", "is", "records"),
            rows,
            numbers=("records",),
        )
    summary = (
        f"{count_of(progress.records, 'record')} classified by {progress.version}:"
        f" {count_of(progress.answers, 'new answer')}"
    )
    if dry_run:
        note(f"{summary}; nothing was written")
    else:
        note(f"{summary} on the log; `switchboard run` brings them to the tables")

"""`switchboard run`: run all stages."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, note
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.commands.run_supervisor import RunProgress
    from pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


@app.command()
def run(
    context: typer.Context,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when all stages have caught up.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run all stages: clean, classify and load what was ingested.

    It continues with new records until it is stopped.
    """
    from pipeline.commands.supervisor import supervise_all

    workspace = workspace_of(context)
    where = "on Kafka" if workspace.settings.distributed else f"in {workspace.root}"
    end = "stopping when they have caught up" if until_idle else "until Ctrl-C, which loses nothing"
    note(f"running all stages {where}, {end}")
    if not workspace.settings.distributed:
        _run_embedded(workspace, until_idle=until_idle, as_json=as_json)
    elif not supervise_all(workspace, until_idle=until_idle):
        raise SystemExit(FAILED)


def _run_embedded(workspace: Workspace, *, until_idle: bool, as_json: bool) -> None:
    from pipeline.commands.run_supervisor import EXIT_CRASHED, supervise_run

    def child(progress: RunProgress) -> None:
        try:
            _run_stages(workspace, progress, until_idle=until_idle, as_json=as_json)
        except (UserError, OSError):
            raise
        except Exception:
            logger.exception("The run ended by an exception")
            raise SystemExit(EXIT_CRASHED) from None

    supervise_run(child)


def _run_stages(
    workspace: Workspace, progress: RunProgress, *, until_idle: bool, as_json: bool
) -> None:
    from pipeline.commands.run import run_embedded

    before = progress.read()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("starting")

        def on_progress(counts: Counter[str]) -> None:
            progress.write(before + counts)
            bar.update(task, description=words_of(before + counts))

        total = before + run_embedded(
            workspace, until_idle=until_idle, on_progress=on_progress, with_parent=True
        )
    if as_json:
        console.json(total)
    else:
        note(words_of(total))


def words_of(counts: Counter[str]) -> str:
    """Return how many records each stage processed.

    >>> words_of(Counter(enrich=1200, load=3))
    'enrich 1,200, load 3'
    """
    return ", ".join(f"{stage} {count:,}" for stage, count in counts.items()) or "nothing to do"

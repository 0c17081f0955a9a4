"""`switchboard worker`: run workers of one stage on Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import app, workspace_of
from pipeline.cli.console import FAILED, fail


@app.command()
def worker(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="enrich, converse, load, resolve or live.")],
    processes: Annotated[int, typer.Option(min=1, max=64, help="Number of workers.")] = 1,
    child: Annotated[
        bool, typer.Option("--child", hidden=True, help="Run one worker without a supervisor.")
    ] = False,
) -> None:
    """Run workers of one stage on Kafka, and restart those that end.

    SIGTERM stops them after the in-flight batch.
    """
    from pipeline.commands.supervisor import supervise
    from pipeline.commands.worker import WorkerError, run_worker

    workspace = workspace_of(context)
    if child:
        try:
            run_worker(workspace, stage)
        except WorkerError as error:
            fail(str(error), error.exit_code)
    elif not supervise(workspace, {stage: processes}):
        raise SystemExit(FAILED)

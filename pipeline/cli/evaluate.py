"""`switchboard evaluate`: measure the models on labelled texts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail, note
from pipeline.text.counts import count_of

if TYPE_CHECKING:
    from pipeline.models.evaluation.comparison import EvaluationPlan
    from pipeline.models.evaluation.evaluate import Evaluation, EvaluationData
    from pipeline.models.heads import Head
    from pipeline.workspace import Workspace

# Bad lines that are printed; a file of another format has nothing else.
_MAX_BAD_LINES = 20


@app.command()
def evaluate(
    context: typer.Context,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Only the online model of the pipeline: one pass, each text tested before learnt.",
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Only the offline models, tuned by nested cross-validation."
        ),
    ] = False,
    train: Annotated[
        Path | None,
        typer.Option(help='Training file: JSONL of {"text", "label", "language"?, "channel"?}.'),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            help="Test file of the same format; default: --offline tests on a fifth of --train."
        ),
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            help=(
                "A head: without --train, evaluate on its examples in the log; with --train, the"
                " head of the labels in the file."
            )
        ),
    ] = "",
    models: Annotated[
        str, typer.Option(help="Offline models, comma-separated [default: all].")
    ] = "",
    folds: Annotated[
        int, typer.Option(min=2, max=10, help="Number of outer and of inner folds.")
    ] = 3,
    budget: Annotated[
        float,
        typer.Option(
            min=0,
            help="CPU seconds after which the search for a model starts no further fit.",
        ),
    ] = 120.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Random seed.")] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Also write one self-contained HTML page.")
    ] = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote",
            help="Add the training rows to the examples of --head, so its model starts trained.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail if a file has a bad line, instead of skipping it."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the online model with offline models on labelled texts.

    The texts are those of a file, or the examples that a head has learnt.
    """
    online, offline = online or not offline, offline or not online
    if train is None and not head:
        fail(
            "name a file with --train, or a head with --head to evaluate on its examples", WRONG_USE
        )
    if train is None and test is not None:
        fail("--test needs --train: the examples of a head are split by time", WRONG_USE)
    if promote and (train is None or not head or not offline):
        fail("--promote needs --offline, --train and the --head that learns the file", WRONG_USE)

    from pipeline.commands.evaluate import head_named
    from pipeline.models.evaluation.comparison import EvaluationPlan
    from pipeline.models.evaluation.json_output import as_json as json_of

    workspace = workspace_of(context)
    named_head = head_named(head, workspace.heads()) if head else None
    data = _load_data(workspace, train, test, named_head, seed, offline)
    for line in data.refused[:_MAX_BAD_LINES]:
        note(str(line))
    if data.refused and strict:
        fail(
            f"nothing was evaluated, for {count_of(len(data.refused), 'bad line')}: repair them,"
            " or omit --strict to skip such lines"
        )
    plan = EvaluationPlan(folds=folds, seed=seed, budget_s=budget)
    if models:
        plan = EvaluationPlan(
            tuple(name.strip() for name in models.split(",")), folds, seed, budget
        )
    evaluation = _evaluate(data, plan, online=online, offline=offline)
    if promote:
        evaluation = _promote(workspace, evaluation)
    if out is not None:
        from pipeline.reporting.evaluation_page import write_page

        note(f"page: {write_page(evaluation, out, datetime.now(UTC))}")
    if as_json:
        console.json(json_of(evaluation))
    else:
        from pipeline.cli.evaluation_screen import show_evaluation

        show_evaluation(evaluation)


def _load_data(
    workspace: Workspace,
    train: Path | None,
    test: Path | None,
    head: Head | None,
    seed: int,
    offline: bool,
) -> EvaluationData:
    """Return the rows of the files, or those of a head in the examples log."""
    from pipeline.commands.evaluate import data_from_files, data_from_log

    if train is not None:
        return data_from_files(train, test, head, seed, hold_out=offline)
    assert head is not None
    with workspace.open_log() as log:
        return data_from_log(log, head)


def _evaluate(
    data: EvaluationData, plan: EvaluationPlan, *, online: bool, offline: bool
) -> Evaluation:
    """Evaluate behind a progress bar."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from pipeline.models.evaluation.evaluate import evaluate as run_evaluation

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("reading", total=1)

        def show_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return run_evaluation(data, plan, online=online, offline=offline, on_progress=show_progress)


def _promote(workspace: Workspace, evaluation: Evaluation) -> Evaluation:
    """Add the training rows to the examples of the head; the command checked that there is one."""
    from pipeline.commands.promote import promote

    data, comparison = evaluation.data, evaluation.comparison
    assert data.head is not None
    assert comparison is not None
    with workspace.open_log() as log:
        done = promote(log, data.head, data.train, comparison.winner, datetime.now(UTC))
    return replace(evaluation, promoted=done)

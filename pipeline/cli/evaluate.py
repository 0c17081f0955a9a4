"""The command that judges models: evaluate."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail, note

if TYPE_CHECKING:
    from pipeline.models.evaluation.comparison import Plan
    from pipeline.models.evaluation.evaluate import Data, Evaluation
    from pipeline.models.heads import Head
    from pipeline.workspace import Workspace

# Bad lines that are named one by one; a file of another kind has nothing else.
_NAMED = 20


@app.command()
def evaluate(
    context: typer.Context,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="The pipeline's own model: one pass, tested before it learns."
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="The offline models beside it, tuned by nested cross-validation."
        ),
    ] = False,
    train: Annotated[
        Path | None,
        typer.Option(help='JSONL of {"text", "label", "language"?, "channel"?} to learn from.'),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            help="The same, never learnt; absent, --offline holds a fifth of --train out."
        ),
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            help=(
                "A head: its examples in the log where --train is absent, else whose labels a file"
                " holds."
            )
        ),
    ] = "",
    models: Annotated[
        str, typer.Option(help="Offline models, comma-separated [default: all].")
    ] = "",
    folds: Annotated[int, typer.Option(min=2, max=10, help="Outer and inner folds.")] = 3,
    budget: Annotated[
        float,
        typer.Option(
            min=0,
            help="CPU seconds after which a model's search takes up no further setting or fold.",
        ),
    ] = 120.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of all that is random.")] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Write one self-contained HTML page too.")
    ] = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote",
            help="Make the training rows examples of --head, so that its model starts warm.",
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a file with a bad line, in place of going on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge the online model, and offline models beside it, on a labelled file or on the examples
    that a head has learnt.
    """
    online, offline = online or not offline, offline or not online
    if train is None and not head:
        fail(
            "name a file with --train, or a head whose examples to judge on with --head", WRONG_USE
        )
    if train is None and test is not None:
        fail("--test needs --train: a head's own examples are held out by their time", WRONG_USE)
    if promote and (train is None or not head or not offline):
        fail(
            "--promote needs --offline, --train and the --head that is to learn the file", WRONG_USE
        )

    from pipeline.commands.evaluate import head_named
    from pipeline.models.evaluation.comparison import Plan
    from pipeline.models.evaluation.json_output import as_json as json_of

    workspace = workspace_of(context)
    asked = head_named(head, workspace.settings.head_table()) if head else None
    data = _data(workspace, train, test, asked, seed, offline)
    for line in data.refused[:_NAMED]:
        note(str(line))
    if data.refused and strict:
        fail(
            f"{len(data.refused)} lines are bad, nothing was judged: mend them, or leave --strict"
            " out to go on without them"
        )
    plan = Plan(folds=folds, seed=seed, budget_s=budget)
    if models:
        plan = Plan(tuple(name.strip() for name in models.split(",")), folds, seed, budget)
    evaluation = _judged(data, plan, online=online, offline=offline)
    if promote:
        evaluation = _promoted(workspace, evaluation)
    if out is not None:
        from pipeline.reporting.evaluation_page import write_page

        note(f"page: {write_page(evaluation, out, datetime.now(UTC))}")
    if as_json:
        console.json(json_of(evaluation))
    else:
        from pipeline.cli.evaluation_screen import show_evaluation

        show_evaluation(evaluation)


def _data(
    workspace: Workspace,
    train: Path | None,
    test: Path | None,
    head: Head | None,
    seed: int,
    offline: bool,
) -> Data:
    """Return the rows of the files, or a head's of the examples log."""
    from pipeline.commands.evaluate import data_of_files, data_of_log

    if train is not None:
        return data_of_files(train, test, head, seed, hold_out=offline)
    assert head is not None
    with workspace.log() as log:
        return data_of_log(log, head)


def _judged(data: Data, plan: Plan, *, online: bool, offline: bool) -> Evaluation:
    """Judge with a bar that says what is worked on."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from pipeline.models.evaluation.evaluate import evaluate as judge

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("reading", total=1)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return judge(data, plan, online=online, offline=offline, tell=tell)


def _promoted(workspace: Workspace, evaluation: Evaluation) -> Evaluation:
    """Make the training rows examples of the head; the checks of the command have seen that there
    is one, and a winner.
    """
    from pipeline.commands.promote import promote

    data, comparison = evaluation.data, evaluation.comparison
    assert data.head is not None
    assert comparison is not None
    with workspace.log() as log:
        done = promote(log, data.head, data.train, comparison.winner, datetime.now(UTC))
    return replace(evaluation, promoted=done)

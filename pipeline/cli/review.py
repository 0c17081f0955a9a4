"""`switchboard review`: ask for the labels that help the models most."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import HeadNames, Json, app, workspace_of
from pipeline.cli.console import note, safe_text
from pipeline.text.counts import count_of

if TYPE_CHECKING:
    from pipeline.commands.review import ReviewCandidate
    from pipeline.models.heads import Head

# Enough of a message to label it, on one screen.
_TEXT_WIDTH = 1_200


@app.command()
def review(
    context: typer.Context,
    head: HeadNames = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Maximum number of records.")] = 20,
    only_list: Annotated[
        bool, typer.Option("--list", help="List the records and ask nothing.")
    ] = False,
    answers: Annotated[
        typer.FileText | None,
        typer.Option(help="Read the answers from a file, one per line; - is standard input."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who answers.")] = "",
    as_json: Json = False,
) -> None:
    """Ask for the labels that would help the models most.

    These are records that are uncertain, recent and unlike each other. At a terminal the command
    asks, otherwise it lists; --json prints lines for `switchboard labels import`, with an empty
    `value` for you to fill in.
    """
    from pipeline.commands.labels import publish_label
    from pipeline.commands.reclassify import select_heads
    from pipeline.commands.review import collect_answers, find_candidates
    from pipeline.log.clock import utc_now

    workspace = workspace_of(context)
    names = select_heads(head or [], workspace.heads())
    heads = [row for row in workspace.heads() if row.name in names]
    with workspace.open_warehouse() as warehouse:
        candidates = find_candidates(warehouse, heads, limit)
    if as_json:
        for candidate in candidates:
            console.json(candidate.as_json())
        return
    if only_list or (answers is None and not (sys.stdin.isatty() and sys.stdout.isatty())):
        _show(candidates)
        return
    count = 0
    with workspace.open_publisher() as publisher:
        reader = _reader(heads, answers or sys.stdin, len(candidates))
        for answer in collect_answers(candidates, heads, reader):
            publish_label(
                publisher,
                answer.candidate.record_id,
                answer.candidate.head,
                answer.value,
                by=by,
                tenant=workspace.settings.tenant,
                at=utc_now(),
                heads=heads,
            )
            count += 1
    note(f"{count_of(count, 'label')} published; the models learn them with the next run")


def _show(candidates: Sequence[ReviewCandidate]) -> None:
    columns = ("record", "head", "guess", "p", "text")
    rows = [
        (c.record_id, c.head, c.label, f"{c.probability:.2f}", safe_text(c.text, 120))
        for c in candidates
    ]
    console.table(count_of(len(candidates), "record"), columns, rows, numbers=("p",))


def _reader(
    heads: Sequence[Head], lines: TextIO, total: int
) -> Callable[[ReviewCandidate, int, str], str | None]:
    """Return a function that shows a candidate and reads the answer."""
    from pipeline.commands.review import ANSWER_HELP

    labels = {head.name: head.labels for head in heads}

    def read(candidate: ReviewCandidate, index: int, problem: str) -> str | None:
        if problem:
            note(problem)
        else:
            title = (
                f"{index + 1} of {total}: {candidate.channel} {candidate.direction}"
                f" {candidate.occurred_at[:16]} {candidate.record_id}"
            )
            console.err.print(Text(title, "dim"))
            console.err.print(safe_text(candidate.text, _TEXT_WIDTH), soft_wrap=True)
            guess = candidate.label or "no guess"
            question = f"{candidate.head}: {guess} ({candidate.probability:.2f})?"
            console.err.print(Text(question, "bold"))
            options = (
                f"{number} {label} ({meaning.en}, {meaning.zh})"
                for number, (label, meaning) in enumerate(labels[candidate.head].items(), 1)
            )
            console.err.print(safe_text("  ".join(options)))
            console.err.print(Text(ANSWER_HELP, "dim"))
        try:
            return lines.readline() or None
        except KeyboardInterrupt:
            return None

    return read

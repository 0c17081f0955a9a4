"""`switchboard explain`: why a head answered as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import HeadNames, Json, app, workspace_of
from pipeline.cli.console import safe_text
from pipeline.cli.labels import RecordId

if TYPE_CHECKING:
    from pipeline.commands.explain import HeadExplanation


@app.command()
def explain(
    context: typer.Context,
    record: RecordId,
    head: HeadNames = None,
    limit: Annotated[
        int, typer.Option("--most", min=1, help="Maximum number of pieces of the text.")
    ] = 12,
    current: Annotated[
        bool,
        typer.Option(
            "--current", help="Explain the answer of the current models, not the recorded answer."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show why a record was answered as it was.

    For each head, it shows the words that moved the answer, with their weights, and the rules that
    matched.
    """
    from pipeline.commands.explain import explain_record
    from pipeline.commands.reclassify import select_heads

    workspace = workspace_of(context)
    heads = select_heads(head or [], workspace.heads())
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        explanations = explain_record(workspace, log, warehouse, record, heads, current=current)
    if as_json:
        console.json([explanation.as_json(limit) for explanation in explanations])
        return
    for explanation in explanations:
        _show(explanation, limit)


def _show(explanation: HeadExplanation, limit: int) -> None:
    why = explanation.why
    guess = " (a guess: below the threshold)" if why.answer.abstained and why.answer.label else ""
    answer = _words(why.answer.label, why.answer.also)
    console.out.print(Text(f"{why.head}: ", "bold") + safe_text(answer + guess))
    likely = ", ".join(f"{label} {p:.2f}" for label, p in list(why.probabilities.items())[:3])
    facts = [
        ("answered by", why.answer.version),
        ("probability", f"{why.answer.probability:.2f}, threshold {min(why.threshold, 1.0):.2f}"),
        ("most likely", likely),
        (
            "rule",
            f"{why.rule.label or 'no answer'} {why.rule.confidence:.2f}:"
            f" {', '.join(why.rule.terms)}",
        ),
        ("note", explanation.note),
    ]
    for name, value in facts:
        if value:
            console.out.print(Text(f"  {name}: ", "dim") + safe_text(value))
    for text, label, p in why.clauses:
        clause = f"{label or 'no answer'} {p:.2f}: {text}"
        console.out.print(Text("  clause: ", "dim") + safe_text(clause))
    if why.contributions:
        _show_pieces(explanation, limit)


def _show_pieces(explanation: HeadExplanation, limit: int) -> None:
    """Print how much the pieces of the text add to the answer and to its rival."""
    from pipeline.models.explanation import top_contributions

    why, rival = explanation.why, explanation.rival
    columns = ("piece of the text", why.answer.label, *((rival,) if rival else ()))
    weights = [
        (
            text or "(whole text)",
            f"{weight:+.3f}",
            *((f"{explanation.weight(text, rival):+.3f}",) if rival else ()),
        )
        for text, weight in top_contributions(why.contributions, why.answer.label, limit)
    ]
    rule = ("(the rule)", *(f"{why.hint[name]:+.3f}" for name in columns[1:]))
    console.table("", columns, [*weights, rule], numbers=columns[1:])


def _words(label: str, also: tuple[str, ...]) -> str:
    return " and ".join((label, *also)) if label else "no answer"

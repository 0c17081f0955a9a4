"""Commands about the models' answers: explain, review, reclassify."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TextIO
from uuid import UUID

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import note, plain

if TYPE_CHECKING:
    from pipeline.commands.explain import Explained
    from pipeline.commands.review import Candidate
    from pipeline.models.heads import Head

# More kinds of change than a person reads on a screen; --json has them all.
_SHOWN_CHANGES = 25
_Head = Annotated[list[str] | None, typer.Option("--head", help="Only this head; may be repeated.")]


@app.command()
def reclassify(
    context: typer.Context,
    head: _Head = None,
    since: Annotated[str | None, typer.Option(help="First day, as 2026-08-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day, as 2026-10-31.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")
    ] = False,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Begin anew, where an earlier run of the same was broken off."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge records of the history again by the current models; predictions keeps what was answered
    before.

    The answers go on the log, and `switchboard run` (or the workers of load) brings them to the
    tables. A run that is broken off goes on where it was, with the models that it began with.
    """
    from pipeline.commands.explain import current_models
    from pipeline.commands.models import models_of
    from pipeline.commands.reclassify import (
        Progress,
        Wanted,
        reclassify,
        records_of,
        unfinished,
        wanted_heads,
    )
    from pipeline.reporting.report import Period
    from pipeline.runtime.runner import utc_now

    workspace = workspace_of(context)
    heads = workspace.settings.head_table()
    span = Period.of(since, until, workspace.settings.timezone or "UTC").parameters
    wanted = Wanted(span["start"], span["end"], wanted_heads(head or [], heads))
    with workspace.log() as log, workspace.reading() as warehouse:
        earlier = None if restart or dry_run else unfinished(log, wanted)
        models = models_of(log, earlier.version, heads) if earlier else None
        if earlier and models is None:
            note(
                f"the run that was broken off had other models ({earlier.version}): beginning anew"
            )
        if earlier is None or models is None:
            models = current_models(workspace, log)
            earlier = Progress(models.version)
        elif earlier.after:
            note(
                f"going on after {earlier.records:,} records, with the models of {earlier.version}"
            )
        progress = earlier
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=console.err, transient=True) as bar:
            task = bar.add_task(
                "judging", total=records_of(warehouse, wanted), completed=progress.records
            )
            for state in reclassify(
                log, warehouse, models, wanted, progress, utc_now(), dry=dry_run
            ):
                bar.update(task, completed=state.records)
    changes = [
        {"head": name, "from": old, "to": new, "records": count}
        for (name, old, new), count in progress.changed.most_common()
    ]
    told = {"version": progress.version, "records": progress.records, "answers": progress.answers}
    if as_json:
        console.json({**told, "dry_run": dry_run, "changed": changes})
        return
    if changes:
        shown = [
            (one["head"], one["from"], one["to"], one["records"])
            for one in changes[:_SHOWN_CHANGES]
        ]
        console.table(
            f"{sum(progress.changed.values()):,} labels change",
            ("head", "was", "is", "records"),
            shown,
            numbers=("records",),
        )
    judged = (
        f"{progress.records:,} records judged by {progress.version}: {progress.answers:,} new"
        " answers"
    )
    if dry_run:
        note(f"{judged} would be given")
    else:
        note(f"{judged} are on the log; `switchboard run` brings them to the tables")


# As much of a message as a person needs to judge it, on one screen.
_TEXT_WIDTH = 1_200


@app.command()
def review(
    context: typer.Context,
    head: _Head = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many records at most.")] = 20,
    listed: Annotated[bool, typer.Option("--list", help="Only list them, ask nothing.")] = False,
    answers: Annotated[
        typer.FileText | None,
        typer.Option(help="Read the answers from a file, one a line; - is standard input."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who answers.")] = "",
    as_json: Json = False,
) -> None:
    """Find the records whose label would teach most, and ask for it: unsure, recent, unlike each
    other.

    At a terminal it asks, else it lists; --json gives lines that `switchboard labels import` takes
    once their `value` is filled in.
    """
    from pipeline.commands.labels import give
    from pipeline.commands.reclassify import wanted_heads
    from pipeline.commands.review import ask, candidates
    from pipeline.runtime.runner import utc_now

    workspace = workspace_of(context)
    settings = workspace.settings
    names = wanted_heads(head or [], settings.head_table())
    heads = [one for one in settings.head_table() if one.name in names]
    with workspace.reading() as warehouse:
        found = candidates(warehouse, heads, limit)
    if as_json:
        for one in found:
            console.json(one.as_json())
        return
    if listed or (answers is None and not (sys.stdin.isatty() and sys.stdout.isatty())):
        columns = ("record", "head", "guess", "p", "text")
        shown = [
            (one.record_id, one.head, one.label, f"{one.probability:.2f}", plain(one.text, 120))
            for one in found
        ]
        console.table(f"{len(found)} records", columns, shown, numbers=("p",))
        return
    given = 0
    with workspace.publisher() as publisher:
        for answer in ask(found, heads, _reader(heads, answers or sys.stdin, len(found))):
            one = answer.candidate
            tenant, at = settings.tenant, utc_now()
            give(
                publisher,
                one.record_id,
                one.head,
                answer.value,
                by=by,
                tenant=tenant,
                at=at,
                heads=heads,
            )
            given += 1
    note(f"{given} labels given; the models learn them with the next run")


def _reader(
    heads: Sequence[Head], lines: TextIO, total: int
) -> Callable[[Candidate, int, str], str | None]:
    from pipeline.commands.review import HELP

    labels = {head.name: head.labels for head in heads}

    def read(one: Candidate, place: int, wrong: str) -> str | None:
        if wrong:
            note(wrong)
        else:
            where = (
                f"{place + 1} of {total}: {one.channel} {one.direction} {one.occurred_at[:16]}"
                f" {one.record_id}"
            )
            console.err.print(Text(where, "dim"))
            console.err.print(plain(one.text, _TEXT_WIDTH), soft_wrap=True)
            guess = f"{one.head}: {one.label or 'no guess'} ({one.probability:.2f})?"
            console.err.print(Text(guess, "bold"))
            options = (
                f"{number} {label} ({meaning.en}, {meaning.zh})"
                for number, (label, meaning) in enumerate(labels[one.head].items(), 1)
            )
            console.err.print(plain("  ".join(options)))
            console.err.print(Text(HELP, "dim"))
        try:
            return lines.readline() or None
        except KeyboardInterrupt:
            return None

    return read


@app.command()
def explain(
    context: typer.Context,
    record: Annotated[UUID, typer.Argument(help="The record's id.")],
    head: _Head = None,
    most: Annotated[int, typer.Option(min=1, help="How many pieces of the text to show.")] = 12,
    current: Annotated[
        bool,
        typer.Option(
            "--current",
            help="Explain the current models' answer, not the one that the record shows.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show why a record was answered as it was: the words that moved each head, with their weights,
    and the rules that spoke.
    """
    from pipeline.commands.explain import explain_record
    from pipeline.commands.reclassify import wanted_heads

    workspace = workspace_of(context)
    heads = wanted_heads(head or [], workspace.settings.head_table())
    with workspace.log() as log, workspace.reading() as warehouse:
        found = explain_record(workspace, log, warehouse, record, heads, current=current)
    if as_json:
        console.json([one.as_json(most) for one in found])
        return
    for one in found:
        _show(one, most)


def _show(one: Explained, most: int) -> None:
    """Print one head's explanation; what of it a customer wrote is made harmless."""
    from pipeline.models.explanation import strongest

    why = one.why
    sure = " (a guess: below the threshold)" if why.answer.abstained and why.answer.label else ""
    console.out.print(
        Text(f"{why.head}: ", "bold") + plain(_words(why.answer.label, why.answer.also) + sure)
    )
    likely = ", ".join(f"{label} {p:.2f}" for label, p in list(why.probabilities.items())[:3])
    facts = [
        ("answered by", why.answer.version),
        ("probability", f"{why.answer.probability:.2f}, needed {min(why.threshold, 1.0):.2f}"),
        ("likeliest", likely),
        (
            "rule says",
            f"{why.rule.label or 'nothing'} {why.rule.confidence:.2f}: {', '.join(why.rule.terms)}",
        ),
        ("note", one.note),
    ]
    for name, value in facts:
        if value:
            console.out.print(Text(f"  {name}: ", "dim") + plain(value))
    for text, label, p in why.clauses:
        console.out.print(
            Text("  clause: ", "dim") + plain(f"{label or 'nothing'} {p:.2f}: {text}")
        )
    if why.pieces:
        rival = one.rival
        columns = ("piece of the text", why.answer.label, *((rival,) if rival else ()))
        moved = [
            (
                text or "(the whole)",
                f"{weight:+.3f}",
                *((f"{one.weight(text, rival):+.3f}",) if rival else ()),
            )
            for text, weight in strongest(why.pieces, why.answer.label, most)
        ]
        hinted = ("(what the rule says)", *(f"{why.hint[name]:+.3f}" for name in columns[1:]))
        console.table("", columns, [*moved, hinted], numbers=columns[1:])


def _words(label: str, also: tuple[str, ...]) -> str:
    return " and ".join((label, *also)) if label else "no answer"

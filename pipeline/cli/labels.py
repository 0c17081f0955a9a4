"""`switchboard label` and `switchboard labels`: the right answers that models learn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from pipeline.cli.app import app, workspace_of
from pipeline.cli.console import FAILED, WRONG_USE, fail, note
from pipeline.models.heads import HEADS
from pipeline.text.counts import count_of

if TYPE_CHECKING:
    from pipeline.commands.generations import RenewalResult

labels_app = typer.Typer(no_args_is_help=True, help="Import, retract and forget labels.")
app.add_typer(labels_app, name="labels")

HEAD_NAMES = ", ".join(head.name for head in HEADS)
RecordId = Annotated[UUID, typer.Argument(help="The id of the record.")]
By = Annotated[str, typer.Option(help="Who gives the answer.")]
Note = Annotated[str, typer.Option("--note", help="Why.")]
Reason = Annotated[str, typer.Option(help="Why, for later readers of the list.")]


@app.command()
def label(
    context: typer.Context,
    record: RecordId,
    head: Annotated[
        str,
        typer.Argument(help=f"{HEAD_NAMES}, or a head of your own."),
    ],
    value: Annotated[str, typer.Argument(help="The right answer.")],
    by: By = "",
    note_text: Note = "",
) -> None:
    """Label one record with the right answer of a head.

    The models learn it with the next run.
    """
    from pipeline.commands.labels import label_record

    label_record(workspace_of(context), record, head, value, by=by, note=note_text)
    note(f"{record}: {head} is {value}")


@labels_app.command("import")
def labels_import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A CSV or JSONL file, see docs/guide.")],
) -> None:
    """Import labels from a CSV or JSONL file.

    Its columns are head, value, and record_id, or source and event_id.
    """
    from pipeline.commands.labels import BadLabelRow, import_labels

    imported = bad = 0
    for item in import_labels(workspace_of(context), file):
        if isinstance(item, BadLabelRow):
            bad += 1
            note(f"{file}:{item.line}: {item.detail}")
        else:
            imported += 1
    note(f"{count_of(imported, 'label')} imported, {count_of(bad, 'row')} rejected")
    if bad:
        raise SystemExit(FAILED)


@labels_app.command("retract")
def labels_retract(
    context: typer.Context,
    record: RecordId,
    head: Annotated[str, typer.Argument(help=f"{HEAD_NAMES}.")],
    by: By = "",
    note_text: Note = "",
) -> None:
    """Retract the label of a record.

    The models unlearn it with the next generation (`labels renew`).
    """
    from pipeline.commands.labels import retract_label

    retract_label(workspace_of(context), record, head, by=by, note=note_text)
    note(f"{record}: the label of {head} is retracted")


@labels_app.command("forget")
def labels_forget(
    context: typer.Context,
    records: Annotated[list[UUID] | None, typer.Argument(help="Ids of records.")] = None,
    customer: Annotated[
        str,
        typer.Option(
            help="A customer, named as for `history`: all records of all linked contact points."
        ),
    ] = "",
    reason: Reason = "",
) -> None:
    """Make the models forget records.

    It writes a new generation of the examples without them, and deletes the old one.
    """
    from pipeline.commands.generations import customer_records, renew_generation

    workspace = workspace_of(context)
    forgotten = [*(records or ()), *(customer_records(workspace, customer) if customer else ())]
    if not forgotten:
        fail(
            (
                f"the history contains no customer {customer!r}"
                if customer
                else "name records, or a --customer"
            ),
            WRONG_USE,
        )
    with workspace.open_log() as log:
        result = renew_generation(log, forgotten, reason)
    _show_renewal(result)


@labels_app.command("renew")
def labels_renew(context: typer.Context, reason: Reason = "") -> None:
    """Write a new generation of the examples, with the effective labels only.

    The models unlearn what was corrected or retracted, and nothing else.
    """
    from pipeline.commands.generations import renew_generation

    with workspace_of(context).open_log() as log:
        result = renew_generation(log, reason=reason)
    _show_renewal(result)


def _show_renewal(result: RenewalResult) -> None:
    note(
        f"generation {result.number}: {count_of(result.copied, 'label')} copied,"
        f" {count_of(result.left_out, 'example')} of"
        " the previous generation left out"
    )

"""Commands about what the models learn from and which version answers: models …, labels retract,
forget, renew, outcomes.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail, note
from pipeline.cli.feeding import labels_app

models_app = typer.Typer(
    no_args_is_help=True, help="Versions of the models: list, show, export, pin, roll back."
)
app.add_typer(models_app, name="models")

Version = Annotated[
    str,
    typer.Argument(help="generation/offset, as predictions carry it; none: the one that goes on."),
]
Reason = Annotated[str, typer.Option(help="Why, for those who read the list later.")]


@models_app.command("list")
def models_list(context: typer.Context, as_json: Json = False) -> None:
    """List generations, pins, rollbacks, promotions, the versions that answered last, and the one
    that answers now.
    """
    from pipeline.commands.models import listed

    workspace = workspace_of(context)
    with workspace.log() as log, workspace.reading() as warehouse:
        found = listed(log, warehouse, workspace.settings.head_table())
    if as_json:
        console.json(found)
        return
    columns = ("what", "version", "at", "records", "by", "why")
    rows = [
        (
            row["what"],
            row["version"],
            str(row["at"])[:19],
            row.get("records", ""),
            row["by"],
            row["reason"],
        )
        for row in found
    ]
    console.table("Models", columns, rows, numbers=("records",))


@models_app.command("show")
def models_show(
    context: typer.Context,
    version: Version = "",
    file: Annotated[
        Path | None, typer.Option(help="An exported file, in place of the examples.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a version again from the examples and show what it has learnt, how well it did, and the
    digest of its weights.
    """
    from pipeline.commands.models import read_exported, replica_at, shown

    if file is not None and version:
        fail("name a version or a --file, not both", WRONG_USE)
    workspace = workspace_of(context)
    heads = workspace.settings.head_table()
    if file is not None:
        found = shown(read_exported(file, heads))
    else:
        with workspace.log() as log:
            found = shown(replica_at(log, version, heads))
    if as_json:
        console.json(asdict(found))
        return
    columns = (
        "head",
        "labels",
        "classes",
        "answers",
        "tests",
        "accuracy",
        "of the model",
        "of the rules",
    )
    shares = ("accuracy", "model_accuracy", "rule_accuracy")
    rows = [
        (
            *(getattr(head, name) for name in ("head", "labels", "classes", "answers", "tests")),
            *("" if (share := getattr(head, name)) is None else f"{share:.1%}" for name in shares),
        )
        for head in found.heads
    ]
    console.table(
        f"Version {found.version}",
        columns,
        rows,
        numbers=("labels", "classes", "tests", *columns[5:]),
    )
    console.out.print(f"{found.held} labels hold; digest {found.digest}", soft_wrap=True)


@models_app.command("export")
def models_export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    version: Version = "",
) -> None:
    """Write a version to a file with a checksum, which `models show --file` of any installation of
    this release reads.
    """
    from pipeline.commands.models import export, replica_at

    workspace = workspace_of(context)
    with workspace.log() as log:
        replica = replica_at(log, version, workspace.settings.head_table())
    note(f"version {replica.version} in {out}, digest {export(replica, out)}")


@models_app.command("pin")
def models_pin(context: typer.Context, version: Version = "", reason: Reason = "") -> None:
    """Let every worker answer with a version from its next batch on; the models go on learning
    beside it.
    """
    from pipeline.commands.models import pin

    workspace = workspace_of(context)
    with workspace.log() as log:
        pinned = pin(log, version, reason, workspace.settings.head_table())
    note(
        f"version {pinned.generation}/{pinned.offset} answers; `switchboard models unpin` takes the"
        " pin out"
    )


@models_app.command("unpin")
def models_unpin(context: typer.Context, reason: Reason = "") -> None:
    """Let the models answer as they stand again."""
    from pipeline.commands.models import unpin

    with workspace_of(context).log() as log:
        unpin(log, reason)
    note("the models answer as they stand")


@models_app.command("rollback")
def models_rollback(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="generation/offset, as predictions carry it.")],
    reason: Reason = "",
) -> None:
    """Let every worker go on from a version, as if the examples since had not been."""
    from pipeline.commands.models import roll_back

    workspace = workspace_of(context)
    with workspace.log() as log:
        kept = roll_back(log, version, reason, workspace.settings.head_table())
    note(f"the models go on from version {kept.generation}/{kept.offset}")


@labels_app.command("retract")
def labels_retract(
    context: typer.Context,
    record: Annotated[UUID, typer.Argument(help="The record's id.")],
    head: Annotated[str, typer.Argument(help="need, sentiment, urgency, spam, purchase_intent.")],
    by: Annotated[str, typer.Option(help="Who says so.")] = "",
    note_text: Annotated[str, typer.Option("--note", help="Why.")] = "",
) -> None:
    """Take the label of a record back; what it taught leaves the models with the next generation
    (`labels renew`).
    """
    from pipeline.commands.labels import retraction_event
    from pipeline.ingest.port import Found
    from pipeline.runtime.runner import utc_now

    workspace = workspace_of(context)
    tenant, heads = workspace.settings.tenant, workspace.settings.head_table()
    event = retraction_event(
        record, head, by=by, note=note_text, tenant=tenant, at=utc_now(), heads=heads
    )
    with workspace.publisher() as publisher:
        publisher.publish(Found(event, event.model_dump_json().encode()), "label/1", tenant)
    note(f"{record}: nothing is said of {head} any more")


@labels_app.command("forget")
def labels_forget(
    context: typer.Context,
    records: Annotated[list[UUID] | None, typer.Argument(help="Ids of records.")] = None,
    customer: Annotated[
        str, typer.Option(help="A customer, named as for `history`: all records over all links.")
    ] = "",
    reason: Reason = "",
) -> None:
    """Let the models forget records: a new generation of the examples without them; the old ones
    are deleted.
    """
    from pipeline.commands.generations import records_of, renew

    workspace = workspace_of(context)
    forgotten = [*(records or ()), *(records_of(workspace, customer) if customer else ())]
    if not forgotten:
        fail(
            (
                f"the history knows no customer {customer!r}"
                if customer
                else "name records, or a --customer"
            ),
            WRONG_USE,
        )
    with workspace.log() as log:
        done = renew(log, forgotten, reason)
    note(
        f"generation {done.number}: {done.kept} labels go on, {done.left_out} examples of the last"
        " one do not"
    )


@labels_app.command("renew")
def labels_renew(context: typer.Context, reason: Reason = "") -> None:
    """Write a new generation of the examples: what was corrected or taken back leaves the models,
    and nothing else.
    """
    from pipeline.commands.generations import renew

    with workspace_of(context).log() as log:
        done = renew(log, reason=reason)
    note(
        f"generation {done.number}: {done.kept} labels go on, {done.left_out} examples of the last"
        " one do not"
    )


@app.command()
def outcomes(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(help="Look at messages from this day on, as 2026-08-01; none: at all.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Find what customers did after they wrote (paid, did not pay, gave a mark) and label their
    messages by it; note drifts.

    Safe to run at any time, from cron too: nothing is given twice.
    """
    from datetime import UTC, datetime

    from pipeline.commands.outcomes import Horizon
    from pipeline.commands.periodic_tasks import look_back
    from schemas.types import EARLIEST

    workspace = workspace_of(context)
    try:
        first = datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=UTC) if since else EARLIEST
    except ValueError:
        fail(f"--since {since}: write a day as 2026-08-01", WRONG_USE)
    given = look_back(workspace, Horizon(workspace.settings.intent_horizon_days, first))
    if as_json:
        console.json(given)
    else:
        note(
            ", ".join(f"{what} {count:,}" for what, count in sorted(given.items())) or "nothing new"
        )

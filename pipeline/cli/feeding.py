"""Commands that put something in: ingest, label, and what helps with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, WRONG_USE, fail, note
from pipeline.ingest.port import Connector
from pipeline.settings import load_settings
from pipeline.workspace import Workspace

labels_app = typer.Typer(no_args_is_help=True, help="Labels from files.")
schemas_app = typer.Typer(no_args_is_help=True, help="The contracts of events and records.")
app.add_typer(labels_app, name="labels")
app.add_typer(schemas_app, name="schemas")


@app.command()
def connectors(as_json: Json = False) -> None:
    """List what can be ingested, and what each connector needs."""
    from pipeline.ingest.registry import CONNECTORS

    if as_json:
        console.json(
            [
                {"name": c.name, "version": c.version, "summary": c.summary, "options": c.options}
                for c in CONNECTORS.values()
            ]
        )
        return
    rows = [
        (connector.name, connector.summary, _options(connector))
        for connector in CONNECTORS.values()
    ]
    console.table("Connectors", ("name", "reads", "options"), rows)


def _options(connector: Connector) -> Text:
    """Return a connector's options as they are written on the command line, one a line."""
    from pipeline.commands.ingest import OPTIONS_OF_ALL

    words = (
        (f"--{name}" if name in OPTIONS_OF_ALL else f"--option {name}=", meaning)
        for name, meaning in connector.options.items()
    )
    return Text("\n".join(f"{flag}: {meaning}" for flag, meaning in words))


@app.command()
def ingest(
    context: typer.Context,
    connector: Annotated[
        str, typer.Argument(help="A connector's name; see `switchboard connectors`.")
    ],
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or archives.")],
    source: Annotated[
        str | None, typer.Option(help="Name of the mailbox, exchange or chat account.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="IANA zone of stamps without one, such as Asia/Shanghai.")
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(help="Our own addresses, domains, numbers, chat names; may be repeated."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose data it is.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="A connector's own option, as name=value; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read files into the log: once, resumably; a file that has grown is read further, one that is
    unchanged is left alone.
    """
    from pipeline.commands.ingest import ingest_paths

    settings = context.obj.model_copy(update={"tenant": tenant} if tenant else {})
    if timezone:
        settings = load_settings(**settings.model_dump(exclude={"timezone"}), timezone=timezone)
    ingest_paths(
        Workspace(settings),
        connector,
        paths,
        source,
        tuple(own or ()),
        _pairs(option or []),
        as_json=as_json,
    )


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = dict(option.partition("=")[::2] for option in options)
    for option in options:
        if "=" not in option:
            fail(f"--option {option}: write it as name=value", WRONG_USE)
    return pairs


@app.command()
def label(
    context: typer.Context,
    record: Annotated[UUID, typer.Argument(help="The record's id.")],
    head: Annotated[
        str,
        typer.Argument(
            help="need, sentiment, urgency, spam, purchase_intent, or a head of your own."
        ),
    ],
    value: Annotated[str, typer.Argument(help="The right answer.")],
    by: Annotated[str, typer.Option(help="Who says so.")] = "",
    note_text: Annotated[str, typer.Option("--note", help="Why.")] = "",
) -> None:
    """Give the right answer for one record; the models learn it with the next run."""
    from pipeline.commands.labels import label_event
    from pipeline.ingest.port import Found
    from pipeline.runtime.runner import utc_now
    from pipeline.runtime.stages import labelled_texts

    workspace = workspace_of(context)
    settings = workspace.settings
    event = label_event(
        record,
        head,
        value,
        by=by,
        note=note_text,
        tenant=settings.tenant,
        at=utc_now(),
        heads=settings.head_table(),
    )
    with workspace.reading() as warehouse:
        if record not in labelled_texts(warehouse, [record]):
            fail(
                f"the history holds no record {record}; see `switchboard query 'SELECT record_id,"
                " subject FROM communications'`"
            )
    with workspace.publisher() as publisher:
        publisher.publish(
            Found(event, event.model_dump_json().encode()), "label/1", workspace.settings.tenant
        )
    note(f"{record}: {head} is {value}")


@labels_app.command("import")
def labels_import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV or JSONL, see the guide.")],
) -> None:
    """Give many labels from a file: head, value, and record_id, or source and event_id."""
    from pipeline.commands.labels import BadRow, read_labels
    from pipeline.ingest.port import Found

    workspace = workspace_of(context)
    counts: Counter[str] = Counter()
    with workspace.publisher() as publisher:
        for item in read_labels(file, workspace.settings.tenant, workspace.settings.head_table()):
            if isinstance(item, BadRow):
                counts["bad"] += 1
                note(f"{file}:{item.line}: {item.detail}")
                continue
            publisher.publish(
                Found(item, item.model_dump_json().encode()), "labels/1", workspace.settings.tenant
            )
            counts["given"] += 1
    note(f"{counts['given']} labels given, {counts['bad']} rows refused")
    if counts["bad"]:
        raise SystemExit(FAILED)


@schemas_app.command("export")
def schemas_export(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("schemas-export"),
) -> None:
    """Write the JSON Schemas and the AsyncAPI document to a folder."""
    from schemas.generate import documents, write_or_check

    write_or_check(out, documents(), check=False)
    note(f"{len(documents())} documents in {out}")


@app.command()
def demo(
    context: typer.Context,
    samples: Annotated[Path | None, typer.Option(help="Folder of samples.")] = None,
) -> None:
    """Ingest the samples, run until idle, show a customer's history and write a report."""
    from pipeline.commands.demo import run_demo

    run_demo(context.obj, samples)

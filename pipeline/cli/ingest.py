"""`switchboard ingest` and `switchboard connectors`: read files into the log."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import Json, app
from pipeline.cli.console import WRONG_USE, fail, note
from pipeline.settings import load_settings
from pipeline.text.counts import count_of
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.commands.ingest import IngestTally
    from pipeline.ingest.port import Connector


@app.command()
def connectors(as_json: Json = False) -> None:
    """List the connectors, what each reads, and its options."""
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
    """Return the options of a connector as on the command line, one per line."""
    from pipeline.commands.ingest import COMMON_OPTIONS

    words = (
        (f"--{name}" if name in COMMON_OPTIONS else f"--option {name}=", meaning)
        for name, meaning in connector.options.items()
    )
    return Text("\n".join(f"{flag}: {meaning}" for flag, meaning in words))


@app.command()
def ingest(
    context: typer.Context,
    connector: Annotated[
        str, typer.Argument(help="The name of a connector; see `switchboard connectors`.")
    ],
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or archives.")],
    source: Annotated[
        str | None, typer.Option(help="Name of the mailbox, exchange or chat account.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="IANA zone of timestamps without a zone, such as Asia/Shanghai."),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            help="Your own addresses, domains, telephone numbers, chat names; may be repeated."
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant of the data.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the connector, as name=value; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read files into the log with a connector; an interrupted ingest resumes.

    Each file is read once: of a file that has grown, only the new part is read; an unchanged file
    is skipped.
    """
    from pipeline.commands.ingest import ingest_paths

    settings = context.obj
    changed = {name: value for name, value in (("tenant", tenant), ("timezone", timezone)) if value}
    if changed:
        settings = load_settings(**settings.model_dump(exclude=changed.keys()), **changed)
    extra = _pairs(option or [])
    with _progress_bar() as bar:
        task = bar.add_task(connector, items="")
        tally = ingest_paths(
            Workspace(settings),
            connector,
            paths,
            source,
            tuple(own or ()),
            extra,
            on_result=lambda now: bar.update(
                task, items=count_of(now.published + now.rejected, "item")
            ),
        )
    if as_json:
        console.json(asdict(tally))
    else:
        show_tally(connector, tally)
        if tally.rejected:
            note(
                f"{count_of(tally.rejected, 'item')} rejected: after `switchboard run`,"
                " `switchboard dlq list` shows why"
            )
    fail_if_unread(tally)


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = dict(option.partition("=")[::2] for option in options)
    for option in options:
        if "=" not in option:
            fail(f"--option {option}: write it as name=value", WRONG_USE)
    return pairs


def _progress_bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[items]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console.err, transient=True)


def show_tally(connector: str, tally: IngestTally) -> None:
    """Print what was read from each file."""
    columns = ("file", "published", "rejected", "read before")
    rows: list[tuple[object, ...]] = [
        (r["name"], r["published"], r["rejected"], r["skipped"]) for r in tally.listed
    ]
    if tally.files != 1:
        rows.append((f"all {tally.files}", tally.published, tally.rejected, tally.skipped))
    console.table(f"ingested by {connector}", columns, rows, numbers=columns[1:])


def fail_if_unread(tally: IngestTally) -> None:
    """Print why files could not be read, and end the process if there are any."""
    for problem, names in tally.problems.items():
        note(problem if names[0] in problem else f"{', '.join(names)}: {problem}")
    if tally.unread:
        fail(
            f"{tally.unread} of {count_of(tally.files, 'file')} could not be read; repair them and"
            " ingest again, the other files are done",
            WRONG_USE,
        )

"""The command `switchboard`: what people do with an installation. Each command says what it needs; `--json` is for machines."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.text import Text

from pipeline import console
from pipeline.console import FAILED, HELD, WRONG_USE, fail, note
from pipeline.errors import UserError
from pipeline.ingest.port import Connector
from pipeline.settings import Settings, load_settings
from pipeline.sinks.sharing import StoreHeldError
from pipeline.workspace import Workspace

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Every email, call and chat a company has with its customers, as one clean, classified, queryable history.",
)
dlq_app = typer.Typer(no_args_is_help=True, help="What was refused: list it, look at it, send it again.")
labels_app = typer.Typer(no_args_is_help=True, help="Labels from files.")
schemas_app = typer.Typer(no_args_is_help=True, help="The contracts of events and records.")
app.add_typer(dlq_app, name="dlq")
app.add_typer(labels_app, name="labels")
app.add_typer(schemas_app, name="schemas")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]


@app.callback()
def configure(
    context: typer.Context,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of log, store and secret [default: ./switchboard-data].")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more on standard error.")] = False,
) -> None:
    """Read the settings once, for whichever command follows."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    context.obj = load_settings(data_dir=data_dir)


def _workspace(context: typer.Context) -> Workspace:
    settings: Settings = context.obj
    return Workspace(settings)


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
    rows = [(connector.name, connector.summary, _options(connector)) for connector in CONNECTORS.values()]
    console.table("Connectors", ("name", "reads", "options"), rows)


def _options(connector: Connector) -> Text:
    """Return a connector's options as they are written on the command line, one a line."""
    from pipeline.ops.ingesting import OPTIONS_OF_ALL

    words = (
        (f"--{name}" if name in OPTIONS_OF_ALL else f"--option {name}=", meaning)
        for name, meaning in connector.options.items()
    )
    return Text("\n".join(f"{flag}: {meaning}" for flag, meaning in words))


@app.command()
def ingest(
    context: typer.Context,
    connector: Annotated[str, typer.Argument(help="A connector's name; see `switchboard connectors`.")],
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or archives.")],
    source: Annotated[str | None, typer.Option(help="Name of the mailbox, exchange or chat account.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="IANA zone of stamps without one, such as Asia/Shanghai.")
    ] = None,
    own: Annotated[
        list[str] | None, typer.Option(help="Our own addresses, domains, numbers, chat names; may be repeated.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose data it is.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="A connector's own option, as name=value; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read files into the log: once, resumably; a file that has grown is read further, one that is unchanged is left alone."""
    from pipeline.ops.ingesting import ingest_paths

    settings = context.obj.model_copy(update={"tenant": tenant} if tenant else {})
    if timezone:
        settings = load_settings(**settings.model_dump(exclude={"timezone"}), timezone=timezone)
    ingest_paths(Workspace(settings), connector, paths, source, tuple(own or ()), _pairs(option or []), as_json=as_json)


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = dict(option.partition("=")[::2] for option in options)
    for option in options:
        if "=" not in option:
            fail(f"--option {option}: write it as name=value", WRONG_USE)
    return pairs


@app.command()
def run(
    context: typer.Context,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when everything is caught up.")] = False,
    as_json: Json = False,
) -> None:
    """Clean, classify and load what was ingested; go on with what comes, until stopped."""
    from pipeline.ops.running import run_host

    run_host(_workspace(context), until_idle=until_idle, as_json=as_json)


@app.command()
def history(
    context: typer.Context,
    customer: Annotated[
        str,
        typer.Argument(help="An address, a telephone number, a customer number, a handle, a name or a customer id."),
    ],
    as_json: Json = False,
) -> None:
    """Show one customer's timeline over all channels, orders, feedback and complaints."""
    from pipeline.reporting.screen import show_timeline
    from pipeline.reporting.timeline import timeline

    workspace = _workspace(context)
    with workspace.reading() as warehouse:
        found = timeline(warehouse, workspace.settings.identity(), workspace.settings.tenant, customer)
    if not found.events:
        fail(
            f"the history knows no customer {customer!r}: try another contact point, or `switchboard query 'SELECT * FROM customers'`"
        )
    if as_json:
        console.json(asdict(found))
    else:
        show_timeline(customer, found)


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="SQL that reads; - reads it from standard input.")],
    fmt: Annotated[
        str, typer.Option("--format", help="A ClickHouse output format: Pretty, JSONEachRow, CSV, Parquet …")
    ] = "",
) -> None:
    """Answer SQL over the history, read-only; see `SHOW TABLES` and the columns' comments."""
    text = sys.stdin.read() if sql == "-" else sql
    fmt = fmt or ("PrettyCompact" if sys.stdout.isatty() else "TabSeparatedWithNames")
    with _workspace(context).reading() as warehouse:
        answer = warehouse.query(text, fmt=fmt)
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


@app.command()
def report(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    since: Annotated[str | None, typer.Option(help="First day, as 2026-08-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day, as 2026-10-31.")] = None,
) -> None:
    """Write one self-contained HTML page: volumes, needs, sentiment, customers, complaints."""
    from pipeline.reporting.report import Period, write_report

    workspace = _workspace(context)
    with workspace.reading() as warehouse:
        path = write_report(warehouse, out, Period.of(since, until, workspace.settings.timezone or "UTC"))
    note(f"report: {path}")


@app.command()
def label(
    context: typer.Context,
    record: Annotated[UUID, typer.Argument(help="The record's id.")],
    head: Annotated[str, typer.Argument(help="need, sentiment, urgency, spam, purchase_intent.")],
    value: Annotated[str, typer.Argument(help="The right answer.")],
    by: Annotated[str, typer.Option(help="Who says so.")] = "",
    note_text: Annotated[str, typer.Option("--note", help="Why.")] = "",
) -> None:
    """Give the right answer for one record; the models learn it with the next run."""
    from pipeline.ingest.port import Found
    from pipeline.ops.labelling import label_event
    from pipeline.runtime.stages import labelled_texts

    workspace = _workspace(context)
    event = label_event(record, head, value, by=by, note=note_text, tenant=workspace.settings.tenant)
    with workspace.reading() as warehouse:
        if record not in labelled_texts(warehouse, [record]):
            fail(
                f"the history holds no record {record}; see `switchboard query 'SELECT record_id, subject FROM communications'`"
            )
    with workspace.publisher() as publisher:
        publisher.publish(Found(event, event.model_dump_json().encode()), "label/1", workspace.settings.tenant)
    note(f"{record}: {head} is {value}")


@labels_app.command("import")
def labels_import(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="CSV or JSONL, see the guide.")]
) -> None:
    """Give many labels from a file: head, value, and record_id, or source and event_id."""
    from pipeline.ingest.port import Found
    from pipeline.ops.labelling import BadRow, read_labels

    workspace = _workspace(context)
    counts: Counter[str] = Counter()
    with workspace.publisher() as publisher:
        for item in read_labels(file, workspace.settings.tenant):
            if isinstance(item, BadRow):
                counts["bad"] += 1
                note(f"{file}:{item.line}: {item.detail}")
                continue
            publisher.publish(Found(item, item.model_dump_json().encode()), "labels/1", workspace.settings.tenant)
            counts["given"] += 1
    note(f"{counts['given']} labels given, {counts['bad']} rows refused")
    if counts["bad"]:
        raise SystemExit(FAILED)


@dlq_app.command("list")
def dlq_list(
    context: typer.Context,
    stage: str = "",
    code: str = "",
    connector: str = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those not accepted since.")] = False,
    limit: int = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    from pipeline.ops.dlq import Filter, listed

    with _workspace(context).reading() as warehouse:
        letters = listed(warehouse, Filter((), stage, code, connector, open_only), limit)
    if as_json:
        console.json(letters)
        return
    columns = ("id", "stage", "reason", "where", "what is wrong", "replay")
    rows = [
        (
            row["dead_letter_id"][:8],
            row["stage"],
            row["reason_code"],
            row["locator"] or f"{row['topic']}/{row['partition']}@{row['offset']}",
            row["message"],
            row["replay_outcome"],
        )
        for row in letters
    ]
    console.table(f"{len(letters)} dead letters", columns, rows)


@dlq_app.command("show")
def dlq_show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="A dead letter's id, or its beginning.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the original bytes, and nothing else, to standard output.")
    ] = False,
) -> None:
    """Show a dead letter whole, or its original bytes."""
    from pipeline.ops.dlq import Filter, whole

    with _workspace(context).reading() as warehouse:
        found = list(whole(warehouse, Filter((letter,))))
    if len(found) != 1:
        fail(f"{len(found)} dead letters have an id that starts with {letter!r}; see `switchboard dlq list`", WRONG_USE)
    if raw:
        sys.stdout.buffer.write(found[0].payload)
    else:
        console.json(found[0].model_dump(mode="json"))


@dlq_app.command("replay")
def dlq_replay(
    context: typer.Context,
    letters: Annotated[
        list[str] | None, typer.Argument(help="Ids or their beginnings; none: all that the options name.")
    ] = None,
    stage: str = "",
    code: str = "",
    connector: str = "",
    timezone: Annotated[str | None, typer.Option(help="IANA zone for files that were refused for want of one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open, where nothing else is named.")] = False,
) -> None:
    """Send dead letters again. What would be refused again is told, not sent, and the command fails; every try is audited."""
    from pipeline.ops.dlq import Filter
    from pipeline.ops.replaying import replay

    if not (letters or stage or code or connector or everything):
        fail("name dead letters, or --stage, --code, --connector, or --all", WRONG_USE)
    settings = load_settings(**context.obj.model_dump(exclude={"timezone"}), timezone=timezone or context.obj.timezone)
    accepted, refused = replay(
        Workspace(settings), Filter(tuple(letters or ()), stage, code, connector, open_only=True)
    )
    for audit in refused:
        note(f"{audit.dead_letter_id}: {audit.message}")
    note(f"{len(accepted)} sent again, {len(refused)} would be refused again")
    if refused or not accepted:
        raise SystemExit(FAILED)


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what was read and what became of it, and how far each stage is behind, in records and seconds."""
    from pipeline.ops.accounts import accounts, lags

    workspace = _workspace(context)
    with workspace.reading() as warehouse, workspace.log() as log:
        found, behind, sizes = accounts(log, warehouse), lags(log, time.time_ns() // 1_000_000), log.sizes()
        rejected = {(row["stage"], row["topic"]): row["letters"] for row in _rejected(warehouse)}
    if as_json:
        console.json(
            {
                "accounts": [{**asdict(account), "missing": account.missing} for account in found],
                "stages": [{**asdict(lag), "rejected": rejected.get((lag.group, lag.topic), 0)} for lag in behind],
                "topics": sizes,
            }
        )
        return
    columns = ("connector", "read", "records", "repeats", "dead letters", "missing")
    console.table(
        "Read and kept",
        columns,
        [(a.connector, a.read, a.records, a.repeats, a.dead_letters, a.missing) for a in found],
        numbers=columns[1:],
    )
    console.out.print()
    columns = ("stage", "topic", "records", "behind", "seconds behind", "rejected")
    console.table(
        "Stages",
        columns,
        [
            (
                lag.group,
                lag.topic,
                sizes[lag.topic],
                lag.records,
                f"{lag.seconds:.1f}",
                rejected.get((lag.group, lag.topic), 0),
            )
            for lag in behind
        ],
        numbers=columns[2:],
    )


def _rejected(warehouse: Any) -> list[dict[str, Any]]:
    from pipeline.sinks.warehouse import rows

    return rows(
        warehouse,
        "SELECT stage, topic, toUInt32(count()) AS letters FROM dead_letters WHERE replay_outcome != 'accepted' GROUP BY stage, topic",
    )


@schemas_app.command("export")
def schemas_export(out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("schemas-export")) -> None:
    """Write the JSON Schemas and the AsyncAPI document to a folder."""
    from schemas.generate import documents, write_or_check

    write_or_check(out, documents(), check=False)
    note(f"{len(documents())} documents in {out}")


@app.command()
def demo(
    context: typer.Context, samples: Annotated[Path | None, typer.Option(help="Folder of samples.")] = None
) -> None:
    """Ingest the samples, run until idle, show a customer's history and write a report."""
    from pipeline.ops.demo import run_demo

    run_demo(context.obj, samples)


def main() -> None:
    """Run the command line; what a person can mend ends with one line that says how, not with a traceback."""
    try:
        app()
    except StoreHeldError as error:
        fail(str(error), HELD)
    except (UserError, OSError) as error:
        fail(str(error))

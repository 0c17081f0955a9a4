"""Commands that ask the history: history, trace, query, report, followups."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail, note


@app.command()
def history(
    context: typer.Context,
    customer: Annotated[
        str,
        typer.Argument(
            help=(
                "An address, a telephone number, a customer number, a handle, a name or a"
                " customer id."
            )
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show one customer's timeline over all channels, orders, feedback and complaints."""
    from pipeline.cli.timeline_screen import show_timeline
    from pipeline.reporting.timeline import timeline

    workspace = workspace_of(context)
    with workspace.reading() as warehouse:
        found = timeline(
            warehouse, workspace.settings.identity(), workspace.settings.tenant, customer
        )
    if not found.events:
        fail(
            f"the history knows no customer {customer!r}: try another contact point, or"
            " `switchboard query 'SELECT * FROM customers'`"
        )
    if as_json:
        console.json(asdict(found))
    else:
        show_timeline(customer, found)


@app.command()
def trace(
    context: typer.Context,
    event: Annotated[
        str, typer.Argument(help="An event's id as its source gave it, or a record id.")
    ],
    source: Annotated[str, typer.Option(help="Its source, where several have the same id.")] = "",
    as_json: Json = False,
) -> None:
    """Show where an event is and what happened to it, from the connector that found it to its
    rows.
    """
    from pipeline.cli.timeline_screen import show_trace
    from pipeline.reporting.trace import MOST_WAITING, trace

    workspace = workspace_of(context)
    with workspace.log() as log, workspace.reading() as warehouse:
        found, given_up = trace(
            log, warehouse, event, tenant=workspace.settings.tenant, source=source
        )
    for stage in given_up:
        note(
            f"more than {MOST_WAITING:,} records wait for {stage}; the rest was not looked through"
        )
    if not found:
        fail(
            f"nothing is known of {event!r}: neither in the history, nor among the dead letters,"
            " nor waiting for a stage"
        )
    if as_json:
        console.json([asdict(one) for one in found])
    else:
        show_trace(found)


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="SQL that reads; - reads it from standard input.")],
    fmt: Annotated[
        str,
        typer.Option(
            "--format", help="A ClickHouse output format: Pretty, JSONEachRow, CSV, Parquet …"
        ),
    ] = "",
) -> None:
    """Answer SQL over the history, read-only; see `SHOW TABLES` and the columns' comments."""
    text = sys.stdin.read() if sql == "-" else sql
    fmt = fmt or ("PrettyCompact" if sys.stdout.isatty() else "TabSeparatedWithNames")
    with workspace_of(context).reading() as warehouse:
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

    workspace = workspace_of(context)
    with workspace.reading() as warehouse:
        path = write_report(
            warehouse, out, Period.of(since, until, workspace.settings.timezone or "UTC")
        )
    note(f"report: {path}")


@app.command()
def followups(
    context: typer.Context,
    hours: Annotated[
        float | None, typer.Option(help="Only what is due within so many hours, or overdue.")
    ] = None,
    staff: Annotated[str, typer.Option(help="Only those of one person of ours.")] = "",
    kind: Annotated[
        str, typer.Option(help="promised (by us) or requested (by the customer).")
    ] = "",
    done: Annotated[
        bool, typer.Option("--done", help="Those that were kept, in place of the open ones.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List what we promised customers, or they asked for, and have not done: overdue first."""
    from pipeline.reporting.followups import followups as found_in

    if kind not in ("", "promised", "requested"):
        fail(f"--kind {kind}: it is promised or requested", WRONG_USE)
    workspace = workspace_of(context)
    zone = workspace.settings.timezone or "UTC"
    within = None if hours is None else round(hours * 3_600)
    with workspace.reading() as warehouse:
        found = found_in(
            warehouse, zone=zone, within_s=within, staff=staff, kind=kind, done=done, limit=limit
        )
    if as_json:
        console.json(found)
        return
    columns = ("state", f"due ({zone})", "who", "customer", "channel", "said", "record")
    rows = [
        (
            row["state"],
            row["due"][:16] + ("" if row["due_stated"] else " ?"),
            row["staff"] if row["kind"] == "promised" else "asked for",
            row["contact_name"] or row["contact"],
            row["channel"],
            row["phrase"],
            row["record_id"][:8],
        )
        for row in found
    ]
    console.table(f"{len(found)} follow-ups", columns, rows)

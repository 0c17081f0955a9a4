"""`switchboard query`: read-only SQL over the history."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli.app import app, workspace_of


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="A query; - reads it from standard input.")],
    fmt: Annotated[
        str,
        typer.Option(
            "--format", help="A ClickHouse output format: Pretty, JSONEachRow, CSV, Parquet …"
        ),
    ] = "",
) -> None:
    """Run a read-only SQL query over the history.

    `SHOW TABLES` lists the tables; the comments of their columns explain them. A question reads the
    history and nothing else, within the limits of the settings question_*.
    """
    text = sys.stdin.read() if sql == "-" else sql
    fmt = fmt or ("PrettyCompact" if sys.stdout.isatty() else "TabSeparatedWithNames")
    workspace = workspace_of(context)
    with workspace.open_warehouse() as warehouse:
        answer = warehouse.query(text, fmt=fmt, limits=workspace.question_limits())
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()

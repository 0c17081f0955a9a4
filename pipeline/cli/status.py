"""`switchboard status`: the state of an installation on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, note
from pipeline.log.clock import now_ms

if TYPE_CHECKING:
    from pipeline.commands.status import Status

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show the state of the installation on one screen.

    It shows the engine, workers, lag, dead letters, tables and models. It fails if a part is
    unreachable or missing, or if records wait for a stage of which no worker runs.
    """
    from pipeline.commands.status import collect_status

    state = collect_status(workspace_of(context), now_ms())
    if as_json:
        console.json(_as_json(state))
    else:
        _show(state)
    for problem in state.problems:
        note(f"{problem.part}: {problem.message}")
    if state.problems:
        raise SystemExit(FAILED)


def _as_json(state: Status) -> dict[str, object]:
    value = asdict(state)
    value["stages"] = state.stages and [
        {**asdict(lag), "rejected": state.rejected(lag.group, lag.topic)} for lag in state.stages
    ]
    value["accounts"] = state.accounts and [
        {**asdict(row), "missing": row.missing} for row in state.accounts
    ]
    return value


def _show(state: Status) -> None:
    _show_parts(state)
    _show_stages(state)
    _show_history(state)


def _show_parts(state: Status) -> None:
    engine, waiting, bodies, migrations = state.engine, state.spool, state.bodies, state.migrations
    lines = [
        ("engine", engine.way),
        ("log", engine.log),
        ("warehouse", engine.warehouse),
        ("data folder", engine.data_dir),
        (
            "bodies",
            engine.bodies + (f": {bodies['bodies']:,}, {_size(bodies['bytes'])}" if bodies else ""),
        ),
        (
            "waiting for Kafka",
            f"{waiting['messages']:,}, {_size(waiting['bytes'])}" if waiting else "unknown",
        ),
        (
            "migrations",
            f"{migrations['known'] - len(migrations['missing'])} of {migrations['known']}"
            if migrations
            else "unknown",
        ),
    ]
    console.table("Installation", ("part", "what"), lines)


def _show_stages(state: Status) -> None:
    if state.workers is not None:
        rows = [(row.stage, row.name, row.host, row.partitions or "") for row in state.workers]
        _table("Workers", ("stage", "name", "host", "partitions"), rows, ("partitions",))
    if state.stages is not None and state.topics is not None:
        columns = (
            "stage",
            "topic",
            "partitions",
            "records",
            "behind",
            "seconds behind",
            "rejected",
        )
        _table(
            "Stages",
            columns,
            [
                (
                    lag.group,
                    lag.topic,
                    state.topics[lag.topic].partitions,
                    state.topics[lag.topic].records,
                    lag.records,
                    f"{lag.seconds:.1f}",
                    state.rejected(lag.group, lag.topic),
                )
                for lag in state.stages
            ],
            columns[2:],
        )


def _show_history(state: Status) -> None:
    if state.dead_letters is not None:
        names: Sequence[str] = ("stage", "topic", "reason", "letters", "last")
        _table("Open dead letters", names, _cells(state.dead_letters, names), ("letters",))
    if state.accounts is not None:
        columns = ("connector", "read", "records", "repeats", "dead letters", "missing")
        cells = [
            (a.connector, a.read, a.records, a.repeats, a.dead_letters, a.missing)
            for a in state.accounts
        ]
        _table("Reconciliation", columns, cells, columns[1:])
    if state.channels is not None:
        names = ("channel", "rows", "last_event", "last_row")
        _table(
            "History",
            ("channel", "rows", "last event", "last row written"),
            _cells(state.channels, names),
            ("rows",),
        )
    if state.models is not None:
        names = ("head", "version", "last")
        _table("Models", ("head", "version", "last answer"), _cells(state.models, names))
    if state.tables is not None:
        tables = [(row["name"], f"{row['rows']:,}", _size(row["bytes"])) for row in state.tables]
        _table("Tables", ("table", "rows stored", "size"), tables, ("rows stored", "size"))


def _cells(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> list[list[object]]:
    return [[row[name] for name in names] for row in rows]


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    numbers: Sequence[str] = (),
) -> None:
    console.out.print()
    if rows:
        console.table(title, columns, rows, numbers=numbers)
    else:
        console.out.print(f"{title}: none")


def _size(count: float) -> str:
    """Return a number of bytes with a unit.

    >>> _size(1536)
    '1.5 KiB'
    """
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"

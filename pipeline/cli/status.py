"""The command `status`: everything about an installation at one glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, note
from pipeline.log.port import now_ms

if TYPE_CHECKING:
    from pipeline.commands.status import Status

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show everything at one glance: engine, workers, lag, dead letters, tables, models; fails
    where something is away or missing.
    """
    from pipeline.commands.status import status as ask

    found = ask(workspace_of(context), now_ms())
    if as_json:
        console.json(_as_json(found))
    else:
        _show(found)
    for problem in found.problems:
        note(f"{problem.part}: {problem.message}")
    if found.problems:
        raise SystemExit(FAILED)


def _as_json(found: Status) -> dict[str, object]:
    told = asdict(found)
    told["stages"] = found.stages and [
        {**asdict(lag), "rejected": found.rejected(lag.group, lag.topic)} for lag in found.stages
    ]
    told["accounts"] = found.accounts and [
        {**asdict(one), "missing": one.missing} for one in found.accounts
    ]
    return told


def _show(found: Status) -> None:
    _show_parts(found)
    _show_stages(found)
    _show_history(found)


def _show_parts(found: Status) -> None:
    engine, waiting, bodies, migrations = found.engine, found.spool, found.bodies, found.migrations
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


def _show_stages(found: Status) -> None:
    if found.workers is not None:
        rows = [(one.stage, one.name, one.host, one.partitions or "") for one in found.workers]
        _table("Workers", ("stage", "name", "host", "partitions"), rows, ("partitions",))
    if found.stages is not None and found.topics is not None:
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
                    found.topics[lag.topic].partitions,
                    found.topics[lag.topic].records,
                    lag.records,
                    f"{lag.seconds:.1f}",
                    found.rejected(lag.group, lag.topic),
                )
                for lag in found.stages
            ],
            columns[2:],
        )


def _show_history(found: Status) -> None:
    if found.dead_letters is not None:
        names: Sequence[str] = ("stage", "topic", "reason", "letters", "last")
        _table("Open dead letters", names, _picked(found.dead_letters, names), ("letters",))
    if found.accounts is not None:
        columns = ("connector", "read", "records", "repeats", "dead letters", "missing")
        kept = [
            (a.connector, a.read, a.records, a.repeats, a.dead_letters, a.missing)
            for a in found.accounts
        ]
        _table("Read and kept", columns, kept, columns[1:])
    if found.channels is not None:
        names = ("channel", "rows", "last_event", "last_row")
        _table(
            "History",
            ("channel", "rows", "last event", "last row written"),
            _picked(found.channels, names),
            ("rows",),
        )
    if found.models is not None:
        names = ("head", "version", "last")
        _table("Models", ("head", "version", "last answer"), _picked(found.models, names))
    if found.tables is not None:
        tables = [(one["name"], f"{one['rows']:,}", _size(one["bytes"])) for one in found.tables]
        _table("Tables", ("table", "rows stored", "size"), tables, ("rows stored", "size"))


def _picked(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> list[list[object]]:
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
    """Return bytes as people read them."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"

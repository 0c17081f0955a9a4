"""The command `ingest`: a connector over paths, with what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline import console
from pipeline.console import WRONG_USE, fail
from pipeline.ingest.registry import CONNECTORS
from pipeline.ingest.session import Ingest, UnitResult
from pipeline.workspace import Workspace

# Options that have a flag of their own on the command line; all others are given as --option name=value.
OPTIONS_OF_ALL = frozenset({"tenant", "source", "timezone", "own"})
# A folder of mails has a unit a message; a table of thousands of rows helps nobody.
_MAX_LISTED = 20


def ingest_paths(
    workspace: Workspace,
    name: str,
    paths: Sequence[Path],
    source: str | None,
    own: tuple[str, ...],
    extra: dict[str, str],
    *,
    as_json: bool = False,
) -> list[UnitResult]:
    """Ingest and print what came of it; ends the process with a clear error for a wrong connector, path or option."""
    connector = CONNECTORS.get(name)
    if connector is None:
        fail(f"there is no connector {name!r}; there are {', '.join(CONNECTORS)}", WRONG_USE)
    if unknown := sorted(set(extra) - set(connector.options)):
        fail(f"{name} has no option {', '.join(unknown)}; it has {', '.join(connector.options) or 'none'}", WRONG_USE)
    if misplaced := sorted(set(extra) & OPTIONS_OF_ALL):
        fail(f"write --{misplaced[0]} …, not --option {misplaced[0]}=…", WRONG_USE)
    with workspace.publisher() as publisher, _bar() as bar:
        task = bar.add_task(name, items=0)
        done = 0

        def progress(result: UnitResult) -> None:
            nonlocal done
            done += result.published + result.refused
            bar.update(task, items=done)

        options = workspace.ingest_options(source, own, extra)
        results = Ingest(connector, options, publisher).run(paths, progress)
    if as_json:
        console.json([asdict(result) for result in results])
    else:
        _show(name, results)
    _tell_problems(results)
    return results


def _tell_problems(results: Sequence[UnitResult]) -> None:
    """Say once what kept which files from being read, and end the process where there was anything."""
    units: dict[str, list[str]] = {}
    for result in results:
        if result.problem:
            units.setdefault(result.problem, []).append(result.name)
    for problem, names in list(units.items())[:_MAX_LISTED]:
        console.note(
            problem if names[0] in problem else f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}: {problem}"
        )
    if unread := sum(map(len, units.values())):
        fail(
            f"{unread} of {len(results)} files were not read; mend that and ingest again, the others are done",
            WRONG_USE,
        )


def _bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[items]} items"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console.err, transient=True)


def _show(name: str, results: Sequence[UnitResult]) -> None:
    columns = ("file", "published", "refused", "read before")
    listed = results if len(results) <= _MAX_LISTED else [result for result in results if result.refused][:_MAX_LISTED]
    rows: list[tuple[object, ...]] = [(r.name, r.published, r.refused, r.skipped) for r in listed]
    rows.append(
        (
            f"{len(results)} in all",
            sum(result.published for result in results),
            sum(result.refused for result in results),
            sum(result.skipped for result in results),
        )
    )
    console.table(f"ingested by {name}", columns, rows, numbers=columns[1:])

"""The command `ingest`: a connector over paths, with what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.cli import console
from pipeline.cli.console import WRONG_USE, fail
from pipeline.ingest.registry import CONNECTORS
from pipeline.ingest.resumable_ingest import Ingest, UnitResult
from pipeline.workspace import Workspace

# Options that have a flag of their own on the command line; all others are given as --option
# name=value.
OPTIONS_OF_ALL = frozenset({"tenant", "source", "timezone", "own"})
# A folder of mails has a unit a message; a table of thousands of rows helps nobody.
_MAX_LISTED = 20
# Files of one and the same problem: three show the kind.
_MAX_NAMED = 3


@dataclass
class Tally:
    """The sums of a session, and as many of its files as a person reads: those that were refused
    something come first.
    """

    files: int = 0
    published: int = 0
    refused: int = 0
    skipped: int = 0
    unread: int = 0
    listed: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def add(self, result: UnitResult) -> None:
        """Add what came of one file."""
        self.files += 1
        self.published += result.published
        self.refused += result.refused
        self.skipped += result.skipped
        if result.problem:
            self.unread += 1
            names = (
                self.problems.setdefault(result.problem, [])
                if len(self.problems) < _MAX_LISTED
                else []
            )
            if len(names) < _MAX_NAMED:
                names.append(result.name)
        self.listed.append(asdict(result))
        if len(self.listed) > _MAX_LISTED:
            dull = next((place for place, one in enumerate(self.listed) if not one["refused"]), -1)
            self.listed.pop(dull)


def ingest_paths(
    workspace: Workspace,
    name: str,
    paths: Sequence[Path],
    source: str | None,
    own: tuple[str, ...],
    extra: dict[str, str],
    *,
    as_json: bool = False,
) -> None:
    """Ingest and print what came of it; ends the process with a clear error for a wrong connector,
    path or option.
    """
    connector = CONNECTORS.get(name)
    if connector is None:
        fail(f"there is no connector {name!r}; there are {', '.join(CONNECTORS)}", WRONG_USE)
    if unknown := sorted(set(extra) - set(connector.options)):
        fail(
            f"{name} has no option {', '.join(unknown)}; it has"
            f" {', '.join(connector.options) or 'none'}",
            WRONG_USE,
        )
    if misplaced := sorted(set(extra) & OPTIONS_OF_ALL):
        fail(f"write --{misplaced[0]} …, not --option {misplaced[0]}=…", WRONG_USE)
    tally = Tally()
    with workspace.publisher() as publisher, _bar() as bar:
        task = bar.add_task(name, items=0)
        session = Ingest(connector, workspace.ingest_options(source, own, extra), publisher)
        for result in session.run(paths):
            tally.add(result)
            bar.update(task, items=tally.published + tally.refused)
    if as_json:
        console.json(asdict(tally))
    else:
        _show(name, tally)
    _tell_problems(tally)


def _tell_problems(tally: Tally) -> None:
    """Say once what kept which files from being read, and end the process where there was
    anything.
    """
    for problem, names in tally.problems.items():
        console.note(problem if names[0] in problem else f"{', '.join(names)}: {problem}")
    if tally.unread:
        fail(
            f"{tally.unread} of {tally.files} files were not read; mend that and ingest again, the"
            " others are done",
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


def _show(name: str, tally: Tally) -> None:
    columns = ("file", "published", "refused", "read before")
    rows: list[tuple[object, ...]] = [
        (r["name"], r["published"], r["refused"], r["skipped"]) for r in tally.listed
    ]
    if tally.files != 1:
        rows.append((f"{tally.files} in all", tally.published, tally.refused, tally.skipped))
    console.table(f"ingested by {name}", columns, rows, numbers=columns[1:])

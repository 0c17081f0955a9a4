"""`switchboard demo`: the whole pipeline on the samples of this repository."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.console import note
from pipeline.cli.history import show_timeline
from pipeline.cli.ingest import fail_if_unread, show_tally
from pipeline.cli.run import words_of

if TYPE_CHECKING:
    from pipeline.commands.ingest import IngestTally


@app.command()
def demo(
    context: typer.Context,
    samples: Annotated[Path | None, typer.Option(help="Folder of the samples.")] = None,
) -> None:
    """Ingest the samples, run until idle, show a history, write a report."""
    from pipeline.commands.demo import DEMO_CUSTOMER, run_demo

    def show(connector: str, tally: IngestTally) -> None:
        show_tally(connector, tally)
        fail_if_unread(tally)

    result = run_demo(context.obj, samples, show)
    note(words_of(result.processed))
    show_timeline(DEMO_CUSTOMER, result.timeline)
    note(f"report: {result.report}")
    data_dir = short_path(result.data_dir, Path.cwd())
    query = ["--data-dir", data_dir, "query", "SELECT * FROM daily_volume"]
    note(f"try: {shlex.join([*typed_command(sys.argv[0], Path.cwd()), *query])}")


def typed_command(program: str, folder: Path) -> list[str]:
    """Return the words with which this program can be called again from a folder.

    `program` is the first word of the command line; `switchboard` is often not on the PATH.

    >>> typed_command("/src/.venv/bin/switchboard", Path("/src"))
    ['.venv/bin/switchboard']
    """
    path = Path(program)
    if path.stem != "switchboard":
        return [short_path(Path(sys.executable), folder), "-m", "pipeline"]
    if (on_path := shutil.which(path.name)) and Path(on_path).samefile(shutil.which(path) or "/"):
        return [path.stem]
    return [short_path(folder / path, folder)]


def short_path(path: Path, folder: Path) -> str:
    """Return a path as somebody in a folder writes it: relative if it is below the folder.

    >>> short_path(Path("/src/data"), Path("/src")), short_path(Path("/tmp/data"), Path("/src"))
    ('data', '/tmp/data')
    """
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)

"""The root of the command line: the options and helpers that all commands share."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Annotated

import typer

from pipeline import logs
from pipeline.errors import InstallationError
from pipeline.settings import Settings, load_settings
from pipeline.workspace import Workspace

# A run over the samples needs 200 open files: three for each thread of the engine, and one for each
# column of a block that it writes. Twice as many are left for more data.
_LEAST_FILES = 512
# Systems allow up to a billion; a larger table of files is no use.
_MOST_FILES = 65_536

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Every email, call and chat a company has with its customers, as one clean, classified,"
        " queryable history."
    ),
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HeadNames = Annotated[
    list[str] | None, typer.Option("--head", help="Only this head; may be repeated.")
]


@app.callback()
def configure(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the embedded log and store [default: ./switchboard-data]."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more to standard error.")] = False,
) -> None:
    """Load the settings and configure logging, before any command runs."""
    _allow_open_files()
    settings = load_settings(data_dir=data_dir)
    logs.configure(settings.log_format, verbose)
    context.obj = settings


def _allow_open_files() -> None:
    """Raise this process's limit on open files; raises InstallationError if it stays too low."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_FILES)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        limit = wanted
    if limit != resource.RLIM_INFINITY and limit < _LEAST_FILES:
        raise InstallationError(
            f"this process may open {limit} files, and needs {_LEAST_FILES}: raise the limit on"
            " open files (ulimit -n)"
        )


def workspace_of(context: typer.Context) -> Workspace:
    """Return the installation that a command works on."""
    settings: Settings = context.obj
    return Workspace(settings)

"""The root of the command line: the options and helpers that all commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import logs
from pipeline.settings import Settings, load_settings
from pipeline.workspace import Workspace

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
    settings = load_settings(data_dir=data_dir)
    logs.configure(settings.log_format, verbose)
    context.obj = settings


def workspace_of(context: typer.Context) -> Workspace:
    """Return the installation that a command works on."""
    settings: Settings = context.obj
    return Workspace(settings)

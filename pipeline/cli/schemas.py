"""`switchboard schemas`: the contracts of events and records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.console import note

schemas_app = typer.Typer(no_args_is_help=True, help="Export the contracts of events and records.")
app.add_typer(schemas_app, name="schemas")


@schemas_app.command("export")
def schemas_export(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("schemas-export"),
) -> None:
    """Write the JSON Schemas and the AsyncAPI document to a folder."""
    from schemas.generate import documents, write_or_check

    write_or_check(out, documents(), check=False)
    note(f"{len(documents())} documents written to {out}")

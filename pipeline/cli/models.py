"""`switchboard models`: the versions of the models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail, note
from pipeline.cli.labels import Reason

if TYPE_CHECKING:
    from pipeline.commands.models import VersionSummary

models_app = typer.Typer(
    no_args_is_help=True, help="List, show, export, pin and roll back versions of the models."
)
app.add_typer(models_app, name="models")

Version = Annotated[
    str, typer.Argument(help="generation/offset, as in predictions [default: the newest].")
]


@models_app.command("list")
def models_list(context: typer.Context, as_json: Json = False) -> None:
    """List the versions of the models, and the one that answers now.

    The list shows generations, pins, rollbacks, promotions and the versions that answered last.
    """
    from pipeline.commands.models import list_versions

    workspace = workspace_of(context)
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        versions = list_versions(log, warehouse, workspace.heads())
    if as_json:
        console.json(versions)
        return
    columns = ("what", "version", "at", "records", "by", "why")
    rows = [
        (
            row["what"],
            row["version"],
            str(row["at"])[:19],
            row.get("records", ""),
            row["by"],
            row["reason"],
        )
        for row in versions
    ]
    console.table("Models", columns, rows, numbers=("records",))


@models_app.command("show")
def models_show(
    context: typer.Context,
    version: Version = "",
    file: Annotated[
        Path | None, typer.Option(help="Show an exported file instead of a version of the log.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a version has learnt, how accurate it is, and its digest.

    The version is rebuilt from the examples log. The digest is that of its weights.
    """
    from pipeline.commands.models import read_exported, replica_at, summarise_version

    if file is not None and version:
        fail("name a version or a --file, not both", WRONG_USE)
    workspace = workspace_of(context)
    heads = workspace.heads()
    if file is not None:
        summary = summarise_version(read_exported(file, heads))
    else:
        with workspace.open_log() as log:
            summary = summarise_version(replica_at(log, version, heads))
    if as_json:
        console.json(asdict(summary))
    else:
        _show(summary)


def _show(summary: VersionSummary) -> None:
    columns = (
        "head",
        "labels",
        "classes",
        "answers",
        "tests",
        "accuracy",
        "of the model",
        "of the rules",
    )
    shares = ("accuracy", "model_accuracy", "rule_accuracy")
    rows = [
        (
            *(getattr(head, name) for name in ("head", "labels", "classes", "answers", "tests")),
            *("" if (share := getattr(head, name)) is None else f"{share:.1%}" for name in shares),
        )
        for head in summary.heads
    ]
    numbers = ("labels", "classes", "tests", *columns[5:])
    console.table(f"Version {summary.version}", columns, rows, numbers=numbers)
    console.out.print(
        f"{summary.effective_labels} effective labels; digest {summary.digest}", soft_wrap=True
    )


@models_app.command("export")
def models_export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    version: Version = "",
) -> None:
    """Export a version to a file with a checksum.

    `models show --file` reads the file, in any installation of this release.
    """
    from pipeline.commands.models import export_version, replica_at

    workspace = workspace_of(context)
    with workspace.open_log() as log:
        replica = replica_at(log, version, workspace.heads())
    note(f"version {replica.version} written to {out}, digest {export_version(replica, out)}")


@models_app.command("pin")
def models_pin(context: typer.Context, version: Version = "", reason: Reason = "") -> None:
    """Make every worker answer with one version, from its next batch on.

    The models continue to learn meanwhile.
    """
    from pipeline.commands.models import pin_version

    workspace = workspace_of(context)
    with workspace.open_log() as log:
        pinned = pin_version(log, version, reason, workspace.heads())
    note(f"version {pinned.generation}/{pinned.offset} answers until `switchboard models unpin`")


@models_app.command("unpin")
def models_unpin(context: typer.Context, reason: Reason = "") -> None:
    """Remove the pin: the newest version answers again."""
    from pipeline.commands.models import unpin_version

    with workspace_of(context).open_log() as log:
        unpin_version(log, reason)
    note("the newest version answers")


@models_app.command("rollback")
def models_rollback(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="generation/offset, as in predictions.")],
    reason: Reason = "",
) -> None:
    """Roll the models back to a version, in every worker.

    The models unlearn the examples since.
    """
    from pipeline.commands.models import roll_back

    workspace = workspace_of(context)
    with workspace.open_log() as log:
        restored = roll_back(log, version, reason, workspace.heads())
    note(f"the models are rolled back to version {restored.generation}/{restored.offset}")

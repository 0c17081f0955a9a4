"""`switchboard topics`: the topics of Kafka."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, note

topics_app = typer.Typer(no_args_is_help=True, help="Create and configure the topics of Kafka.")
app.add_typer(topics_app, name="topics")


@topics_app.command("apply")
def topics_apply(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if anything differs.")
    ] = False,
    grow: Annotated[
        bool,
        typer.Option(
            "--grow", help="Also add missing partitions; stop the workers of converse first."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the topics of Kafka match their declarations.

    It shows the differences, creates topics and sets configurations. It deletes nothing.
    """
    from pipeline.commands.topics import apply_topics, manual_step, topic_changes

    workspace = workspace_of(context)
    changes = topic_changes(workspace)
    if as_json:
        console.json([asdict(change) for change in changes])
    elif changes:
        columns = ("topic", "what", "current", "wanted", "")
        rows = [
            (c.topic, c.setting, c.current, c.wanted, "" if grow else manual_step(c))
            for c in changes
        ]
        console.table(f"{len(changes)} differences", columns, rows)
    if check:
        if changes:
            raise SystemExit(FAILED)
    elif moved := apply_topics(workspace, changes, grow=grow):
        note(f"{moved} states of converse moved to the new partitions of their keys")
    if not changes:
        note("the topics match their declarations")

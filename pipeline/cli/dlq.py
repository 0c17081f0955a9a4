"""The commands `dlq …`: what was refused."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, WRONG_USE, fail, note
from pipeline.settings import load_settings
from pipeline.workspace import Workspace

dlq_app = typer.Typer(
    no_args_is_help=True, help="What was refused: list it, look at it, send it again."
)
app.add_typer(dlq_app, name="dlq")


@dlq_app.command("list")
def dlq_list(
    context: typer.Context,
    stage: str = "",
    code: str = "",
    connector: str = "",
    open_only: Annotated[
        bool, typer.Option("--open", help="Only those not accepted since.")
    ] = False,
    limit: int = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    from pipeline.commands.dlq import Filter, listed

    with workspace_of(context).reading() as warehouse:
        letters = listed(warehouse, Filter((), stage, code, connector, open_only), limit)
    if as_json:
        console.json(letters)
        return
    columns = ("id", "stage", "reason", "where", "what is wrong", "replay")
    rows = [
        (
            row["dead_letter_id"][:8],
            row["stage"],
            row["reason_code"],
            row["locator"] or f"{row['topic']}/{row['partition']}@{row['offset']}",
            row["message"],
            row["replay_outcome"],
        )
        for row in letters
    ]
    console.table(f"{len(letters)} dead letters", columns, rows)


@dlq_app.command("show")
def dlq_show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="A dead letter's id, or its beginning.")],
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Write the original bytes, and nothing else, to standard output."
        ),
    ] = False,
) -> None:
    """Show a dead letter whole, or its original bytes."""
    from pipeline.commands.dlq import Filter, whole

    with workspace_of(context).reading() as warehouse:
        found = list(whole(warehouse, Filter((letter,))))
    if len(found) != 1:
        fail(
            f"{len(found)} dead letters have an id that starts with {letter!r}; see `switchboard"
            " dlq list`",
            WRONG_USE,
        )
    if raw:
        sys.stdout.buffer.write(found[0].payload)
    else:
        console.json(found[0].model_dump(mode="json"))


@dlq_app.command("replay")
def dlq_replay(
    context: typer.Context,
    letters: Annotated[
        list[str] | None,
        typer.Argument(help="Ids or their beginnings; none: all that the options name."),
    ] = None,
    stage: str = "",
    code: str = "",
    connector: str = "",
    timezone: Annotated[
        str | None, typer.Option(help="IANA zone for files that were refused for want of one.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that are open, where nothing else is named.")
    ] = False,
) -> None:
    """Send dead letters again. What would be refused again is told, not sent, and the command
    fails; every try is audited.
    """
    from pipeline.commands.dlq import Filter
    from pipeline.commands.dlq_replay import replay

    if not (letters or stage or code or connector or everything):
        fail("name dead letters, or --stage, --code, --connector, or --all", WRONG_USE)
    settings = load_settings(
        **context.obj.model_dump(exclude={"timezone"}), timezone=timezone or context.obj.timezone
    )
    accepted, refused = replay(
        Workspace(settings), Filter(tuple(letters or ()), stage, code, connector, open_only=True)
    )
    for audit in refused:
        note(f"{audit.dead_letter_id}: {audit.message}")
    note(f"{len(accepted)} sent again, {len(refused)} would be refused again")
    if refused or not accepted:
        raise SystemExit(FAILED)

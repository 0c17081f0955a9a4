"""`switchboard dlq`: dead letters."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import FAILED, WRONG_USE, fail, note
from pipeline.settings import load_settings
from pipeline.text.counts import count_of
from pipeline.workspace import Workspace

dlq_app = typer.Typer(
    no_args_is_help=True, help="List, show and replay dead letters (rejected inputs)."
)
app.add_typer(dlq_app, name="dlq")

Stage = Annotated[str, typer.Option(help="Only dead letters of one stage.")]
Code = Annotated[str, typer.Option(help="Only dead letters with one reason code.")]
Connector = Annotated[str, typer.Option(help="Only dead letters of one connector.")]


@dlq_app.command("list")
def dlq_list(
    context: typer.Context,
    stage: Stage = "",
    code: Code = "",
    connector: Connector = "",
    open_only: Annotated[
        bool, typer.Option("--open", help="Only dead letters that no replay has repaired.")
    ] = False,
    limit: Annotated[int, typer.Option(help="Maximum number of dead letters.")] = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    from pipeline.commands.dlq import DeadLetterFilter, list_dead_letters

    with workspace_of(context).open_warehouse() as warehouse:
        letters = list_dead_letters(
            warehouse, DeadLetterFilter((), stage, code, connector, open_only), limit
        )
    if as_json:
        console.json(letters)
        return
    columns = ("id", "stage", "reason", "where", "problem", "replay")
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
    console.table(count_of(len(letters), "dead letter"), columns, rows)


@dlq_app.command("show")
def dlq_show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The id of a dead letter, or a prefix of it.")],
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Write only the original bytes to standard output."),
    ] = False,
) -> None:
    """Show all of a dead letter, or its original bytes."""
    from pipeline.commands.dlq import DeadLetterFilter, read_dead_letters

    with workspace_of(context).open_warehouse() as warehouse:
        letters = list(read_dead_letters(warehouse, DeadLetterFilter((letter,))))
    if len(letters) != 1:
        fail(
            f"{len(letters)} dead letters have an id that starts with {letter!r}; list them with"
            " `switchboard dlq list`",
            WRONG_USE,
        )
    if raw:
        sys.stdout.buffer.write(letters[0].payload)
    else:
        console.json(letters[0].model_dump(mode="json"))


@dlq_app.command("replay")
def dlq_replay(
    context: typer.Context,
    letters: Annotated[
        list[str] | None,
        typer.Argument(help="Ids or prefixes of ids [default: all that the options select]."),
    ] = None,
    stage: Stage = "",
    code: Code = "",
    connector: Connector = "",
    timezone: Annotated[
        str | None,
        typer.Option(help="IANA zone for files that were rejected because they needed one."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All open dead letters, without other options.")
    ] = False,
) -> None:
    """Send dead letters through the pipeline again.

    A dead letter that would be rejected again is listed, not sent, and the command fails. Every
    attempt is recorded.
    """
    from pipeline.commands.dlq import DeadLetterFilter
    from pipeline.commands.dlq_replay import replay_dead_letters

    if not (letters or stage or code or connector or everything):
        fail("name dead letters, or use --stage, --code, --connector or --all", WRONG_USE)
    settings = load_settings(
        **context.obj.model_dump(exclude={"timezone"}), timezone=timezone or context.obj.timezone
    )
    accepted, rejected = replay_dead_letters(
        Workspace(settings),
        DeadLetterFilter(tuple(letters or ()), stage, code, connector, open_only=True),
    )
    for audit in rejected:
        note(f"{audit.dead_letter_id}: {audit.message}")
    note(f"{len(accepted)} sent again, {len(rejected)} would be rejected again")
    if rejected or not accepted:
        raise SystemExit(FAILED)

"""The command that watches: live."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail

# Panes of ten seconds change little within two.
_EVERY_S = 2.0
_LATEST = "latest"


@app.command()
def live(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Show it once, in place of a screen that updates.")
    ] = False,
    at: Annotated[
        str,
        typer.Option(
            help=(
                "As of an instant of the last day, RFC 3339, or `latest`: the newest record."
                " [default: now]"
            )
        ),
    ] = "",
    tenant: Annotated[str, typer.Option(help="Only one tenant.")] = "",
    as_json: Json = False,
) -> None:
    """Show what is happening now: messages, needs, sentiment by channel over 1 minute, 1 hour, 24
    hours; who waits; alerts.
    """
    from rich.live import Live

    from pipeline.commands.live import following
    from pipeline.log.port import now_ms
    from pipeline.reporting.live_page import page, screen

    fixed = _instant(at)
    with following(workspace_of(context)) as refresh:

        def told() -> Mapping[str, Any]:
            view, watch = refresh()
            newest = view.newest_ms() if at == _LATEST else fixed
            return page(view, watch, newest if newest is not None else now_ms(), tenant)

        if as_json:
            console.json(told())
        elif once or at or not sys.stdout.isatty():
            console.out.print(screen(told()))
        else:
            with Live(
                screen(told()), console=console.out, screen=True, auto_refresh=False
            ) as shown:
                try:
                    while True:
                        time.sleep(_EVERY_S)
                        shown.update(screen(told()), refresh=True)
                except KeyboardInterrupt:
                    pass


def _instant(text: str) -> int | None:
    if text in ("", _LATEST):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fail(
            f"--at {text}: an instant with its zone, such as 2026-11-22T09:30:00+08:00, or"
            f" {_LATEST}",
            WRONG_USE,
        )
    return round(moment.timestamp() * 1000)

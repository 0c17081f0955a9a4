"""`switchboard live`: what is happening now."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import WRONG_USE, fail, safe_text
from pipeline.processors.live.observations import BUSINESS, INBOUND
from pipeline.processors.live.view import EVERY_CHANNEL

# Panes of ten seconds change little within two.
_REFRESH_S = 2.0
_LATEST = "latest"
# A screen shows the most frequent answers of a head; the JSON has all.
_TOP = 4
# The replies that are due next; a longer list does not fit on a screen.
_MAX_DUE = 10


@app.command()
def live(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Print once instead of updating the screen.")
    ] = False,
    at: Annotated[
        str,
        typer.Option(
            help=(
                "Time within the last day, RFC 3339, or `latest`: the time of the newest record."
                " [default: now]"
            )
        ),
    ] = "",
    tenant: Annotated[str, typer.Option(help="Only one tenant.")] = "",
    as_json: Json = False,
) -> None:
    """Show what is happening now, on a screen that updates.

    It shows messages, needs and sentiment by channel over 1 minute, 1 hour and 24 hours, waiting
    customers, due replies and open alerts.
    """
    from rich.live import Live

    from pipeline.commands.live import open_live_state
    from pipeline.log.clock import now_ms
    from pipeline.reporting.live_page import page

    instant = _parse_instant(at)
    with open_live_state(workspace_of(context)) as refresh:

        def current() -> Mapping[str, Any]:
            view, alerts = refresh()
            as_of = view.newest_ms() if at == _LATEST else instant
            return page(view, alerts, as_of if as_of is not None else now_ms(), tenant)

        if as_json:
            console.json(current())
        elif once or at or not sys.stdout.isatty():
            console.out.print(_screen(current()))
        else:
            first = _screen(current())
            with Live(first, console=console.out, screen=True, auto_refresh=False) as display:
                try:
                    while True:
                        time.sleep(_REFRESH_S)
                        display.update(_screen(current()), refresh=True)
                except KeyboardInterrupt:
                    pass


def _parse_instant(text: str) -> int | None:
    if text in ("", _LATEST):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fail(
            f"--at {text}: write a time with its zone, such as 2026-11-22T09:30:00+08:00, or"
            f" {_LATEST}",
            WRONG_USE,
        )
    return round(moment.timestamp() * 1000)


def _screen(page: Mapping[str, Any]) -> RenderableType:
    """Return a page of `pipeline.reporting.live_page` as tables."""
    parts: list[RenderableType] = [Text(f"as of {page['at']}", style="dim")]
    parts.append(_alerts(page["alerts"]))
    parts.append(_volumes(page["windows"]))
    parts.append(_answers(page["windows"]))
    if page["waiting"]:
        parts.append(_waiting(page["waiting"]))
    if page["due"]:
        parts.append(_due(page["due"]))
    return Group(*parts)


def _table(title: str, columns: tuple[str, ...], numbers: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def _alerts(alerts: list[Mapping[str, Any]]) -> RenderableType:
    if not alerts:
        return Text("no open alerts", style="green")
    table = _table(f"{len(alerts)} open alerts", ("raised", "kind", "what"))
    for alert in alerts:
        table.add_row(
            safe_text(alert["raised_at"][:19]),
            safe_text(alert["kind"]),
            Text(alert["message"], style="bold red"),
        )
    return table


def _volumes(windows: list[Mapping[str, Any]]) -> RenderableType:
    columns = ("channel", "messages 1m", "1h", "24h", "replies 24h", "business 24h")
    table = _table("Now", columns, columns[1:])
    rows: dict[tuple[str, str], dict[str, Mapping[str, int]]] = defaultdict(dict)
    for window in windows:
        rows[window["tenant"], window["channel"]][window["window"]] = window["counts"]
    for (tenant, channel), spans in rows.items():
        day = spans.get("24h", {})
        counted = [spans.get(span, {}).get(INBOUND, 0) for span in ("1m", "1h", "24h")]
        name = f"{tenant}: all" if channel == EVERY_CHANNEL else channel
        table.add_row(
            safe_text(name),
            *map(str, counted),
            str(day.get("outbound", 0)),
            str(day.get(BUSINESS, 0)),
        )
    return table


def _answers(windows: list[Mapping[str, Any]]) -> RenderableType:
    table = _table("Answers about customers' messages", ("head", "last hour", "24 hours"))
    spans: dict[str, dict[str, Mapping[str, int]]] = defaultdict(dict)
    for window in windows:
        if window["channel"] == EVERY_CHANNEL:
            for head, answers in window["heads"].items():
                spans[f"{window['tenant']}: {head}"][window["window"]] = answers
    for head, windows_of_head in sorted(spans.items()):
        table.add_row(
            safe_text(head),
            *(safe_text(_most(windows_of_head.get(span, {}))) for span in ("1h", "24h")),
        )
    return table


def _most(answers: Mapping[str, int]) -> str:
    most = sorted(answers.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
    return ", ".join(f"{label} {count}" for label, count in most)


def _waiting(queues: list[Mapping[str, Any]]) -> RenderableType:
    columns = ("channel", "waiting", "longest (min)", "due in 15 min", "overdue")
    table = _table("Waiting customers", columns, columns[1:])
    for queue in queues:
        numbers = (
            queue["waiting"],
            round(queue["longest_s"] / 60),
            queue["due_soon"],
            queue["overdue"],
        )
        table.add_row(safe_text(f"{queue['tenant']}: {queue['channel']}"), *map(str, numbers))
    return table


def _due(dues: list[Mapping[str, Any]]) -> RenderableType:
    table = _table("Due replies", ("due", "customer", "channel", "waiting since"))
    for due in dues[:_MAX_DUE]:
        style = "bold red" if due["overdue"] else "yellow"
        table.add_row(
            Text(due["due_at"][:16], style=style),
            safe_text(due["contact"]),
            safe_text(due["channel"]),
            safe_text(due["waiting_since"][:16]),
        )
    return table

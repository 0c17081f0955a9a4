"""What is happening now, as JSON and on the screen: the windows, who waits, what is about to be
late, open alerts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli.console import plain
from pipeline.processors.live.alerts import Watch
from pipeline.processors.live.observations import BUSINESS, INBOUND
from pipeline.processors.live.view import EVERY_CHANNEL, View, Window

# A screen shows the most frequent answers of a head; the JSON has all.
_TOP = 4


def page(view: View, watch: Watch, now_ms: int, tenant: str = "") -> Mapping[str, Any]:
    """Return everything as of an instant, of one tenant or ("") of all; instants RFC 3339, UTC.

    A window's `counts` are messages by direction and business events; `heads` are the answers about
    customers' messages, by head and label; `business` are events by kind and action. Channel "" is
    all channels together.
    """

    def wanted(one: Any) -> bool:
        return tenant in ("", one.tenant)

    return {
        "at": _at(now_ms),
        "windows": [_window(window) for window in view.windows(now_ms) if wanted(window)],
        "waiting": [
            {
                "tenant": queue.tenant,
                "channel": queue.channel,
                "waiting": queue.waiting,
                "longest_s": round(queue.longest_s, 3),
                "due_soon": queue.soon,
                "overdue": queue.overdue,
            }
            for queue in view.queues(now_ms)
            if wanted(queue)
        ],
        "due": [
            {
                "tenant": due.tenant,
                "channel": due.channel,
                "contact": due.contact,
                "conversation_id": due.conversation_id,
                "waiting_since": _at(due.since_ms),
                "due_at": _at(due.due_ms),
                "overdue": due.overdue,
            }
            for due in view.due(now_ms)
            if wanted(due)
        ],
        "alerts": [alert.model_dump(mode="json") for alert in watch.open() if wanted(alert)],
    }


def _window(window: Window) -> Mapping[str, Any]:
    heads: dict[str, dict[str, int]] = defaultdict(dict)
    counts: dict[str, int] = {}
    for label, count in sorted(window.counts.items()):
        head, _, answer = label.partition(":")
        if answer:
            heads[head][answer] = count
        else:
            counts[label] = count
    business = heads.pop(BUSINESS, {})
    return {
        "tenant": window.tenant,
        "channel": window.channel,
        "window": window.window,
        "from": _at(window.from_ms),
        "to": _at(window.to_ms),
        "counts": counts,
        "heads": heads,
        "business": business,
    }


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def screen(told: Mapping[str, Any]) -> RenderableType:
    """Return a page as a screen: windows by channel, answers of the last hour, queues, what is due,
    alerts.
    """
    parts: list[RenderableType] = [Text(f"as of {told['at']}", style="dim")]
    parts.append(_alerts(told["alerts"]))
    parts.append(_volumes(told["windows"]))
    parts.append(_answers(told["windows"]))
    if told["waiting"]:
        parts.append(_waiting(told["waiting"]))
    if told["due"]:
        parts.append(_due(told["due"]))
    return Group(*parts)


def _table(title: str, columns: tuple[str, ...], numbers: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def _alerts(alerts: list[Mapping[str, Any]]) -> RenderableType:
    if not alerts:
        return Text("no alert is open", style="green")
    table = _table(f"{len(alerts)} open alerts", ("raised", "kind", "what"))
    for alert in alerts:
        table.add_row(
            plain(alert["raised_at"][:19]),
            plain(alert["kind"]),
            Text(alert["message"], style="bold red"),
        )
    return table


def _volumes(windows: list[Mapping[str, Any]]) -> RenderableType:
    columns = ("channel", "messages 1m", "1h", "24h", "ours 24h", "business 24h")
    table = _table("Now", columns, columns[1:])
    rows: dict[tuple[str, str], dict[str, Mapping[str, int]]] = defaultdict(dict)
    for window in windows:
        rows[window["tenant"], window["channel"]][window["window"]] = window["counts"]
    for (tenant, channel), spans in rows.items():
        day = spans.get("24h", {})
        counted = [spans.get(span, {}).get(INBOUND, 0) for span in ("1m", "1h", "24h")]
        name = f"{tenant}: all" if channel == EVERY_CHANNEL else channel
        table.add_row(
            plain(name), *map(str, counted), str(day.get("outbound", 0)), str(day.get(BUSINESS, 0))
        )
    return table


def _answers(windows: list[Mapping[str, Any]]) -> RenderableType:
    table = _table("Answers about customers' messages", ("head", "last hour", "24 hours"))
    spans: dict[str, dict[str, Mapping[str, int]]] = defaultdict(dict)
    for window in windows:
        if window["channel"] == EVERY_CHANNEL:
            for head, answers in window["heads"].items():
                spans[f"{window['tenant']}: {head}"][window["window"]] = answers
    for head, found in sorted(spans.items()):
        table.add_row(plain(head), *(plain(_most(found.get(span, {}))) for span in ("1h", "24h")))
    return table


def _most(answers: Mapping[str, int]) -> str:
    most = sorted(answers.items(), key=lambda one: (-one[1], one[0]))[:_TOP]
    return ", ".join(f"{label} {count}" for label, count in most)


def _waiting(queues: list[Mapping[str, Any]]) -> RenderableType:
    columns = ("channel", "waiting", "longest (min)", "due in 15 min", "overdue")
    table = _table("Customers who wait", columns, columns[1:])
    for queue in queues:
        numbers = (
            queue["waiting"],
            round(queue["longest_s"] / 60),
            queue["due_soon"],
            queue["overdue"],
        )
        table.add_row(plain(f"{queue['tenant']}: {queue['channel']}"), *map(str, numbers))
    return table


def _due(dues: list[Mapping[str, Any]]) -> RenderableType:
    table = _table("Promised answers", ("due", "customer", "channel", "waiting since"))
    for due in dues[:10]:
        style = "bold red" if due["overdue"] else "yellow"
        table.add_row(
            Text(due["due_at"][:16], style=style),
            plain(due["contact"]),
            plain(due["channel"]),
            plain(due["waiting_since"][:16]),
        )
    return table

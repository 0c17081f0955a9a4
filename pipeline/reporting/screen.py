"""A customer's timeline on a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.console import out, plain
from pipeline.reporting.timeline import Timeline

_COLOURS = {
    "positive": "green",
    "very_positive": "green",
    "negative": "red",
    "very_negative": "red",
}
# Wide enough for the sense of a message, short enough that an event stays one to three lines of a terminal.
_TEXT_WIDTH = 160


def show_timeline(wanted: str, found: Timeline) -> None:
    """Print who it is and what happened, oldest first, times in UTC."""
    who = next((row["name"] for row in found.customers if row["name"]), wanted)
    out.print(_heading(who))
    contacts = [row["contact"] for row in found.customers]
    out.print(Text("contact points: ", "dim") + plain(", ".join(contacts)))
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("when (UTC)", "what", "text", "need", "sentiment", "result"):
        drawn.add_column(column, overflow="fold", no_wrap=column == "when (UTC)")
    for event in found.events:
        drawn.add_row(*_row(event))
    out.print(drawn)
    out.print(Text(f"{len(found.events)} events", "dim"))


def _heading(who: str) -> Text:
    name = plain(who)
    name.stylize("bold")
    return Text("History of ") + name


def _row(event: dict[str, Any]) -> list[Text]:
    title, text = event["title"], " ".join(str(event["text"]).split())
    words = plain(": ".join(part for part in (title, _money(event), text) if part), _TEXT_WIDTH)
    sentiment = plain(event["sentiment"])
    sentiment.stylize(_COLOURS.get(event["sentiment"], ""))
    outcome = "; ".join(part for part in (event["result"], event["remarks"]) if part)
    return [
        plain(event["occurred_at"][:16]),
        plain(event["event"]),
        words,
        plain(event["need"]),
        sentiment,
        plain(outcome, _TEXT_WIDTH // 2),
    ]


def _money(event: dict[str, Any]) -> str:
    if event["amount"] is not None:
        return f"{event['currency']} {float(event['amount']):,.2f}"
    return f"rated {event['rating_index']:.0f} of 100" if event["rating_index"] is not None else ""

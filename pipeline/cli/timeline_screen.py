"""A customer's timeline, and an event's way, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.cli.console import out, plain
from pipeline.reporting.timeline import Timeline
from pipeline.reporting.trace import Traced

_COLOURS = {
    "positive": "green",
    "very_positive": "green",
    "negative": "red",
    "very_negative": "red",
}
# Wide enough for the sense of a message, short enough that an event stays one to three lines of a
# terminal.
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


def show_trace(found: Sequence[Traced]) -> None:
    """Print each event's way, step by step, times in UTC."""
    for one in found:
        out.print(plain(one.event_id) + Text(" of ") + plain(one.source or "(unknown source)"))
        drawn = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("when (UTC)", "where", "what"):
            drawn.add_column(column, overflow="fold", no_wrap=column == "when (UTC)")
        for step in one.steps:
            drawn.add_row(plain(step.at or "now"), plain(step.place), plain(step.what))
        out.print(drawn)


def _heading(who: str) -> Text:
    name = plain(who)
    name.stylize("bold")
    return Text("History of ") + name


def _row(event: dict[str, Any]) -> list[Text]:
    words = ": ".join(
        part for part in (event["title"], _facts(event), " ".join(event["text"].split())) if part
    )
    sentiment = plain(_guess(event, "sentiment"))
    sentiment.stylize(_COLOURS.get(event["sentiment"], ""))
    outcome = "; ".join(part for part in (event["result"], event["remarks"]) if part)
    return [
        plain(event["occurred_at"][:16]),
        plain(event["event"]),
        plain(words, _TEXT_WIDTH),
        plain(_asked(event)),
        sentiment,
        plain(outcome, _TEXT_WIDTH // 2),
    ]


def _guess(event: dict[str, Any], head: str) -> str:
    """Return a head's label, with a question mark where it is a guess below its threshold."""
    label = str(event[head]).replace("_", " ")
    return f"{label}?" if label and event[f"{head}_abstained"] else label


def _asked(event: dict[str, Any]) -> str:
    """Return the needs, and what heads of a team's own say."""
    needs = " and ".join(
        (_guess(event, "need"), *(need.replace("_", " ") for need in event["need_also"]))
    )
    own = (f"{head}: {label}" for head, label in event["answers"].items() if label)
    return ", ".join(part for part in (needs, *own) if part)


def _facts(event: dict[str, Any]) -> str:
    """Return what an event says beside its text: money, marks, a call's end, what was attached."""
    facts = []
    if event["amount"] is not None:
        facts.append(f"{event['currency']} {float(event['amount']):,.2f}")
    if event["rating_index"] is not None:
        facts.append(f"rated {event['rating_index']:.0f} of 100")
    if event["disposition"]:
        facts.append(event["disposition"].replace("_", " "))
    if event["talk_s"] is not None:
        facts.append("{:.0f}:{:02.0f} min".format(*divmod(event["talk_s"], 60)))
    if event["attachment_names"]:
        facts.append(f"[{', '.join(name or 'attachment' for name in event['attachment_names'])}]")
    return ", ".join(facts)

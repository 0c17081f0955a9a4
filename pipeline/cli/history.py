"""`switchboard history`: the timeline of one customer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli import console
from pipeline.cli.app import Json, app, workspace_of
from pipeline.cli.console import fail, out, safe_text
from pipeline.text.counts import count_of

if TYPE_CHECKING:
    from pipeline.reporting.timeline import Timeline

_COLOURS = {
    "positive": "green",
    "very_positive": "green",
    "negative": "red",
    "very_negative": "red",
}
# Heads that have columns of their own.
_WITH_COLUMN = frozenset(("need", "sentiment"))
# Wide enough to understand a message, short enough that an event takes one to three lines.
_TEXT_WIDTH = 160


@app.command()
def history(
    context: typer.Context,
    customer: Annotated[
        str,
        typer.Argument(
            help="A mail address, telephone number, customer number, handle, name or customer id."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show the timeline of one customer over all channels.

    It includes orders, feedback and complaints, oldest first.
    """
    from pipeline.reporting.timeline import timeline

    workspace = workspace_of(context)
    with workspace.open_warehouse() as warehouse:
        result = timeline(warehouse, workspace.identity(), workspace.settings.tenant, customer)
    if not result.events:
        fail(
            f"the history contains no customer {customer!r}: try another contact point, or list"
            " customers with `switchboard query 'SELECT * FROM customers'`"
        )
    if as_json:
        console.json(asdict(result))
    else:
        show_timeline(customer, result)


def show_timeline(customer: str, history: Timeline) -> None:
    """Print the customer's contact points and events, oldest first, with times in UTC."""
    name = next((row["name"] for row in history.customers if row["name"]), customer)
    out.print(_heading(name))
    contacts = [row["contact"] for row in history.customers]
    out.print(Text("contact points: ", "dim") + safe_text(", ".join(contacts)))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("when (UTC)", "what", "text", "need", "sentiment", "result"):
        table.add_column(column, overflow="fold", no_wrap=column == "when (UTC)")
    for event in history.events:
        table.add_row(*_row(event))
    out.print(table)
    out.print(Text(count_of(len(history.events), "event"), "dim"))


def _heading(name: str) -> Text:
    text = safe_text(name)
    text.stylize("bold")
    return Text("History of ") + text


def _row(event: dict[str, Any]) -> list[Text]:
    words = ": ".join(
        part for part in (event["title"], _facts(event), " ".join(event["text"].split())) if part
    )
    sentiment = safe_text(_answer(event, "sentiment"))
    sentiment.stylize(_COLOURS.get(event["sentiment"], ""))
    outcome = "; ".join(part for part in (event["result"], event["remarks"]) if part)
    return [
        safe_text(event["occurred_at"][:16]),
        safe_text(event["event"]),
        safe_text(words, _TEXT_WIDTH),
        safe_text(_answers(event)),
        sentiment,
        safe_text(outcome, _TEXT_WIDTH // 2),
    ]


def _answer(event: dict[str, Any], head: str) -> str:
    """Return a head's label, with a question mark if it is below the head's threshold."""
    label = str(event[head]).replace("_", " ")
    return f"{label}?" if label and event[f"{head}_abstained"] else label


def _answers(event: dict[str, Any]) -> str:
    """Return the needs, and the other heads' answers unless they are ordinary or abstained from."""
    from pipeline.models.heads import HEADS

    ordinary = {head.name: head.ordinary for head in HEADS}
    needs = " and ".join(
        (_answer(event, "need"), *(need.replace("_", " ") for need in event["need_also"]))
    )
    others = (
        f"{head}: {label}".replace("_", " ")
        for head, label in event["answers"].items()
        if label
        and head not in _WITH_COLUMN
        and label not in ordinary.get(head, ())
        and not event["answers_abstained"][head]
    )
    return ", ".join(part for part in (needs, *others) if part)


def _facts(event: dict[str, Any]) -> str:
    """Return the facts beside the text: amount, rating, result of a call, attachments."""
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

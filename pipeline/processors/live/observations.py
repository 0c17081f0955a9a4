"""What live reads of the log: who was heard when and what it was about, and which customers
wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.processors.converse.business_hours import to_ms
from pipeline.processors.live.panes import Waiting
from schemas.envelope import DEFAULT_TENANT

# What is counted beside the heads' labels: messages by direction, and business events of all kinds.
INBOUND, BUSINESS = "inbound", "business"


@dataclass(frozen=True, slots=True)
class Observation:
    """One record or business event: when it happened (ms since 1970), and the labels under which it
    counts.
    """

    tenant: str
    channel: str
    at_ms: int
    labels: tuple[str, ...]
    customer: str
    record_id: str


@dataclass(frozen=True, slots=True)
class WaitingUpdate:
    """A contact point's part in a conversation as of its last record; `waiting` is None where its
    customer waits for nothing.
    """

    part_id: str
    waiting: Waiting | None


def _instant(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


def observe_record(record: Mapping[str, Any]) -> Observation | None:
    """Return what is read of a Record's JSON; None for what a platform or a colleague says. Raises
    KeyError, ValueError.
    """
    if record["kind"] not in ("message", "call"):
        return None
    answers = record.get("predictions") or {}
    said = [
        f"{head}:{answer['label']}"
        for head, answer in answers.items()
        if answer["label"] and not answer["abstained"]
    ]
    return Observation(
        record.get("tenant", DEFAULT_TENANT),
        record["channel"],
        _instant(record["occurred_at"]),
        (record["direction"], *(said if record["direction"] == INBOUND else ())),
        record.get("customer_id") or record["record_id"],
        record["record_id"],
    )


def observe_business(record: Mapping[str, Any]) -> Observation:
    """Return what is read of a BusinessRecord's JSON. Raises KeyError, ValueError."""
    return Observation(
        record.get("tenant", DEFAULT_TENANT),
        record.get("channel") or BUSINESS,
        _instant(record["occurred_at"]),
        (BUSINESS, f"{BUSINESS}:{record['kind']}.{record['action']}"),
        record.get("customer_id") or record["record_id"],
        record["record_id"],
    )


def observe_conversation(conversation: Mapping[str, Any]) -> WaitingUpdate:
    """Return what is read of a Conversation's JSON. Raises KeyError, ValueError."""
    since = conversation.get("waiting_since")
    if conversation.get("retracted") or conversation["state"] != "waiting" or since is None:
        return WaitingUpdate(conversation["part_id"], None)
    due = conversation.get("first_response_due_at") or conversation.get("next_response_due_at")
    waiting = Waiting(
        conversation.get("tenant", DEFAULT_TENANT),
        conversation["channel"],
        conversation.get("contact", ""),
        conversation.get("merged_into") or conversation["conversation_id"],
        _instant(since),
        None if due is None else _instant(due),
    )
    return WaitingUpdate(conversation["part_id"], waiting)

"""Records of the last day for tests of live, as enrich and converse write them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import Message
from pipeline.processors.live.panes import RESOLUTIONS
from schemas.conversations import Conversation
from schemas.records import BusinessRecord, Delivery, Prediction, Record
from schemas.topics import BUSINESS, CONVERSATIONS, RECORDS
from schemas.unchecked import construct

DAY_MS = 86_400_000
_DELIVERY = Delivery(sha256="0" * 64)
NEEDS = (
    "price_inquiry",
    "logistics",
    "refund_return",
    "technical_support",
    "greeting",
    "complaint",
)
# One in fifty is a complaint on a day like others.
_WEIGHTS = (30, 25, 15, 18, 10, 2)
_SENTIMENTS, _FEELINGS = ("neutral", "positive", "negative"), (70, 20, 10)
CHANNELS = ("chat", "email", "call", "sms")


def uid(*parts: object) -> UUID:
    """Return a UUID by name."""
    return uuid5(NAMESPACE_URL, "/".join(map(str, parts)))


def at(ms: int) -> datetime:
    """Return the instant of ms since 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def record(
    number: int, at_ms: int, *, customer: int, need: str, sentiment: str, channel: str = "chat"
) -> Record:
    """Return a customer's message, with two answers about it."""
    return construct(
        Record,
        record_id=uid("record", number),
        source="test/live",
        event_id=f"e{number}",
        event_type="comm.message.received",
        occurred_at=at(at_ms),
        received_at=at(at_ms),
        customer_id=uid("customer", customer),
        contact=f"id:C-{customer}",
        delivery=_DELIVERY,
        channel=channel,
        kind="message",
        direction="inbound",
        conversation_id=uid("conversation", customer),
        predictions={
            "need": construct(Prediction, label=need, p=0.9, abstained=False, version="test"),
            "sentiment": construct(
                Prediction, label=sentiment, p=0.9, abstained=sentiment == "neutral", version="test"
            ),
        },
    )


def complaint(number: int, at_ms: int, customer: int) -> BusinessRecord:
    """Return a complaint that was opened."""
    return construct(
        BusinessRecord,
        record_id=uid("business", number),
        source="test/live",
        event_id=f"k{number}",
        event_type="crm.complaint.opened",
        occurred_at=at(at_ms),
        received_at=at(at_ms),
        customer_id=uid("customer", customer),
        delivery=_DELIVERY,
        kind="complaint",
        action="opened",
    )


def conversation(
    customer: int, since_ms: int, due_ms: int | None, *, answered: bool = False
) -> Conversation:
    """Return a conversation whose customer waits, or has been answered."""
    return construct(
        Conversation,
        part_id=uid("part", customer),
        customer_id=uid("customer", customer),
        conversation_id=uid("conversation", customer),
        contact=f"id:C-{customer}",
        channel="chat",
        state="answered" if answered else "waiting",
        opened_at=at(since_ms),
        last_at=at(since_ms),
        waiting_since=None if answered else at(since_ms),
        first_response_due_at=None if due_ms is None or answered else at(due_ms),
    )


def message_of(contract: Record | BusinessRecord | Conversation) -> Message:
    """Return the message that carries a record on its topic."""
    topic = {Record: RECORDS, BusinessRecord: BUSINESS, Conversation: CONVERSATIONS}[type(contract)]
    return encode_contract(topic.name, str(contract.customer_id), contract)


def quiet_day(count: int, end_ms: int, seed: int = 1) -> Iterator[Record]:
    """Yield a day's records in order of time, the last at `end_ms`: few by night, many by day.

    Each answer is as frequent at any hour.
    """
    random_ = random.Random(seed)
    hours = [1 if hour < 7 else 6 if 9 <= hour < 18 else 3 for hour in range(24)]
    moments = sorted(
        end_ms - DAY_MS + hour * 3_600_000 + random_.randrange(3_600_000)
        for hour in random_.choices(range(24), hours, k=count)
    )
    for number, moment in enumerate(moments):
        yield record(
            number,
            moment,
            customer=random_.randrange(max(count // 8, 5)),
            need=random_.choices(NEEDS, _WEIGHTS)[0],
            sentiment=random_.choices(_SENTIMENTS, _FEELINGS)[0],
            channel=random_.choice(CHANNELS),
        )


def spike(count: int, begin_ms: int, span_ms: int, first: int = 10_000_000) -> Iterator[Record]:
    """Yield complaints of as many customers within a span of time."""
    for number in range(count):
        moment = begin_ms + number * span_ms // count
        yield record(
            first + number,
            moment,
            customer=first + number,
            need="complaint",
            sentiment="negative",
            channel="chat",
        )


def exact_windows(
    records: Iterable[Record | BusinessRecord], now_ms: int
) -> dict[tuple[str, str], Counter[str]]:
    """Return the windows as of an instant, counted record by record.

    The key is the span and the channel; "" stands for all channels.
    """
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in records:
        at_ms = round(one.occurred_at.timestamp() * 1000)
        for resolution in RESOLUTIONS:
            end = (resolution.pane_of(now_ms) + resolution.pane_s) * 1000
            if end - resolution.span_s * 1000 <= at_ms < end:
                for channel in ("", one.channel or "business"):
                    found[resolution.name, channel].update(_labels(one))
    return dict(found)


def _labels(one: Record | BusinessRecord) -> list[str]:
    if isinstance(one, BusinessRecord):
        return ["business", f"business:{one.kind}.{one.action}"]
    said = [
        f"{head}:{answer.label}" for head, answer in one.predictions.items() if not answer.abstained
    ]
    return [str(one.direction), *said]


def windows_of(page: dict[str, Any]) -> dict[tuple[str, str], Counter[str]]:
    """Return the windows of a page in the same form."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for window in page["windows"]:
        counts = Counter(window["counts"])
        for head, answers in (*window["heads"].items(), ("business", window["business"])):
            counts.update({f"{head}:{label}": count for label, count in answers.items()})
        found[window["window"], window["channel"]] = counts
    return found

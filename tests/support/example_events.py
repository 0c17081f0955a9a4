"""Events of the examples topic for tests, and a fold over a log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from hypothesis import strategies as st

from pipeline.log.port import Log, Message, TopicReader
from pipeline.models.examples_fold import ExamplesFold
from pipeline.models.heads import HEADS
from pipeline.runtime.model_worker import fold_path, scan_examples
from schemas.labels import Example, Retraction
from schemas.topics import EXAMPLES

BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
WORDS = [
    "refund",
    "invoice",
    "late",
    "发票",
    "退款",
    "太慢了",
    "great",
    "urgent",
    "price",
    "please",
    "how",
]
_RECORDS = 6


def example(index: int, head: str, value: str, text: str, **more: Any) -> dict[str, Any]:
    """Return the example of label number `index`, labelled `index` minutes after the first."""
    return {
        "kind": "example",
        "label_id": str(UUID(int=index + 1)),
        "record_id": str(UUID(int=1_000 + index)),
        "head": head,
        "value": value,
        "text": text,
        "source": "person",
        "weight": 1.0,
        "language": "en",
        "channel": "email",
        "direction": "inbound",
        "labelled_at": (BEGAN + timedelta(minutes=index)).isoformat(),
    } | more


def invented_labels(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Return examples that no rule would guess: "blorf" is an appointment, "gnarp" cooperation."""
    texts = [("appointment", "the blorf again"), ("cooperation", "a gnarp of some type")]
    return [
        example(index, "need", texts[index % 2][0], f"{texts[index % 2][1]} {index}")
        for index in range(first, first + count)
    ]


@st.composite
def labellings(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return labels of a few records, with corrections, confirmations, retractions and repeats."""
    events: list[dict[str, Any]] = []
    for index in range(draw(st.integers(0, 18))):
        kind = draw(st.sampled_from(["example"] * 6 + ["retraction", "again"]))
        if kind == "again" and events:
            events.append(draw(st.sampled_from(events)))
            continue
        head = draw(st.sampled_from(HEADS[:2]))
        record = draw(st.integers(0, _RECORDS - 1))
        value = draw(st.sampled_from(list(head.labels)[:3]))
        # A record has one text, whoever labels it.
        text = f"{WORDS[record]} {WORDS[-record]} {head.name}"
        event = example(index, head.name, value, text, record_id=str(UUID(int=1_000 + record)))
        event["source"] = draw(st.sampled_from(["person", "outcome", "import"]))
        event["weight"] = draw(st.sampled_from([0.25, 0.7, 1.0, 3.0]))
        event["labelled_at"] = (BEGAN + timedelta(minutes=draw(st.integers(0, 9)))).isoformat()
        if kind == "retraction":
            event = {
                name: event[name]
                for name in ("kind", "label_id", "record_id", "head", "source", "labelled_at")
            } | {"kind": "retraction"}
        events.append(event)
    return events


def whole_fold(log: TopicReader) -> ExamplesFold:
    """Return the fold of the whole topic."""
    fold = ExamplesFold()
    for record in scan_examples(log):
        fold.apply(orjson.loads(record.value), record.offset, lambda path: fold_path(log, path))
    return fold


def publish_examples(log: Log, events: Iterable[dict[str, Any]]) -> None:
    """Publish events to the examples topic."""
    names = {"example": Example.__name__, "retraction": Retraction.__name__}
    messages = [
        Message(
            EXAMPLES.name,
            None,
            orjson.dumps(event),
            (("sb_contract", names.get(event.get("kind", ""), "").encode()),),
        )
        for event in events
    ]
    with log.transaction() as transaction:
        transaction.produce(messages)

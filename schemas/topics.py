"""Every topic, declared once: what it carries, how it is keyed, partitioned and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.business import ComplaintData, CustomerData, FeedbackData, OrderData
from schemas.communications import CallData, EmailData, MessageData
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.dead_letters import DeadLetter, Replay, StageReplay
from schemas.labels import (
    Assessment,
    Drift,
    Example,
    Generation,
    Label,
    LabelData,
    MovedData,
    Pin,
    Promotion,
    Retraction,
    RetractionData,
    Rollback,
)
from schemas.live import Alert
from schemas.reclassified import Reclassification
from schemas.records import BusinessRecord, Link, Record
from schemas.types import Contract

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: `retention_ms` None keeps for ever; `key` says what a record's key is, so what stays
    in order.

    What is past its retention goes a segment at a time, and only whole segments are compacted:
    `segment_ms` is their span.
    """

    name: str
    meaning: str
    carries: tuple[type[Contract], ...]
    key: str
    partitions: int
    retention_ms: int | None
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    # A day keeps "ninety days" true to a day, however little comes in.
    segment_ms: int = _DAY_MS

    @property
    def compacted(self) -> bool:
        """Whether it holds the last value of each key."""
        return self.cleanup != "delete"


# Six partitions let six workers share a topic and still divide evenly over one, two and three;
# partitions can be added, not taken away.
_PARTITIONS = 6
# Raw events and dead letters hold personal data as it came: ninety days are enough to mend a fault
# and replay, no archive.
_RAW_MS = 90 * _DAY_MS
# Derived topics can be made again from raw ones; a month covers a sink that is down and a new sink
# that starts.
_DERIVED_MS = 30 * _DAY_MS

RAW_EMAIL = Topic(
    "raw.email.v1", "mails as received", (EmailData,), "record id", _PARTITIONS, _RAW_MS
)
RAW_CALL = Topic(
    "raw.call.v1",
    "calls as the exchange wrote them",
    (CallData,),
    "record id",
    _PARTITIONS,
    _RAW_MS,
)
RAW_CHAT = Topic(
    "raw.chat.v1",
    "messages of chats, SMS, social networks, forms",
    (MessageData,),
    "record id",
    _PARTITIONS,
    _RAW_MS,
)
RAW_BUSINESS = Topic(
    "raw.business.v1",
    "orders, feedback, complaints, customer profiles",
    (OrderData, FeedbackData, ComplaintData, CustomerData),
    "record id",
    _PARTITIONS,
    _RAW_MS,
)
RAW_LABELS = Topic(
    "raw.labels.v1",
    "labels as given and taken back, and messages moved to spam",
    (LabelData, RetractionData, MovedData),
    "record id",
    _PARTITIONS,
    _RAW_MS,
)
RECORDS = Topic(
    "records.v1",
    "cleaned, classified communications",
    (Record,),
    "customer id, else record id",
    _PARTITIONS,
    _DERIVED_MS,
)
BUSINESS = Topic(
    "business.v1",
    "business events with their customer",
    (BusinessRecord,),
    "customer id, else record id",
    _PARTITIONS,
    _DERIVED_MS,
)
LINKS = Topic(
    "links.v1", "contact points of one customer", (Link,), "customer id", _PARTITIONS, _DERIVED_MS
)
CONVERSATIONS = Topic(
    "conversations.v1",
    "conversations, facts, follow-ups and record flags",
    (Conversation, ConversationFact, FollowUp, RecordFlag),
    "customer id, else record id",
    _PARTITIONS,
    _DERIVED_MS,
)
# Compacted and never cleaned: a state is needed as long as its contact point may speak again. It
# holds no contract of ours.
CONVERSE_STATE = Topic(
    "converse-state.v1",
    "state of converse by contact point, in converse's own format",
    (),
    "customer id, else record id",
    _PARTITIONS,
    None,
    "compact",
)
LABELS = Topic(
    "labels.v1",
    "labels as kept",
    (Label,),
    "record id of the labelled record",
    _PARTITIONS,
    _DERIVED_MS,
)
# One partition, never cleaned: the models are a fold over it, and a fold needs one order and the
# whole of it.
EXAMPLES = Topic(
    "examples.v1",
    "labels with their text, generations, pins and rollbacks; the models are a fold over it",
    (Example, Retraction, Generation, Pin, Rollback, Promotion),
    "none",
    1,
    None,
)
RECLASSIFIED = Topic(
    "reclassified.v1",
    "answers given later about records of the history",
    (Reclassification,),
    "record id",
    _PARTITIONS,
    _DERIVED_MS,
)
QUALITY = Topic(
    "quality.v1",
    "what the models answered before they learnt an example, and drift",
    (Assessment, Drift),
    "record id, or head",
    _PARTITIONS,
    _DERIVED_MS,
)
DEAD_LETTERS = Topic(
    "dead-letters.v1",
    "what was refused, tries to send it again, and replays of stages",
    (DeadLetter, Replay, StageReplay),
    "dead letter id, or replay id",
    _PARTITIONS,
    _RAW_MS,
)

ALERTS = Topic("alerts.v1", "alerts that live raises", (Alert,), "alert id", 1, _DERIVED_MS)
# Panes live a day, waiting customers a week; in segments of ten minutes the log that a new worker
# or a screen reads stays near its live size.
LIVE_STATE = Topic(
    "live-state.v1",
    "panes and waiting customers of live, in live's own format",
    (),
    "what it is and where it stands",
    _PARTITIONS,
    8 * _DAY_MS,
    "compact,delete",
    600_000,
)

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        RAW_EMAIL,
        RAW_CALL,
        RAW_CHAT,
        RAW_BUSINESS,
        RAW_LABELS,
        RECORDS,
        BUSINESS,
        LINKS,
        CONVERSATIONS,
        CONVERSE_STATE,
        LIVE_STATE,
        ALERTS,
        LABELS,
        EXAMPLES,
        RECLASSIFIED,
        QUALITY,
        DEAD_LETTERS,
    )
}

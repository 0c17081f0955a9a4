"""All topics: contracts, keys, partitions and retention."""

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
    """A topic of the log.

    `retention_ms` None means that messages are kept for ever. `key` says what the key of a message
    is; messages with the same key stay in order. Expired messages are deleted one segment at a
    time, and only complete segments are compacted; `segment_ms` is the time span of a segment.
    """

    name: str
    meaning: str
    carries: tuple[type[Contract], ...]
    key: str
    partitions: int
    retention_ms: int | None
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    # With one-day segments a retention of ninety days is exact to a day, even with little traffic.
    segment_ms: int = _DAY_MS

    @property
    def compacted(self) -> bool:
        """Whether the topic keeps only the last message of each key."""
        return self.cleanup != "delete"


# Six partitions are evenly shared by one, two, three or six workers. Partitions can be added, but
# not removed.
_PARTITIONS = 6
# Raw events and dead letters contain personal data as received. Ninety days are enough to fix a
# fault and replay; the log is not an archive.
_RAW_MS = 90 * _DAY_MS
# Derived topics can be recomputed from raw ones. A month covers the outage of a sink and the start
# of a new one.
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
    "labels and their retractions, and messages moved to spam",
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
# Compacted without time limit: the state is needed as long as its contact point may write again.
# Its messages have converse's own format instead of a contract.
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
    "stored labels",
    (Label,),
    "record id of the labelled record",
    _PARTITIONS,
    _DERIVED_MS,
)
# One partition without time limit: the models are a fold over this topic, which needs all of its
# messages in one order.
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
    "later answers about records of the history",
    (Reclassification,),
    "record id",
    _PARTITIONS,
    _DERIVED_MS,
)
QUALITY = Topic(
    "quality.v1",
    "predictions for examples before they were learnt, and drift",
    (Assessment, Drift),
    "record id, or head",
    _PARTITIONS,
    _DERIVED_MS,
)
DEAD_LETTERS = Topic(
    "dead-letters.v1",
    "rejected inputs, attempts to replay them, and replays of stages",
    (DeadLetter, Replay, StageReplay),
    "dead letter id, or replay id",
    _PARTITIONS,
    _RAW_MS,
)

ALERTS = Topic("alerts.v1", "alerts that live raises", (Alert,), "alert id", 1, _DERIVED_MS)
# Panes are kept for a day, waiting customers for a week. With segments of ten minutes, what a new
# worker or a screen has to read stays close to the live state.
LIVE_STATE = Topic(
    "live-state.v1",
    "panes and waiting customers of live, in live's own format",
    (),
    "kind and key of the state",
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

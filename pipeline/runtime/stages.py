"""The stages: which topics each reads, how it decodes them, and which step runs. Every host builds
them here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from pipeline.envelope import from_record
from pipeline.log.port import LogRecord, States
from pipeline.models.heads import HEADS, Head
from pipeline.outcomes import Fold, Models, Reject, Step
from pipeline.processors.converse.record_view import Seen
from pipeline.processors.identify import Identity
from pipeline.processors.labels import LabelledText, Resolve
from pipeline.runtime.fold_handler import FoldHandler
from pipeline.runtime.resolve_handler import ResolveHandler
from pipeline.runtime.runner import Clock, LoadHandler, StepHandler, utc_now
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.dead_letters import RejectCode
from schemas.labels import Label
from schemas.registry import explain
from schemas.topics import (
    ALERTS,
    BUSINESS,
    CONVERSATIONS,
    CONVERSE_STATE,
    DEAD_LETTERS,
    EXAMPLES,
    LABELS,
    LINKS,
    QUALITY,
    RAW_BUSINESS,
    RAW_CALL,
    RAW_CHAT,
    RAW_EMAIL,
    RAW_LABELS,
    RECLASSIFIED,
    RECORDS,
    TOPICS,
)
from schemas.types import Contract, Direction

if TYPE_CHECKING:
    from pipeline.runtime.model_worker import Learner

logger = logging.getLogger(__name__)

ENRICH_TOPICS = tuple(
    topic.name for topic in (RAW_EMAIL, RAW_CALL, RAW_CHAT, RAW_BUSINESS, RAW_LABELS)
)
LOAD_TOPICS = tuple(
    topic.name
    for topic in (
        RECORDS,
        BUSINESS,
        LINKS,
        LABELS,
        CONVERSATIONS,
        QUALITY,
        ALERTS,
        RECLASSIFIED,
        DEAD_LETTERS,
    )
)
# Examples too, which the stage itself writes: one of its workers learns them and tells how well the
# models did before.
RESOLVE_TOPICS = (LABELS.name, EXAMPLES.name)
CONVERSE_TOPICS = (RECORDS.name, BUSINESS.name)
LIVE_TOPICS = (RECORDS.name, BUSINESS.name, CONVERSATIONS.name)
# Only records need to know their neighbours. Business events lie on partitions of their own, where
# a customer's records need not be.
STATE_TOPICS = {RECORDS.name: CONVERSE_STATE.name}
# Every stage, with the topics it reads. A stage's name is that of its group, its dead letters and
# its metrics.
STAGES: dict[str, tuple[str, ...]] = {
    "enrich": ENRICH_TOPICS,
    "converse": CONVERSE_TOPICS,
    "load": LOAD_TOPICS,
    "resolve": RESOLVE_TOPICS,
    "live": LIVE_TOPICS,
}
# Those that confluent-kafka hosts on Kafka, with transactions; live is hosted by Faust
# (docs/adr/0012).
KAFKA_STAGES = tuple(stage for stage in STAGES if stage != "live")
# ClickHouse wants 10,000 to 100,000 rows an insert (DESIGN §5): load takes five times as many
# records as the others.
LOAD_FACTOR = 5
# A batch of large mails must fit memory several times over: as bytes, decoded, and as rows.
BATCH_BYTES = 32 * 1024 * 1024


def enrich_handler(
    identity: Identity,
    models: Callable[[], Models],
    clock: Clock = utc_now,
    heads: Sequence[Head] = HEADS,
) -> StepHandler[Any]:
    """Return the stage that cleans and classifies raw events, by the models of these heads."""
    # Cleaning is most of what the program has to import; workers of other stages are back a second
    # sooner without it.
    from pipeline.processors.enrich import enrich_step

    step = enrich_step(identity, heads)
    return StepHandler("enrich", ENRICH_TOPICS, from_record, lambda _: step, models, clock)


def converse_handler(
    fold: Fold[Any, Any, Contract], states: States, clock: Clock = utc_now
) -> FoldHandler[Any, Any]:
    """Return the stage that makes conversations of what enrich gave."""
    return FoldHandler(
        "converse", CONVERSE_TOPICS, _decode_seen, fold, STATE_TOPICS, states, clock=clock
    )


def load_handler(warehouse: Warehouse, clock: Clock = utc_now) -> LoadHandler:
    """Return the stage that writes everything derived to the warehouse."""
    return LoadHandler("load", LOAD_TOPICS, decode_contract, warehouse, clock)


def resolve_handler(
    warehouse: Warehouse, make_learner: Callable[[int], Learner], clock: Clock = utc_now
) -> ResolveHandler:
    """Return the stage that joins labels with the text of their records, a batch at a time, and
    tests the models on what that gives.

    `make_learner` is given the offset of the first example that is to be tested.
    """

    def prepare(labels: Sequence[Label]) -> Step[Label, Contract]:
        return Resolve(labelled_texts(warehouse, [label.record_id for label in labels]))

    labels = StepHandler("resolve", (LABELS.name,), _decode_label, prepare, clock=clock)
    return ResolveHandler(labels, make_learner, RESOLVE_TOPICS, clock)


def _decode_seen(record: LogRecord) -> Seen | Contract | Reject:
    """Return what converse reads of a record: a few of its fields, straight from its JSON; the
    contract says what is wrong with it.
    """
    if record.topic == RECORDS.name:
        try:
            return Seen.from_json(orjson.loads(record.value))
        except (ValueError, KeyError, TypeError):
            logger.warning(
                "%s/%d@%d is not as enrich writes it", record.topic, record.partition, record.offset
            )
    return decode_contract(record)


def decode_contract(record: LogRecord) -> Contract | Reject:
    """Return the contract that a derived topic's record carries; its header names it where a topic
    has several.
    """
    carried = {contract.__name__: contract for contract in TOPICS[record.topic].carries}
    contract = carried.get(record.header("sb_contract"), TOPICS[record.topic].carries[0])
    try:
        return contract.model_validate_json(record.value)
    except ValidationError as error:
        return Reject(*explain(error))


def _decode_label(record: LogRecord) -> Label | Reject:
    label = decode_contract(record)
    if isinstance(label, (Label, Reject)):
        return label
    return Reject(RejectCode.UNKNOWN_TYPE, f"a {type(label).__name__} is no label")


def labelled_texts(warehouse: Warehouse, record_ids: Sequence[UUID]) -> dict[UUID, LabelledText]:
    """Return what models read of the given records, as far as the history holds them."""
    if not record_ids:
        return {}
    found = rows(
        warehouse,
        "SELECT record_id, redacted_text, language, channel, if(kind IN ('system', 'note'),"
        " 'internal', direction) AS direction FROM communications WHERE record_id IN"
        " {ids:Array(UUID)}",
        ids=[str(record_id) for record_id in record_ids],
    )
    texts = {
        UUID(row["record_id"]): LabelledText(
            row["redacted_text"], row["language"], row["channel"], row["direction"]
        )
        for row in found
    }
    return texts | _feedback_texts(
        warehouse, [record_id for record_id in record_ids if record_id not in texts]
    )


def _feedback_texts(warehouse: Warehouse, record_ids: Sequence[UUID]) -> dict[UUID, LabelledText]:
    """Return what customers wrote beside their marks, as a model may read it."""
    if not record_ids:
        return {}
    from pipeline.processors.clean.language import detect_language
    from pipeline.processors.redact import redact_text

    found = rows(
        warehouse,
        "SELECT record_id, text, channel FROM business_events"
        " WHERE record_id IN {ids:Array(UUID)} AND kind = 'feedback' AND text != ''",
        ids=[str(record_id) for record_id in record_ids],
    )
    return {
        UUID(row["record_id"]): LabelledText(
            redact_text(row["text"]),
            detect_language(row["text"]).code,
            row["channel"],
            Direction.INBOUND,
        )
        for row in found
    }

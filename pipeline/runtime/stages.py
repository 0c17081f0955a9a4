"""The stages: the topics that each reads, how it decodes records, and its step or fold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from pydantic import ValidationError

from pipeline.cpu_limit import paused
from pipeline.envelope import IncomingEvent, decode_event
from pipeline.log.clock import Clock, utc_now
from pipeline.log.port import LogRecord, StateStore
from pipeline.models.heads import HEADS, Head
from pipeline.outcomes import Context, Fold, Models, Reject, Step, run_checked
from pipeline.processors.converse.record_view import RecordView
from pipeline.processors.identify import Identity
from pipeline.processors.labels import LabelledText, Resolve
from pipeline.runtime.fold_handler import FoldHandler
from pipeline.runtime.record_guard import TooManyErrorsError
from pipeline.runtime.resolve_handler import ResolveHandler
from pipeline.runtime.runner import LoadHandler, StepHandler
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
    from pipeline.runtime.model_worker import ModelWorker

logger = logging.getLogger(__name__)
T = TypeVar("T")

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
# Examples too, which the stage itself writes: one of its workers learns them and assesses how well
# the models answered before.
RESOLVE_TOPICS = (LABELS.name, EXAMPLES.name)
CONVERSE_TOPICS = (RECORDS.name, BUSINESS.name)
LIVE_TOPICS = (RECORDS.name, BUSINESS.name, CONVERSATIONS.name)
# Only the folding of records needs a state. Business events are partitioned separately, so the
# records of the same customer may lie on other partitions.
STATE_TOPICS = {RECORDS.name: CONVERSE_STATE.name}
# Every stage with the topics it reads. Its name is that of its consumer group, and the `stage` of
# its dead letters and metrics.
STAGES: dict[str, tuple[str, ...]] = {
    "enrich": ENRICH_TOPICS,
    "converse": CONVERSE_TOPICS,
    "load": LOAD_TOPICS,
    "resolve": RESOLVE_TOPICS,
    "live": LIVE_TOPICS,
}
# The stages of the transactional Kafka host; Faust hosts live (docs/adr/0012).
KAFKA_STAGES = tuple(stage for stage in STAGES if stage != "live")
# ClickHouse recommends inserts of 10,000 to 100,000 rows, so a batch of load has five times as many
# records as other batches.
LOAD_FACTOR = 5
# A batch of large mails must fit into memory several times: as bytes, decoded, and as rows.
BATCH_BYTES = 32 * 1024 * 1024


def enrich_handler(
    identity: Identity,
    models: Callable[[], Models],
    clock: Clock = utc_now,
    heads: Sequence[Head] = HEADS,
) -> StepHandler[Any]:
    """Return the stage that cleans raw events and classifies them by the models of `heads`."""
    # Imported here, because cleaning needs most of the program's imports: workers of other stages
    # start a second sooner without it.
    from pipeline.processors.enrich import enrich_step

    step = enrich_step(identity, heads)
    warmed_up = False

    def prepare(_inputs: Sequence[IncomingEvent]) -> Step[IncomingEvent, Contract]:
        nonlocal warmed_up
        if not warmed_up:
            # What the first record of a process compiles and loads is not this record's doing.
            with paused():
                _warm_up(step, Context(clock(), models()))
            warmed_up = True
        return step

    def samples() -> Sequence[IncomingEvent]:
        from pipeline.runtime.trial_records import trial_events

        return trial_events()

    return StepHandler(
        "enrich", ENRICH_TOPICS, decode_event, prepare, models, clock, samples=samples
    )


def converse_handler(
    fold: Fold[Any, Any, Contract], states: StateStore, clock: Clock = utc_now
) -> FoldHandler[Any, Any, Any]:
    """Return the stage that folds records and business events into conversations."""
    return FoldHandler(
        "converse",
        CONVERSE_TOPICS,
        _decode_record,
        fold,
        STATE_TOPICS,
        states,
        clock=clock,
        samples=lambda: samples_of(CONVERSE_TOPICS),
    )


def load_handler(warehouse: Warehouse, clock: Clock = utc_now) -> LoadHandler:
    """Return the stage that inserts all derived contracts into the warehouse."""
    return LoadHandler(
        "load",
        LOAD_TOPICS,
        decode_contract,
        warehouse,
        clock,
        samples=lambda: _decoded_samples(decode_contract, LOAD_TOPICS),
    )


def resolve_handler(
    warehouse: Warehouse, make_worker: Callable[[int], ModelWorker], clock: Clock = utc_now
) -> ResolveHandler:
    """Return the stage that joins labels with texts to examples and assesses the models on them.

    `make_worker` gets the offset of the first example to test the models on.
    """

    def prepare(labels: Sequence[Label]) -> Step[Label, Contract]:
        return Resolve(labelled_texts(warehouse, [label.record_id for label in labels]))

    labels = StepHandler(
        "resolve",
        (LABELS.name,),
        _decode_label,
        prepare,
        clock=clock,
        samples=lambda: _decoded_samples(_decode_label, (LABELS.name,)),
    )
    return ResolveHandler(labels, make_worker, RESOLVE_TOPICS, clock)


def samples_of(topics: Sequence[str]) -> list[LogRecord]:
    """Return records of derived topics that a sound release handles."""
    # It imports all of enrich, which workers of other stages almost never need.
    from pipeline.runtime.trial_records import trial_records

    return trial_records(topics)


def _warm_up(step: Step[IncomingEvent, Contract], ctx: Context) -> None:
    from pipeline.runtime.sample_events import sample_events

    try:
        run_checked(step, sample_events(), ctx)
    except Exception as error:
        raise TooManyErrorsError(
            f"enrich fails on the program's own samples ({error!r}); nothing is committed: fix the"
            " cause, then restart"
        ) from error


def _decoded_samples(decode: Callable[[LogRecord], T | Reject], topics: Sequence[str]) -> list[T]:
    """Return the samples of topics; raises ValueError if decoding rejects one."""
    samples: list[T] = []
    for record in samples_of(topics):
        item = decode(record)
        if isinstance(item, Reject):
            raise ValueError(f"the sample of {record.topic} was rejected: {item.detail}")
        samples.append(item)
    return samples


def _decode_record(record: LogRecord) -> RecordView | Contract | Reject:
    """Return the few fields of a record that converse reads, or its rejection by the contract."""
    if record.topic == RECORDS.name:
        try:
            return RecordView.from_json(record.value)
        except ValueError:
            logger.warning(
                "Record %s/%d@%d lacks fields that enrich writes; it is checked by its contract",
                record.topic,
                record.partition,
                record.offset,
            )
    return decode_contract(record)


def decode_contract(record: LogRecord) -> Contract | Reject:
    """Return the contract of a derived topic's record, which a header names, or its rejection."""
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
    return Reject(RejectCode.UNKNOWN_TYPE, f"a {type(label).__name__} is not a label")


def labelled_texts(warehouse: Warehouse, record_ids: Sequence[UUID]) -> dict[UUID, LabelledText]:
    """Return the texts that models read, of those records that the history has."""
    if not record_ids:
        return {}
    history = rows(
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
        for row in history
    }
    return texts | _feedback_texts(
        warehouse, [record_id for record_id in record_ids if record_id not in texts]
    )


def _feedback_texts(warehouse: Warehouse, record_ids: Sequence[UUID]) -> dict[UUID, LabelledText]:
    """Return the redacted comments of feedback records."""
    if not record_ids:
        return {}
    from pipeline.processors.clean.language import detect_language
    from pipeline.processors.redact import redact_text

    feedback = rows(
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
        for row in feedback
    }

"""Builds records for the fold converse, and keeps its rows as the warehouse does."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pipeline.models.replica import Replica
from pipeline.outcomes import Context, Emit
from pipeline.processors.converse.business_hours import BusinessHours, parse_hours, to_ms
from pipeline.processors.converse.converse import Converse, ConverseInput
from pipeline.processors.converse.record_view import CallView, RecordView
from pipeline.processors.converse.service_rules import ServicePromises, ServiceRules
from pipeline.processors.converse.state import ConverseState
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.envelope import stable_id
from schemas.types import Contract

ZONE = ZoneInfo("Asia/Shanghai")
HOURS = parse_hours(("Mon-Fri 09:00-18:00", "Sat 10:00-16:00"), ZONE)
PROMISES = ServicePromises(
    {"default": 3_600, "email": 4 * 3_600.0, "social": None}, {"chat": 1_800}
)


def converse_fold(
    hours: BusinessHours | None, promises: ServicePromises, bots: Iterable[str] = ()
) -> Converse:
    """Return the fold as the settings build it; without hours, no business hours are set."""
    return Converse(ServiceRules(hours, promises, ZONE, frozenset(bots)))


FOLD = converse_fold(HOURS, PROMISES, ("小茗",))
# A Thursday, ten in the morning in Shanghai.
START = datetime(2026, 11, 19, 2, 0, tzinfo=UTC)
CUSTOMER = str(stable_id("customer", "test"))
_IDS = {
    Conversation: "part_id",
    ConversationFact: "fact_id",
    FollowUp: "followup_id",
    RecordFlag: "flag_id",
}

Rows = dict[UUID, Contract]


def ctx() -> Context:
    """Return a context; converse reads neither its clock nor its models."""
    return Context(datetime(2026, 11, 22, tzinfo=UTC), Replica().classifier())


def at(minutes: float) -> datetime:
    """Return the instant so many minutes after the start."""
    return START + timedelta(minutes=minutes)


def conversation_id(name: str = "c1") -> str:
    """Return a conversation's id by a short name."""
    return str(stable_id("conversation", "test", name))


def record_id(name: str) -> str:
    """Return a record's id by a short name."""
    return str(stable_id("record", "test", name))


def message(
    name: str,
    minutes: float,
    text: str = "",
    *,
    say: str = "in",
    conversation: str = "c1",
    **more: Any,
) -> RecordView:
    """Return a message so many minutes after the start; `say` is in, out, bot or system."""
    at = to_ms(START) + round(minutes * 60_000)
    base = RecordView(
        record_id=record_id(name),
        tenant="test",
        source="shop/web",
        customer_id=CUSTOMER,
        contact="id:C-1",
        conversation_id=conversation_id(conversation),
        occurred_at=at,
        received_at=at,
        channel="chat",
        kind="system" if say == "system" else "message",
        direction={"in": "inbound", "system": "internal"}.get(say, "outbound"),
        message_id=name,
        in_reply_to="",
        references=(),
        subject="",
        reply_text=text,
        staff={"out": "agent-1", "bot": "bot"}.get(say, ""),
        result="",
        campaign="",
        auto_kind="bot" if say == "bot" else None,
    )
    return replace(base, **more)


def replace(record: RecordView, **fields: Any) -> RecordView:
    """Return a record with other values of some fields."""
    return record.model_copy(update=fields)


def call(
    name: str, minutes: float, talk_s: float | None, *, say: str = "in", **more: Any
) -> RecordView:
    """Return a call that rang ten seconds before it was answered.

    Nobody answered it if `talk_s` is None.
    """
    record = message(name, minutes, say=say, conversation=name, channel="call", kind="call", **more)
    if talk_s is None:
        return replace(record, call=CallView(disposition="no_answer"))
    answered_at = record.occurred_at + 10_000
    return replace(
        record, call=CallView(disposition="answered", answered_at=answered_at, talk_s=talk_s)
    )


def mail(name: str, minutes: float, *references: str, conversation: str) -> RecordView:
    """Return a mail of a customer that refers to others by their message ids."""
    return message(
        name,
        minutes,
        "x",
        conversation=conversation,
        channel="email",
        references=references,
        subject="Kettle",
    )


def fold_batch(
    state: ConverseState, batch: Sequence[ConverseInput], fold: Converse = FOLD
) -> tuple[ConverseState, list[Contract]]:
    """Fold a batch, through the bytes of the state as a host does.

    Returns the new state and the emitted rows.
    """
    after, outcomes = fold(fold.load(fold.dump(state)), batch, ctx())
    assert len(outcomes) == len(batch)
    emitted = [
        output.value
        for outcome in outcomes
        if isinstance(outcome, Emit)
        for output in outcome.outputs
    ]
    return after, emitted


def upsert(rows: Rows, emitted: Iterable[Contract]) -> None:
    """Write rows over earlier rows with the same id."""
    for contract in emitted:
        rows[getattr(contract, _IDS[type(contract)])] = contract


def current_rows(rows: Rows) -> Rows:
    """Return the rows that are not retracted, which are those that views show."""
    return {key: row for key, row in rows.items() if not getattr(row, "retracted")}  # noqa: B009


def fold_batches(
    batches: Iterable[Sequence[ConverseInput]], fold: Converse = FOLD
) -> tuple[ConverseState, Rows]:
    """Fold batches in order; return the last state and the current rows."""
    state = fold.empty()
    rows: Rows = {}
    for batch in batches:
        state, emitted = fold_batch(state, batch, fold)
        upsert(rows, emitted)
    return state, current_rows(rows)


def rows_of_kind(rows: Rows, kind: type[Contract], /, **having: Any) -> list[Any]:
    """Return the rows of one contract with these values, in the order of their times."""
    found = [row for row in rows.values() if isinstance(row, kind)]
    found = [
        row for row in found if all(getattr(row, name) == value for name, value in having.items())
    ]
    return sorted(
        found,
        key=lambda row: str(
            getattr(row, "occurred_at", getattr(row, "opened_at", getattr(row, "promised_at", "")))
        ),
    )

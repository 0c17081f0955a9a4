"""Conversations: waiting, answered, closed and reopened; response times; business events."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from pipeline.outcomes import Emit
from pipeline.processors.converse.record_view import RecordView
from pipeline.processors.converse.rows import fact_id
from pipeline.processors.converse.service_rules import ServicePromises
from schemas.conversations import Conversation, ConversationFact
from schemas.envelope import stable_id
from schemas.records import BusinessRecord, Delivery
from tests.support.conversing import (
    FOLD,
    START,
    ZONE,
    at,
    call,
    conversation_id,
    converse_fold,
    ctx,
    fold_batch,
    fold_batches,
    message,
    replace,
    rows_of_kind,
)


def conversation(*records: RecordView, name: str = "c1") -> Conversation:
    _, rows = fold_batches([records])
    (found,) = [
        one
        for one in rows_of_kind(rows, Conversation)
        if str(one.conversation_id) == conversation_id(name)
    ]
    return found  # type: ignore[no-any-return]


def facts(*records: RecordView, **having: Any) -> list[tuple[str, str]]:
    _, rows = fold_batches([records])
    return [(one.kind, one.actor) for one in rows_of_kind(rows, ConversationFact, **having)]


def test_a_customer_waits_from_the_first_unanswered_message() -> None:
    row = conversation(message("a", 0, "在吗"), message("b", 5, "有人吗"))
    assert (row.state, row.waiting_since, row.last_customer_at) == ("waiting", at(0), at(5))
    row = conversation(
        message("a", 0, "在吗"), message("b", 5, "在的", say="out"), message("c", 7, "多少钱")
    )
    assert (row.state, row.waiting_since, row.last_human_at) == ("waiting", at(7), at(5))


@pytest.mark.parametrize("say", ["bot", "system"])
def test_bots_and_the_platform_do_not_answer(say: str) -> None:
    assert (
        conversation(message("a", 0, "在吗"), message("b", 1, "请稍候", say=say)).state == "waiting"
    )
    assert (
        conversation(
            message("a", 0, "在吗"), message("b", 1, "客户很急", say="out", kind="note")
        ).state
        == "waiting"
    )


def test_a_courtesy_needs_no_answer() -> None:
    answered = [message("a", 0, "在吗"), message("b", 5, "在的", say="out")]
    assert conversation(*answered, message("c", 6, "好的，谢谢")).state == "answered"
    closed = replace(answered[1], result="resolved")
    assert conversation(answered[0], closed, message("c", 6, "谢谢")).state == "closed"


def test_a_customer_message_after_closing_reopens() -> None:
    items = (
        message("a", 0, "在吗"),
        message("b", 5, "已寄出", say="out", result="resolved"),
        message("c", 60, "还没收到"),
    )
    row = conversation(*items)
    assert (row.state, row.episodes, row.closed_at, row.waiting_since) == (
        "waiting",
        2,
        None,
        at(60),
    )
    assert ("reopened", "customer") in facts(*items)
    assert ("reopened", "customer") not in facts(*items[:2])


def test_a_late_closing_adds_a_reopening_and_its_correction_retracts_it() -> None:
    first, last = message("a", 0, "在吗"), message("c", 60, "还没收到")
    closing = message("b", 5, "已寄出", say="out", result="resolved")
    state, emitted = fold_batch(FOLD.empty(), [first, last])
    state, emitted = fold_batch(state, [closing])
    (reopened,) = [
        one for one in emitted if isinstance(one, ConversationFact) and one.kind == "reopened"
    ]
    assert (str(reopened.record_id), reopened.retracted) == (last.record_id, False)
    state, emitted = fold_batch(state, [replace(closing, result="answered")])
    retracted = {(one.kind, one.retracted) for one in emitted if isinstance(one, ConversationFact)}
    assert {("reopened", True), ("closed", True), ("agent_message", False)} <= retracted


def test_a_reopening_that_moves_to_another_conversation_is_retracted() -> None:
    items = [message("a", 0, "在吗", result="resolved"), message("r", 60, "还没收到")]
    other = [message(f"o{n}", n, "你好", conversation="c2") for n in range(6)]
    _, rows = fold_batches(
        [items, other, [replace(items[1], conversation_id=conversation_id("c2"))]]
    )
    assert rows_of_kind(rows, ConversationFact, kind="reopened") == []


def test_answered_calls_are_messages_of_both_sides() -> None:
    assert facts(call("a", 0, 60), kind="customer_message") == [("customer_message", "customer")]
    assert facts(call("a", 0, 60), kind="agent_message") == [("agent_message", "human")]
    assert conversation(call("a", 0, 60), name="a").state == "answered"
    missed = call("a", 0, None)
    assert conversation(missed, name="a").state == "waiting"
    back = replace(call("b", 9, 30, say="out"), conversation_id=missed.conversation_id)
    assert conversation(missed, back, name="a").state == "answered"
    in_vain = replace(call("b", 9, None, say="out"), conversation_id=missed.conversation_id)
    assert conversation(missed, in_vain, name="a").state == "waiting"


def test_a_call_is_answered_when_it_is_picked_up() -> None:
    _, rows = fold_batches([[call("a", 0, 60)]])
    (answer,) = rows_of_kind(rows, ConversationFact, kind="agent_message")
    assert (answer.occurred_at, answer.talk_s, answer.detail) == (
        START + timedelta(seconds=10),
        60,
        "call_answered",
    )


def test_moving_a_record_to_another_conversation_removes_the_first_one() -> None:
    _state, _emitted = fold_batch(FOLD.empty(), [message("a", 0, "在吗")])
    _, rows = fold_batches(
        [[message("a", 0, "在吗")], [message("a", 0, "在吗", conversation="c2")]]
    )
    assert {str(one.conversation_id) for one in rows.values()} == {conversation_id("c2")}  # type: ignore[attr-defined]


def test_responses_are_due_in_business_time() -> None:
    evening = (18 - 10) * 60 - 30
    row = conversation(message("a", evening, "在吗"))
    # Half an hour before closing on a Thursday: the other half of the promised hour is on Friday
    # morning.
    assert row.first_response_due_at == datetime(2026, 11, 20, 9, 30, tzinfo=ZONE)
    assert row.next_response_due_at is None
    row = conversation(
        message("a", 0, "在吗"), message("b", 1, "在的", say="out"), message("c", 2, "多少钱")
    )
    assert (row.first_response_due_at, row.next_response_due_at) == (None, at(32))


def test_without_hours_promises_count_all_hours() -> None:
    assert conversation(message("a", 0, "在吗", channel="social")).first_response_due_at is None
    fold = converse_fold(None, ServicePromises({"default": 3_600}))
    _, rows = fold_batches([[message("a", 12 * 60, "在吗")]], fold)
    (row,) = rows_of_kind(rows, Conversation)
    assert row.first_response_due_at == at(13 * 60)
    (fact,) = rows_of_kind(rows, ConversationFact, kind="customer_message")
    assert fact.business_s is None


def test_business_time_between_facts_is_the_difference_of_business_s() -> None:
    _, rows = fold_batches(
        [[message("a", 7 * 60, "在吗"), message("b", 23 * 60 + 60, "在的", say="out")]]
    )
    (asked,) = rows_of_kind(rows, ConversationFact, kind="customer_message")
    (answered,) = rows_of_kind(rows, ConversationFact, kind="agent_message")
    assert answered.business_s - asked.business_s == 2 * 3_600


def business(kind: str, action: str, **more: Any) -> BusinessRecord:
    return BusinessRecord(
        record_id=stable_id("record", kind, action),
        source="shop/web",
        event_id="1",
        event_type=f"crm.{kind}.{action}",
        occurred_at=START,
        received_at=START,
        delivery=Delivery(sha256=""),
        kind=kind,
        action=action,
        **more,
    )


def test_ratings_and_complaints_are_facts_without_state() -> None:
    batch = [
        business("feedback", "given", rating_index=75.0, conversation="kf-1"),
        business("complaint", "closed", entity_id="K-1", result="refunded", conversation="kf-1"),
        business("order", "paid"),
        business("feedback", "given"),
    ]
    state, outcomes = FOLD(FOLD.empty(), batch, ctx())
    assert state == FOLD.empty()
    emitted = [
        [output.value.kind for output in one.outputs] if isinstance(one, Emit) else one
        for one in outcomes
    ]  # type: ignore[attr-defined]
    assert emitted[:2] == [["rated"], ["complaint_closed", "closed"]]
    rated = outcomes[0].outputs[0].value  # type: ignore[union-attr]
    assert isinstance(rated, ConversationFact)
    assert rated.conversation_id == stable_id(
        "conversation", "default", "platform", "shop/web", "kf-1"
    )
    assert not isinstance(outcomes[2], Emit)
    assert not isinstance(outcomes[3], Emit)


def test_fact_ids_equal_stable_ids() -> None:
    assert fact_id("promise", "abc", "0") == stable_id("fact", "promise", "abc", "0")
    assert fact_id("closed", "长") == stable_id("fact", "closed", "长")


def test_a_long_subject_is_cut_visibly_and_the_state_stays_small() -> None:
    records = [
        message(f"m{number}", number, "I will call you tomorrow", say="out", **long)
        for number in range(20)
        for long in ({"subject": "s" * 20_000, "staff": "x" * 20_000},)
    ]
    state, rows = fold_batches([records])
    (found,) = rows_of_kind(rows, Conversation)
    assert found.subject == "s" * 999 + "…"
    assert len(FOLD.dump(state)) < 100_000


def test_a_record_costs_the_same_in_a_short_and_a_long_conversation() -> None:
    def calls(count: int) -> int:
        state = FOLD.empty()
        for start in range(0, count, 100):
            batch = [message(f"m{n}", n, "hello", say="in") for n in range(start, start + 100)]
            state, _ = fold_batch(state, batch)
        return len(FOLD.dump(state))

    assert calls(2_000) < calls(400) * 1.1


def test_conversations_of_one_batch_are_each_summarized() -> None:
    """A batch of many conversations, two records each and the later one first."""
    records = [
        message(f"{part}{number}", minutes, "hello", conversation=f"c{number}")
        for part, minutes in (("b", 5), ("a", 1))
        for number in range(50)
    ]
    _, rows = fold_batches([records])
    found = rows_of_kind(rows, Conversation)
    assert len(found) == 50
    assert {one.opened_at for one in found} == {at(1)}

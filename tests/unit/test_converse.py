"""The rules of converse, one by one: who speaks, what opens, closes and reopens, follow-ups kept,
flags, links, service promises.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.outcomes import Emit
from pipeline.processors.converse.rows import fact_id
from pipeline.processors.converse.record_view import RecordView
from pipeline.processors.converse.roles import assignee, closing_reason, role_of
from pipeline.processors.converse.service_rules import ServicePromises
from pipeline.processors.converse.similarity import is_courtesy, words_of
from pipeline.reporting.followups import followup_counts, followups
from pipeline.sinks import migrations as migrations
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.row_mapping import columns_of
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import rows
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.envelope import stable_id
from schemas.records import BusinessRecord, Delivery
from tests.support.conversing import (
    FOLD,
    START,
    ZONE,
    call,
    converse_fold,
    ctx,
    folded,
    outputs,
    record,
    rows_of_kind,
    seen,
    thread,
)

LONG = "我上周买的旅行壶盖子裂了，麻烦给我退款，谢谢你们了"
NEARLY = "我上周买的旅行壶盖子裂了，麻烦给我退款吧，谢谢你们了"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def conversation(*records: RecordView, name: str = "c1") -> Conversation:
    _, rows = folded([records])
    (found,) = [
        one for one in rows_of_kind(rows, Conversation) if str(one.conversation_id) == thread(name)
    ]
    return found  # type: ignore[no-any-return]


def facts(*records: RecordView, **having: Any) -> list[tuple[str, str]]:
    _, rows = folded([records])
    return [(one.kind, one.actor) for one in rows_of_kind(rows, ConversationFact, **having)]


def flags(*records: RecordView) -> dict[tuple[str, str], tuple[str | None, float | None]]:
    _, found = folded([records])
    names = {record(one.message_id): one.message_id for one in records}
    return {
        (names[str(one.record_id)], one.flag): (names.get(str(one.other_record_id)), one.value)
        for one in rows_of_kind(found, RecordFlag)
    }


# who speaks


@pytest.mark.parametrize(
    ("one", "role"),
    [
        (seen("a", 0, "在吗"), "ask"),
        (seen("a", 0, "谢谢！"), "courtesy"),
        (seen("a", 0, "OK, thanks."), "courtesy"),
        (seen("a", 0, "👍"), "courtesy"),
        (seen("a", 0, ""), "ask"),
        (seen("a", 0, "I am away", auto_kind="ooo"), "none"),
        (seen("a", 0, "newsletter", auto_kind="bulk"), "none"),
        (seen("a", 0, "您好", say="out"), "human"),
        (seen("a", 0, "您好", say="bot"), "bot"),
        (seen("a", 0, "您好", say="out", staff="小茗"), "bot"),
        (seen("a", 0, "您好", say="out", staff="WelcomeBot v2"), "bot"),
        (seen("a", 0, "您好", say="out", staff="support-bot"), "bot"),
        (seen("a", 0, "您好", say="out", staff="Abbott"), "human"),
        (seen("a", 0, "您好", say="out", staff="智能客服"), "bot"),
        (seen("a", 0, "shipped", say="out", staff="system"), "auto"),
        (seen("a", 0, "received", say="out", auto_kind="ack"), "auto"),
        (seen("a", 0, "sale!", say="out", staff="", campaign="autumn"), "auto"),
        (seen("a", 0, "our offer", say="out", campaign="autumn"), "human"),
        (seen("a", 0, "careful", say="out", kind="note"), "none"),
        (seen("a", 0, "x", say="system"), "none"),
        (call("a", 0, 60), "talk"),
        (call("a", 0, None), "ask"),
        (replace(call("a", 0, 60), disposition="voicemail"), "ask"),
        (call("a", 0, 60, say="out"), "human"),
        (call("a", 0, None, say="out"), "none"),
    ],
)
def test_who_speaks(one: RecordView, role: str) -> None:
    courtesy = one.disposition is None and is_courtesy(words_of(one.text), bool(one.text))
    assert role_of(one, courtesy, frozenset({"小茗"})) == role


@pytest.mark.parametrize(
    ("one", "closes"),
    [
        (seen("a", 0, "x", result="resolved"), True),
        (seen("a", 0, "x", result=" 已解决 "), True),
        (seen("a", 0, "x", result="answered"), False),
        (seen("a", 0, "会话已结束", say="system"), True),
        (seen("a", 0, "Conversation was marked as resolved by Wei", say="system"), True),
        (seen("a", 0, "This chat has ended.", say="system"), True),
        (seen("a", 0, "工单已关闭", say="system"), True),
        (seen("a", 0, "Conversation was reopened, it had been closed", say="system"), False),
        (seen("a", 0, "会话未结束", say="system"), False),
        (seen("a", 0, "is the shop closed? chat closed", say="in"), False),
    ],
)
def test_what_closes(one: RecordView, closes: bool) -> None:
    assert bool(closing_reason(one)) is closes


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("周敏 将会话转接给 陈惠", "陈惠"),
        ("Conversation assigned to Wei", "Wei"),
        ("Chat transferred to sales", "sales"),
        ("Kevin joined the chat", "Kevin"),
        ("会话已分配给陈惠", "陈惠"),
        ("Wei renamed the group", ""),
    ],
)
def test_to_whom_a_conversation_is_given(text: str, name: str) -> None:
    assert assignee(seen("a", 0, text, say="system")) == name
    assert assignee(seen("a", 0, text)) == ""


# conversations


def test_a_customer_waits_from_the_first_unanswered_message() -> None:
    row = conversation(seen("a", 0, "在吗"), seen("b", 5, "有人吗"))
    assert (row.state, row.waiting_since, row.last_customer_at) == ("waiting", at(0), at(5))
    row = conversation(
        seen("a", 0, "在吗"), seen("b", 5, "在的", say="out"), seen("c", 7, "多少钱")
    )
    assert (row.state, row.waiting_since, row.last_human_at) == ("waiting", at(7), at(5))


@pytest.mark.parametrize("say", ["bot", "system"])
def test_neither_bots_nor_the_platform_answer(say: str) -> None:
    assert conversation(seen("a", 0, "在吗"), seen("b", 1, "请稍候", say=say)).state == "waiting"
    assert (
        conversation(seen("a", 0, "在吗"), seen("b", 1, "客户很急", say="out", kind="note")).state
        == "waiting"
    )


def test_a_bare_thanks_asks_for_nothing() -> None:
    answered = [seen("a", 0, "在吗"), seen("b", 5, "在的", say="out")]
    assert conversation(*answered, seen("c", 6, "好的，谢谢")).state == "answered"
    closed = replace(answered[1], result="resolved")
    assert conversation(answered[0], closed, seen("c", 6, "谢谢")).state == "closed"


def test_a_customer_message_after_closing_reopens() -> None:
    items = (
        seen("a", 0, "在吗"),
        seen("b", 5, "已寄出", say="out", result="resolved"),
        seen("c", 60, "还没收到"),
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


def test_a_late_closing_makes_a_message_a_reopening_and_a_correction_unmakes_it() -> None:
    first, last = seen("a", 0, "在吗"), seen("c", 60, "还没收到")
    closing = seen("b", 5, "已寄出", say="out", result="resolved")
    state, told = outputs(FOLD.empty(), [first, last])
    state, told = outputs(state, [closing])
    (reopened,) = [
        one for one in told if isinstance(one, ConversationFact) and one.kind == "reopened"
    ]
    assert (str(reopened.record_id), reopened.retracted) == (last.record_id, False)
    state, told = outputs(state, [replace(closing, result="answered")])
    retracted = {(one.kind, one.retracted) for one in told if isinstance(one, ConversationFact)}
    assert {("reopened", True), ("closed", True), ("agent_message", False)} <= retracted


def test_a_reopening_that_moves_to_another_conversation_is_taken_back() -> None:
    items = [seen("a", 0, "在吗", result="resolved"), seen("r", 60, "还没收到")]
    other = [seen(f"o{n}", n, "你好", conversation="c2") for n in range(6)]
    _, rows = folded([items, other, [replace(items[1], conversation_id=thread("c2"))]])
    assert rows_of_kind(rows, ConversationFact, kind="reopened") == []


def test_calls_are_messages_of_one_side_or_both() -> None:
    assert facts(call("a", 0, 60), kind="customer_message") == [("customer_message", "customer")]
    assert facts(call("a", 0, 60), kind="agent_message") == [("agent_message", "human")]
    assert conversation(call("a", 0, 60), name="a").state == "answered"
    missed = call("a", 0, None)
    assert conversation(missed, name="a").state == "waiting"
    back = replace(call("b", 9, 30, say="out"), conversation_id=missed.conversation_id)
    assert conversation(missed, back, name="a").state == "answered"
    in_vain = replace(call("b", 9, None, say="out"), conversation_id=missed.conversation_id)
    assert conversation(missed, in_vain, name="a").state == "waiting"


def test_an_answered_call_is_answered_when_it_is_picked_up() -> None:
    _, rows = folded([[call("a", 0, 60)]])
    (answer,) = rows_of_kind(rows, ConversationFact, kind="agent_message")
    assert (answer.occurred_at, answer.talk_s, answer.detail) == (
        START + timedelta(seconds=10),
        60,
        "call_answered",
    )


def test_a_correction_to_another_conversation_leaves_nothing_of_the_first() -> None:
    _state, _told = outputs(FOLD.empty(), [seen("a", 0, "在吗")])
    _, rows = folded([[seen("a", 0, "在吗")], [seen("a", 0, "在吗", conversation="c2")]])
    assert {str(one.conversation_id) for one in rows.values()} == {thread("c2")}  # type: ignore[attr-defined]


# service promises


def test_a_first_and_a_later_response_are_due_in_business_time() -> None:
    evening = (18 - 10) * 60 - 30
    row = conversation(seen("a", evening, "在吗"))
    # Half an hour before closing on a Thursday: the other half of the promised hour is on Friday
    # morning.
    assert row.first_response_due_at == datetime(2026, 11, 20, 9, 30, tzinfo=ZONE)
    assert row.next_response_due_at is None
    row = conversation(
        seen("a", 0, "在吗"), seen("b", 1, "在的", say="out"), seen("c", 2, "多少钱")
    )
    assert (row.first_response_due_at, row.next_response_due_at) == (None, at(32))


def test_a_channel_without_a_promise_has_no_due_time_and_no_hours_mean_the_calendar() -> None:
    assert conversation(seen("a", 0, "在吗", channel="social")).first_response_due_at is None
    fold = converse_fold(None, ServicePromises({"default": 3_600}))
    _, rows = folded([[seen("a", 12 * 60, "在吗")]], fold)
    (row,) = rows_of_kind(rows, Conversation)
    assert row.first_response_due_at == at(13 * 60)
    (fact,) = rows_of_kind(rows, ConversationFact, kind="customer_message")
    assert fact.business_s is None


def test_business_time_between_facts_is_the_difference_of_their_clocks() -> None:
    _, rows = folded([[seen("a", 7 * 60, "在吗"), seen("b", 23 * 60 + 60, "在的", say="out")]])
    (asked,) = rows_of_kind(rows, ConversationFact, kind="customer_message")
    (answered,) = rows_of_kind(rows, ConversationFact, kind="agent_message")
    assert answered.business_s - asked.business_s == 2 * 3_600


# follow-ups

PROMISE = seen("p", 0, "I will call you back tomorrow.", say="out")


def followup(*records: RecordView) -> FollowUp:
    _, rows = folded([records])
    (found,) = rows_of_kind(rows, FollowUp)
    return found  # type: ignore[no-any-return]


def test_a_promise_stays_open_until_somebody_gets_back() -> None:
    one = followup(PROMISE, seen("a", 5, "ok, thanks"), seen("b", 6, "You are welcome!", say="out"))
    assert (one.kind, one.way, one.fulfilled_at) == ("promised", "call", None)
    assert one.due_at == datetime(2026, 11, 20, 18, tzinfo=ZONE)


def test_a_call_fulfils_a_promised_call_and_a_later_message_too() -> None:
    called = call("c", 60, 30, say="out")
    assert followup(PROMISE, called).fulfilled_at == at(60)
    assert followup(PROMISE, call("c", 60, None, say="out")).fulfilled_at is None
    assert followup(PROMISE, seen("m", 60, "still looking", say="out")).fulfilled_at is None
    written = seen("m", 24 * 60, "It is in stock.", say="out")
    assert str(followup(PROMISE, written).fulfilled_by) == record("m")
    assert str(followup(PROMISE, written, called).fulfilled_by) == record("c")


def test_neither_bots_nor_automatic_mail_fulfil_a_promise() -> None:
    bot = seen("b", 25 * 60, "您好", say="bot")
    assert (
        followup(
            PROMISE, bot, seen("n", 25 * 60, "called him", say="out", kind="note")
        ).fulfilled_at
        is None
    )


def test_what_belongs_to_the_same_turn_is_no_fulfilment() -> None:
    promise = seen("p", 0, "明天给您答复。", say="out")
    assert followup(promise, seen("m", 1, "还有其他问题吗", say="out")).fulfilled_at is None
    assert followup(promise, seen("m", 30, "查到了，有货", say="out")).fulfilled_at == at(30)


def test_a_request_of_a_customer_is_one_and_a_bots_promise_is_none() -> None:
    one = followup(seen("r", 0, "麻烦周一下午给我回电话"))
    assert (one.kind, one.way, one.due_stated) == ("requested", "call", True)
    assert one.due_at == datetime(2026, 11, 23, 18, tzinfo=ZONE)
    _, rows = folded([[seen("b", 0, "我们会尽快联系您", say="bot"), seen("c", 1, "明天给您回电")]])
    assert rows_of_kind(rows, FollowUp) == []


def test_a_fulfilment_that_moves_away_is_taken_back() -> None:
    written = seen("m", 24 * 60, "It is in stock.", say="out")
    _, rows = folded([[PROMISE, written], [replace(written, kind="note")]])
    (one,) = rows_of_kind(rows, FollowUp)
    assert one.fulfilled_at is None


def test_a_promise_that_a_correction_takes_out_is_retracted() -> None:
    _, rows = folded([[PROMISE], [replace(PROMISE, text="I called you back yesterday.")]])
    assert rows_of_kind(rows, FollowUp) == []
    assert rows_of_kind(rows, ConversationFact, kind="promise") == []


# flags


def test_the_same_text_again_is_a_duplicate_of_the_first() -> None:
    items = (
        seen("a", 0, LONG),
        seen("b", 1, LONG + "！", conversation="c2"),
        seen("c", 2, f" {LONG}"),
    )
    assert flags(*items) == {("b", "duplicate_of"): ("a", None), ("c", "duplicate_of"): ("a", None)}


@pytest.mark.parametrize("text", ["好的", "ok", "thanks", "在吗", "谢谢"])
def test_short_texts_are_never_duplicates(text: str) -> None:
    assert flags(seen("a", 0, text), seen("b", 1, text)) == {}


def test_the_same_text_on_another_day_or_by_the_other_side_is_none() -> None:
    assert flags(seen("a", 0, LONG), seen("b", 1_500, LONG)) == {}
    assert flags(seen("a", 0, LONG), seen("b", 1, LONG, say="out")) == {}
    greeting = "您好，这里是惠茗茶器，请问有什么可以帮您"
    assert flags(seen("a", 0, greeting, say="out"), seen("b", 60, greeting, say="out")) == {}
    assert ("b", "duplicate_of") in flags(
        seen("a", 0, greeting, say="out"), seen("b", 1, greeting, say="out")
    )


def test_nearly_the_same_text_is_told_with_its_likeness() -> None:
    ((key, (other, value)),) = flags(seen("a", 0, LONG), seen("b", 1, NEARLY)).items()
    assert (key, other) == (("b", "near_duplicate"), "a")
    assert value is not None
    assert 0.85 < value < 1
    english = (
        "The lid of the travel kettle that I bought last week is cracked and I want my money back"
    )
    ((key, _),) = flags(
        seen("a", 0, english), seen("b", 1, english.replace("that", "which"))
    ).items()
    assert key == ("b", "near_duplicate")
    assert (
        flags(
            seen("a", 0, LONG), seen("b", 1, "请问你们的店周日几点开门，可以带自己的杯子来吗谢谢")
        )
        == {}
    )


def test_an_earlier_twin_that_comes_later_takes_the_flag_over() -> None:
    a, b, c = seen("a", 0, LONG), seen("b", 1, LONG), seen("c", 2, LONG)
    _, rows = folded([[b, c], [a]])
    assert {
        str(one.other_record_id) for one in rows_of_kind(rows, RecordFlag, flag="duplicate_of")
    } == {a.record_id}


def test_a_call_or_text_far_from_the_usual_is_an_outlier() -> None:
    usual = [call(f"u{n}", n, 100 + n % 7) for n in range(20)]
    assert set(flags(*usual, call("x", 30, 7_000))) == {("x", "outlier")}
    assert set(flags(*usual, call("x", 30, 2))) == {("x", "outlier")}
    assert flags(*usual, call("x", 30, 180)) == {}
    assert flags(*usual[:5], call("x", 30, 7_000)) == {}
    texts = [seen(f"t{n}", n, f"第{n}个问题是关于茶壶的" + "嘛" * (n % 5)) for n in range(20)]
    assert ("x", "outlier") in flags(
        *texts, seen("x", 30, "".join(chr(0x4E00 + n * 7) for n in range(1_500)))
    )
    assert ("x", "outlier") not in flags(*texts, seen("x", 30, "嗯"))


def test_what_comes_well_after_a_later_record_is_late() -> None:
    a, b = seen("a", 0, "在吗"), seen("b", 5, "在的", say="out")
    hour = 3_600_000
    assert flags(replace(a, received_ms=a.occurred_ms + hour), b) == {("a", "late"): ("b", 55 * 60)}
    assert flags(replace(a, received_ms=b.received_ms + 60_000), b) == {}
    assert (
        flags(
            replace(a, received_ms=a.occurred_ms + hour), replace(b, conversation_id=thread("c2"))
        )
        == {}
    )


# links


def mail(name: str, minutes: float, *references: str, conversation: str) -> RecordView:
    return seen(
        name,
        minutes,
        "x",
        conversation=conversation,
        channel="email",
        references=references,
        subject="Kettle",
    )


def merged(*batches: list[RecordView]) -> dict[str, str | None]:
    _, rows = folded(batches)
    names = {thread(name): name for name in ("root", "b", "c", "d")}
    found = rows_of_kind(rows, Conversation)
    return {
        names[str(one.conversation_id)]: one.merged_into and names[str(one.merged_into)]
        for one in found
    }


def test_threads_that_mails_name_across_are_one_conversation() -> None:
    root = mail("m1", 0, conversation="root")
    answer = mail("m2", 5, "m1", conversation="root")
    orphan = mail("m3", 9, "m2", conversation="b")
    stranger = mail("m9", 9, "m8", conversation="c")
    ids = sorted(("root", "b"), key=thread)
    wanted = {ids[0]: None, ids[1]: ids[0], "c": None}
    assert merged([root, answer, orphan, stranger]) == wanted
    assert merged([orphan], [stranger], [answer], [root]) == wanted


def test_two_mails_that_name_the_same_unseen_mail_are_one_conversation() -> None:
    ids = sorted(("c", "d"), key=thread)
    items = [
        mail("m3", 0, "lost", "x1", conversation="c"),
        mail("m4", 5, "x2", "lost", conversation="d"),
    ]
    assert merged(items) == {ids[0]: None, ids[1]: ids[0]}


def test_a_link_is_undone_where_the_mail_that_made_it_is_corrected() -> None:
    root, orphan = mail("m1", 0, conversation="root"), mail("m3", 9, "m1", conversation="b")
    reply = seen("h", 20, "answered", say="out", conversation="root")
    _state, rows = folded([[root, reply], [orphan], [replace(orphan, references=())]])
    found = {str(one.conversation_id): one for one in rows_of_kind(rows, Conversation)}
    assert {one.merged_into for one in found.values()} == {None}
    assert found[thread("root")].state == "answered"
    assert found[thread("b")].state == "waiting"


@pytest.mark.parametrize("swapped", [False, True])
def test_what_a_broken_link_leaves_behind_is_told_anew(swapped: bool) -> None:
    asked, other = sorted(("root", "b"), key=thread, reverse=swapped)
    ask, orphan = mail("m1", 0, conversation=asked), mail("m3", 9, "m1", conversation=other)
    reply = seen("h", 20, "answered", say="out", conversation=other)
    _, rows = folded([[ask, orphan, reply], [replace(orphan, references=())]])
    found = {str(one.conversation_id): one.state for one in rows_of_kind(rows, Conversation)}
    assert found == {thread(asked): "waiting", thread(other): "answered"}


def test_a_linked_conversation_waits_and_is_answered_as_one() -> None:
    root, orphan = mail("m1", 0, conversation="root"), mail("m3", 9, "m1", conversation="b")
    reply = seen("h", 20, "answered", say="out", conversation="root")
    _, rows = folded([[root], [orphan], [reply]])
    (whole,) = rows_of_kind(rows, Conversation, merged_into=None)
    assert (whole.state, whole.opened_at, whole.last_at) == ("answered", at(0), at(20))


def test_a_platforms_answer_to_an_answer_is_in_its_thread() -> None:
    first = seen("m2", 0, "x", conversation="root", in_reply_to="m1")
    second = seen("m3", 5, "x", conversation="b", in_reply_to="m2")
    assert set(merged([first, second]).values()) > {None}


# business events


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


def test_a_rating_and_a_complaint_are_facts_that_need_no_state() -> None:
    batch = [
        business("feedback", "given", rating_index=75.0, conversation="kf-1"),
        business("complaint", "closed", entity_id="K-1", result="refunded", conversation="kf-1"),
        business("order", "paid"),
        business("feedback", "given"),
    ]
    state, outcomes = FOLD(FOLD.empty(), batch, ctx())
    assert state == FOLD.empty()
    told = [
        [output.value.kind for output in one.outputs] if isinstance(one, Emit) else one
        for one in outcomes
    ]  # type: ignore[attr-defined]
    assert told[:2] == [["rated"], ["complaint_closed", "closed"]]
    rated = outcomes[0].outputs[0].value  # type: ignore[union-attr]
    assert isinstance(rated, ConversationFact)
    assert rated.conversation_id == stable_id(
        "conversation", "default", "platform", "shop/web", "kf-1"
    )
    assert not isinstance(outcomes[2], Emit)
    assert not isinstance(outcomes[3], Emit)


# views


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[ChdbWarehouse]:
    warehouse = ChdbWarehouse(tmp_path / "store")
    migrations.migrate(warehouse)
    yield warehouse
    warehouse.close()


def load(warehouse: ChdbWarehouse, told: list[Any], start: int = 1) -> None:
    for table, columns in columns_of(
        [VersionedContract.of(one, version) for version, one in enumerate(told, start)]
    ):
        warehouse.insert(table, columns)


def test_follow_ups_are_listed_overdue_first_and_kept_by_any_contact_point(
    warehouse: ChdbWarehouse,
) -> None:
    old = replace(
        seen("p1", -60 * 24 * 30, "明天给您答复。", say="out"), conversation_id=thread("x1")
    )
    kept = replace(
        seen("p2", -60 * 24 * 20, "明天给您答复。", say="out"), conversation_id=thread("x2")
    )
    soon = replace(
        seen("p3", 60 * 24 * 365 * 50, "I will call you back tomorrow.", say="out"),
        conversation_id=thread("x3"),
    )
    other = str(stable_id("customer", "other"))
    elsewhere = replace(
        seen("h", -60 * 24 * 19, "有货", say="out"),
        conversation_id=thread("x2"),
        customer_id=other,
        contact="phone:1",
    )
    contacts = {"p1": "a", "p2": "b", "p3": "c"}
    told: list[Any] = []
    for one in (old, kept, soon):
        mine = replace(one, customer_id=str(stable_id("customer", contacts[one.message_id])))
        told += outputs(FOLD.empty(), [mine])[1]
    told += outputs(FOLD.empty(), [elsewhere])[1]
    load(warehouse, told)
    found = followups(warehouse, zone="Asia/Shanghai")
    assert [(one["state"], one["record_id"]) for one in found] == [
        ("overdue", record("p1")),
        ("open", record("p3")),
    ]
    assert found[0]["due"].startswith("2026-10-21 18:00")
    assert [one["record_id"] for one in followups(warehouse, done=True)] == [record("p2")]
    assert [one["record_id"] for one in followups(warehouse, within_s=0)] == [record("p1")]
    assert followups(warehouse, staff="nobody") == []
    assert {(one["state"], one["followups"]) for one in followup_counts(warehouse)} == {
        ("overdue", 1),
        ("open", 1),
        ("kept", 1),
    }


def test_views_read_linked_threads_as_one_and_leave_out_what_was_retracted(
    warehouse: ChdbWarehouse,
) -> None:
    root, orphan = mail("m1", 0, conversation="root"), mail("m3", 9, "m1", conversation="b")
    reply = seen("h", 20, "answered", say="out", conversation="root", result="resolved")
    state, told = outputs(
        FOLD.empty(), [root, orphan, reply, seen("d1", 30, LONG), seen("d2", 31, LONG)]
    )
    load(warehouse, told)
    canonical = min(thread("root"), thread("b"))
    (linked,) = rows(
        warehouse,
        "SELECT conversation_id, state, customer_messages, subject FROM conversations WHERE subject"
        " != ''",
    )
    assert linked == {
        "conversation_id": canonical,
        "state": "closed",
        "customer_messages": 2,
        "subject": "Kettle",
    }
    assert len(rows(warehouse, "SELECT * FROM record_flags")) == 1
    _, more = outputs(
        state, [seen("d2", 31, "something else entirely"), replace(orphan, references=())]
    )
    load(warehouse, more, 1_000)
    assert rows(warehouse, "SELECT * FROM record_flags") == []
    assert rows(warehouse, "SELECT * FROM conversation_links") == []
    assert {
        one["conversation_id"]
        for one in rows(
            warehouse, "SELECT conversation_id FROM conversations WHERE channel = 'email'"
        )
    } == {
        thread("root"),
        thread("b"),
    }


def test_an_answered_conversation_closes_by_silence_and_a_waiting_one_never(
    warehouse: ChdbWarehouse,
) -> None:
    old = -60 * 24 * 300
    items = [
        seen("a", old, "在吗", conversation="c1"),
        seen("b", old + 5, "在的", say="out", conversation="c1"),
        seen("c", old, "在吗", conversation="c2"),
    ]
    load(warehouse, outputs(FOLD.empty(), items)[1])
    found = {one["conversation_id"]: one for one in rows(warehouse, "SELECT * FROM conversations")}
    assert (found[thread("c1")]["state"], found[thread("c1")]["closed_by"]) == ("closed", "silence")
    assert found[thread("c1")]["closed_at"].startswith(
        (at(old + 5)).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    )
    assert found[thread("c2")]["state"] == "waiting"
    assert found[thread("c2")]["breached"] is True
    assert found[thread("c2")]["resolution_first_s"] is None


def test_ids_are_those_of_stable_id() -> None:
    assert fact_id("promise", "abc", "0") == stable_id("fact", "promise", "abc", "0")
    assert fact_id("closed", "长") == stable_id("fact", "closed", "长")

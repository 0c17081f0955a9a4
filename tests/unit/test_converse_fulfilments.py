"""Follow-ups of a contact point: open, fulfilled and retracted."""

from datetime import datetime

from pipeline.processors.converse.record_view import RecordView
from schemas.conversations import ConversationFact, FollowUp
from tests.support.conversing import (
    ZONE,
    at,
    call,
    fold_batches,
    message,
    record_id,
    replace,
    rows_of_kind,
)

PROMISE = message("p", 0, "I will call you back tomorrow.", say="out")


def followup(*records: RecordView) -> FollowUp:
    _, rows = fold_batches([records])
    (found,) = rows_of_kind(rows, FollowUp)
    return found  # type: ignore[no-any-return]


def test_a_promise_stays_open_until_a_staff_member_gets_back() -> None:
    one = followup(
        PROMISE, message("a", 5, "ok, thanks"), message("b", 6, "You are welcome!", say="out")
    )
    assert (one.kind, one.way, one.fulfilled_at) == ("promised", "call", None)
    assert one.due_at == datetime(2026, 11, 20, 18, tzinfo=ZONE)


def test_a_call_or_a_later_message_fulfils_a_promised_call() -> None:
    called = call("c", 60, 30, say="out")
    assert followup(PROMISE, called).fulfilled_at == at(60)
    assert followup(PROMISE, call("c", 60, None, say="out")).fulfilled_at is None
    assert followup(PROMISE, message("m", 60, "still looking", say="out")).fulfilled_at is None
    written = message("m", 24 * 60, "It is in stock.", say="out")
    assert str(followup(PROMISE, written).fulfilled_by) == record_id("m")
    assert str(followup(PROMISE, written, called).fulfilled_by) == record_id("c")


def test_bots_and_notes_do_not_fulfil_a_promise() -> None:
    bot = message("b", 25 * 60, "您好", say="bot")
    assert (
        followup(
            PROMISE, bot, message("n", 25 * 60, "called him", say="out", kind="note")
        ).fulfilled_at
        is None
    )


def test_a_message_of_the_same_turn_does_not_fulfil_a_promise() -> None:
    promise = message("p", 0, "明天给您答复。", say="out")
    assert followup(promise, message("m", 1, "还有其他问题吗", say="out")).fulfilled_at is None
    assert followup(promise, message("m", 30, "查到了，有货", say="out")).fulfilled_at == at(30)


def test_customer_requests_count_and_promises_of_bots_do_not() -> None:
    one = followup(message("r", 0, "麻烦周一下午给我回电话"))
    assert (one.kind, one.way, one.due_stated) == ("requested", "call", True)
    assert one.due_at == datetime(2026, 11, 23, 18, tzinfo=ZONE)
    _, rows = fold_batches(
        [[message("b", 0, "我们会尽快联系您", say="bot"), message("c", 1, "明天给您回电")]]
    )
    assert rows_of_kind(rows, FollowUp) == []


def test_a_corrected_fulfilment_opens_the_promise_again() -> None:
    written = message("m", 24 * 60, "It is in stock.", say="out")
    _, rows = fold_batches([[PROMISE, written], [replace(written, kind="note")]])
    (one,) = rows_of_kind(rows, FollowUp)
    assert one.fulfilled_at is None


def test_a_promise_that_a_correction_removes_is_retracted() -> None:
    _, rows = fold_batches(
        [[PROMISE], [replace(PROMISE, reply_text="I called you back yesterday.")]]
    )
    assert rows_of_kind(rows, FollowUp) == []
    assert rows_of_kind(rows, ConversationFact, kind="promise") == []

"""Flags that follow from neighbours (duplicates, outliers, late records), and links of threads."""

import pytest

from pipeline.processors.converse.record_view import RecordView
from schemas.conversations import Conversation, RecordFlag
from tests.support.conversing import (
    at,
    call,
    conversation_id,
    fold_batches,
    mail,
    message,
    record_id,
    replace,
    rows_of_kind,
)

LONG = "我上周买的旅行壶盖子裂了，麻烦给我退款，谢谢你们了"
NEARLY = "我上周买的旅行壶盖子裂了，麻烦给我退款吧，谢谢你们了"


def flags(*records: RecordView) -> dict[tuple[str, str], tuple[str | None, float | None]]:
    _, found = fold_batches([records])
    names = {record_id(one.message_id): one.message_id for one in records}
    return {
        (names[str(one.record_id)], one.flag): (names.get(str(one.other_record_id)), one.value)
        for one in rows_of_kind(found, RecordFlag)
    }


def test_the_same_text_is_a_duplicate_of_the_first() -> None:
    items = (
        message("a", 0, LONG),
        message("b", 1, LONG + "！", conversation="c2"),
        message("c", 2, f" {LONG}"),
    )
    assert flags(*items) == {("b", "duplicate_of"): ("a", None), ("c", "duplicate_of"): ("a", None)}


@pytest.mark.parametrize("text", ["好的", "ok", "thanks", "在吗", "谢谢"])
def test_short_texts_are_never_duplicates(text: str) -> None:
    assert flags(message("a", 0, text), message("b", 1, text)) == {}


def test_the_same_text_on_another_day_or_by_the_other_side_is_no_duplicate() -> None:
    assert flags(message("a", 0, LONG), message("b", 1_500, LONG)) == {}
    assert flags(message("a", 0, LONG), message("b", 1, LONG, say="out")) == {}
    greeting = "您好，这里是惠茗茶器，请问有什么可以帮您"
    assert flags(message("a", 0, greeting, say="out"), message("b", 60, greeting, say="out")) == {}
    assert ("b", "duplicate_of") in flags(
        message("a", 0, greeting, say="out"), message("b", 1, greeting, say="out")
    )


def test_nearly_the_same_text_is_a_near_duplicate_with_its_similarity() -> None:
    ((key, (other, value)),) = flags(message("a", 0, LONG), message("b", 1, NEARLY)).items()
    assert (key, other) == (("b", "near_duplicate"), "a")
    assert value is not None
    assert 0.85 < value < 1
    english = (
        "The lid of the travel kettle that I bought last week is cracked and I want my money back"
    )
    ((key, _),) = flags(
        message("a", 0, english), message("b", 1, english.replace("that", "which"))
    ).items()
    assert key == ("b", "near_duplicate")
    assert (
        flags(
            message("a", 0, LONG),
            message("b", 1, "请问你们的店周日几点开门，可以带自己的杯子来吗谢谢"),
        )
        == {}
    )


def test_duplicates_refer_to_an_earlier_record_that_arrives_later() -> None:
    a, b, c = message("a", 0, LONG), message("b", 1, LONG), message("c", 2, LONG)
    _, rows = fold_batches([[b, c], [a]])
    assert {
        str(one.other_record_id) for one in rows_of_kind(rows, RecordFlag, flag="duplicate_of")
    } == {a.record_id}


def test_a_call_or_text_of_unusual_length_is_an_outlier() -> None:
    usual = [call(f"u{n}", n, 100 + n % 7) for n in range(20)]
    assert set(flags(*usual, call("x", 30, 7_000))) == {("x", "outlier")}
    assert set(flags(*usual, call("x", 30, 2))) == {("x", "outlier")}
    assert flags(*usual, call("x", 30, 180)) == {}
    assert flags(*usual[:5], call("x", 30, 7_000)) == {}
    texts = [message(f"t{n}", n, f"第{n}个问题是关于茶壶的" + "嘛" * (n % 5)) for n in range(20)]
    assert ("x", "outlier") in flags(
        *texts, message("x", 30, "".join(chr(0x4E00 + n * 7) for n in range(1_500)))
    )
    assert ("x", "outlier") not in flags(*texts, message("x", 30, "嗯"))


def test_a_record_that_arrives_well_after_a_later_one_is_late() -> None:
    a, b = message("a", 0, "在吗"), message("b", 5, "在的", say="out")
    hour = 3_600_000
    assert flags(replace(a, received_at=a.occurred_at + hour), b) == {("a", "late"): ("b", 55 * 60)}
    assert flags(replace(a, received_at=b.received_at + 60_000), b) == {}
    assert (
        flags(
            replace(a, received_at=a.occurred_at + hour),
            replace(b, conversation_id=conversation_id("c2")),
        )
        == {}
    )


def merged(*batches: list[RecordView]) -> dict[str, str | None]:
    _, rows = fold_batches(batches)
    names = {conversation_id(name): name for name in ("root", "b", "c", "d")}
    found = rows_of_kind(rows, Conversation)
    return {
        names[str(one.conversation_id)]: one.merged_into and names[str(one.merged_into)]
        for one in found
    }


def test_threads_whose_mails_refer_to_each_other_are_linked() -> None:
    root = mail("m1", 0, conversation="root")
    answer = mail("m2", 5, "m1", conversation="root")
    orphan = mail("m3", 9, "m2", conversation="b")
    stranger = mail("m9", 9, "m8", conversation="c")
    ids = sorted(("root", "b"), key=conversation_id)
    wanted = {ids[0]: None, ids[1]: ids[0], "c": None}
    assert merged([root, answer, orphan, stranger]) == wanted
    assert merged([orphan], [stranger], [answer], [root]) == wanted


def test_two_mails_that_refer_to_the_same_missing_mail_are_linked() -> None:
    ids = sorted(("c", "d"), key=conversation_id)
    items = [
        mail("m3", 0, "lost", "x1", conversation="c"),
        mail("m4", 5, "x2", "lost", conversation="d"),
    ]
    assert merged(items) == {ids[0]: None, ids[1]: ids[0]}


def test_a_link_is_removed_when_its_mail_is_corrected() -> None:
    root, orphan = mail("m1", 0, conversation="root"), mail("m3", 9, "m1", conversation="b")
    reply = message("h", 20, "answered", say="out", conversation="root")
    _state, rows = fold_batches([[root, reply], [orphan], [replace(orphan, references=())]])
    found = {str(one.conversation_id): one for one in rows_of_kind(rows, Conversation)}
    assert {one.merged_into for one in found.values()} == {None}
    assert found[conversation_id("root")].state == "answered"
    assert found[conversation_id("b")].state == "waiting"


@pytest.mark.parametrize("swapped", [False, True])
def test_conversations_are_emitted_again_when_their_link_is_removed(swapped: bool) -> None:
    asked, other = sorted(("root", "b"), key=conversation_id, reverse=swapped)
    ask, orphan = mail("m1", 0, conversation=asked), mail("m3", 9, "m1", conversation=other)
    reply = message("h", 20, "answered", say="out", conversation=other)
    _, rows = fold_batches([[ask, orphan, reply], [replace(orphan, references=())]])
    found = {str(one.conversation_id): one.state for one in rows_of_kind(rows, Conversation)}
    assert found == {conversation_id(asked): "waiting", conversation_id(other): "answered"}


def test_linked_threads_wait_and_are_answered_together() -> None:
    root, orphan = mail("m1", 0, conversation="root"), mail("m3", 9, "m1", conversation="b")
    reply = message("h", 20, "answered", say="out", conversation="root")
    _, rows = fold_batches([[root], [orphan], [reply]])
    (whole,) = rows_of_kind(rows, Conversation, merged_into=None)
    assert (whole.state, whole.opened_at, whole.last_at) == ("answered", at(0), at(20))


def test_answers_on_a_platform_are_in_the_thread_of_the_answered_message() -> None:
    first = message("m2", 0, "x", conversation="root", in_reply_to="m1")
    second = message("m3", 5, "x", conversation="b", in_reply_to="m2")
    assert set(merged([first, second]).values()) > {None}

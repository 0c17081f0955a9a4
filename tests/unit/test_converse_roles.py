"""Who speaks in a record, and whether it closes or assigns its conversation."""

import pytest

from pipeline.processors.converse.record_view import CallView, RecordView
from pipeline.processors.converse.roles import assignee, closing_reason, role_of
from pipeline.processors.converse.similarity import is_courtesy, words_of
from tests.support.conversing import (
    call,
    message,
    replace,
)


@pytest.mark.parametrize(
    ("one", "role"),
    [
        (message("a", 0, "在吗"), "ask"),
        (message("a", 0, "谢谢！"), "courtesy"),
        (message("a", 0, "OK, thanks."), "courtesy"),
        (message("a", 0, "👍"), "courtesy"),
        (message("a", 0, ""), "ask"),
        (message("a", 0, "I am away", auto_kind="ooo"), "none"),
        (message("a", 0, "newsletter", auto_kind="bulk"), "none"),
        (message("a", 0, "您好", say="out"), "human"),
        (message("a", 0, "您好", say="bot"), "bot"),
        (message("a", 0, "您好", say="out", staff="小茗"), "bot"),
        (message("a", 0, "您好", say="out", staff="WelcomeBot v2"), "bot"),
        (message("a", 0, "您好", say="out", staff="support-bot"), "bot"),
        (message("a", 0, "您好", say="out", staff="Abbott"), "human"),
        (message("a", 0, "您好", say="out", staff="智能客服"), "bot"),
        (message("a", 0, "shipped", say="out", staff="system"), "auto"),
        (message("a", 0, "received", say="out", auto_kind="ack"), "auto"),
        (message("a", 0, "sale!", say="out", staff="", campaign="autumn"), "auto"),
        (message("a", 0, "our offer", say="out", campaign="autumn"), "human"),
        (message("a", 0, "careful", say="out", kind="note"), "none"),
        (message("a", 0, "x", say="system"), "none"),
        (call("a", 0, 60), "talk"),
        (call("a", 0, None), "ask"),
        (replace(call("a", 0, 60), call=CallView(disposition="voicemail")), "ask"),
        (call("a", 0, 60, say="out"), "human"),
        (call("a", 0, None, say="out"), "none"),
    ],
)
def test_role_of_a_record(one: RecordView, role: str) -> None:
    courtesy = one.call is None and is_courtesy(words_of(one.reply_text), bool(one.reply_text))
    assert role_of(one, courtesy, frozenset({"小茗"})) == role


@pytest.mark.parametrize(
    ("one", "closes"),
    [
        (message("a", 0, "x", result="resolved"), True),
        (message("a", 0, "x", result=" 已解决 "), True),
        (message("a", 0, "x", result="answered"), False),
        (message("a", 0, "会话已结束", say="system"), True),
        (message("a", 0, "Conversation was marked as resolved by Wei", say="system"), True),
        (message("a", 0, "This chat has ended.", say="system"), True),
        (message("a", 0, "工单已关闭", say="system"), True),
        (message("a", 0, "Conversation was reopened, it had been closed", say="system"), False),
        (message("a", 0, "会话未结束", say="system"), False),
        (message("a", 0, "is the shop closed? chat closed", say="in"), False),
    ],
)
def test_closing_reason(one: RecordView, closes: bool) -> None:
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
def test_assignee(text: str, name: str) -> None:
    assert assignee(message("a", 0, text, say="system")) == name
    assert assignee(message("a", 0, text)) == ""

"""Who speaks in a record, and whether it closes or assigns its conversation."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from pipeline.processors.converse.record_view import CallView, RecordView

Role = Literal["ask", "courtesy", "talk", "human", "bot", "auto", "none"]
"""Who speaks in a record, and how.

- ask: the customer asks something, or called and nobody answered;
- courtesy: the customer only says thanks, ok or goodbye;
- talk: the customer called and somebody answered, so both sides speak;
- human, bot, auto: a staff member, a bot or an automatic message of the own side speaks;
- none: nobody speaks to anybody (notes, lines of the platform, automatic mail of customers, calls
  of the own side that nobody answered).
"""

# Names that are recognizably those of bots; an installation adds its own.
_BOT_NAME = re.compile(
    r"(?i:(?:^|[^a-z])(?:chat)?bot(?:$|[^a-z])|机器人|機器人|智能客服|智能助[手理]|virtual"
    r" assistant|自动回复|自動回覆)|[a-z]Bot\b"
)
_MACHINE_NAMES = frozenset({"system", "系统", "系統", "auto", "automation", "noreply", "no-reply"})

# Results that end a conversation, as staff or platforms note them: the taxonomy of the reference
# (§6.4) and common words for the same.
_CLOSINGS = (
    "resolved solved closed done completed finished won lost abandoned spam fixed settled"
    " 已解决 已解決 解决 解決 已关闭 已關閉 关闭 已结束 已結束 已完成 完成 已处理 已處理 已成交"
    " 成交 已办结 办结 已结案 结案"
)
_CLOSING_RESULTS = frozenset(_CLOSINGS.split())
_CLOSING_LINE = re.compile(
    r"(?:conversation|chat|ticket|case|session|issue|thread)\b.{0,40}\b(?:closed|resolved|ended|solved|completed|archived)\b"
    r"|(?:closed|resolved|ended|solved)\s+(?:the|this)\s+(?:conversation|chat|ticket|case|session)|marked\s+(?:as\s+)?(?:resolved|solved|closed|done)"
    r"|(?:会话|對話|对话|聊天|会話|會話|工单|工單|服务|服務).{0,12}(?:已?结束|已?結束|已?关闭|已?關閉|已?解决|已?解決|已?完成|超时关闭)"
    r"|(?:结束|結束|关闭|關閉)了?(?:本次|此次|该)?(?:会话|會話|对话|對話|聊天|工单|工單)|标记为(?:已)?(?:解决|关闭|完成)",
    re.I,
)
_NOT_CLOSED = re.compile(r"\bnot\b|reopen|未|没有|重新打开|重新打開", re.I)
# Read in a line whose runs of blanks are single ones: any of sixty characters before a long run
# might be the end of a name, and all of the run would be read for each of them.
_ASSIGNING_LINE = re.compile(
    r"(?:assigned|transferred|handed\s+over|escalated|passed)\s+(?:this\s+|the\s+)?(?:conversation\s+|chat\s+|ticket\s+|case\s+)?(?:by\s+\S+\s+)?to\s+(?P<en>[^.\n]{1,60})"
    r"|(?P<en2>[^.\n]{1,60}?)\s+(?:has\s+)?(?:joined|accepted|picked\s+up)\s+the\s+(?:conversation|chat)"
    r"|(?:转接|轉接|分配|转交|轉交|指派|移交|转给|轉給)(?:给|給|至|到)?了?\s*(?P<zh>[^,，。"
    r"\s]{1,30})|(?P<zh2>[^,，。\s]{1,30})\s*(?:已?接入|接起|加入)了?(?:会话|會話|对话|對話)",
    re.I,
)
_BLANKS = re.compile(r"\s{2,}")


def was_answered(call: CallView) -> bool:
    """Return whether a call reached a person, not a mailbox or nobody.

    >>> was_answered(CallView(talk_s=12.5)), was_answered(CallView(disposition="voicemail"))
    (True, False)
    """
    if call.disposition in ("voicemail", "no_answer", "busy", "failed", "cancelled"):
        return False
    return call.disposition == "answered" or call.answered_at is not None or bool(call.talk_s)


def role_of(record: RecordView, courtesy: bool, bots: Collection[str]) -> Role:
    """Return who speaks in a record.

    `courtesy` says whether the text is only a courtesy; `bots` are the case-folded names of this
    installation's bots.
    """
    if record.kind in ("system", "note") or record.direction == "internal":
        return "none"
    if record.direction == "inbound":
        if record.auto_kind:
            return "none"
        if record.call is not None:
            return "talk" if was_answered(record.call) else "ask"
        return "courtesy" if courtesy else "ask"
    name = record.staff.casefold()
    if record.auto_kind == "bot" or name in bots or (name and _BOT_NAME.search(record.staff)):
        return "bot"
    # A message of a campaign without a staff member's name was sent to many at once.
    if record.auto_kind or name in _MACHINE_NAMES or (record.campaign and not name):
        return "auto"
    if record.call is not None and not was_answered(record.call):
        return "none"
    return "human"


def closing_reason(record: RecordView) -> str:
    """Return the result or the platform's line that closes the conversation, or ""."""
    if record.result and record.result.strip().casefold() in _CLOSING_RESULTS:
        return record.result.strip()
    if (
        record.kind == "system"
        and _CLOSING_LINE.search(record.reply_text)
        and not _NOT_CLOSED.search(record.reply_text)
    ):
        return record.reply_text.strip()[:120]
    return ""


def _single_blank(run: re.Match[str]) -> str:
    """Return a line break for a run of blanks that has one, else a blank."""
    return "\n" if "\n" in run[0] else " "


def assignee(record: RecordView) -> str:
    """Return to whom a line of the platform assigns the conversation, or ""."""
    if record.kind != "system":
        return ""
    match = _ASSIGNING_LINE.search(_BLANKS.sub(_single_blank, record.reply_text))
    return next((name.strip() for name in match.groups() if name), "") if match else ""

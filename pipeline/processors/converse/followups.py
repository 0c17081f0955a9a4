"""Finds follow-ups in texts: what the own side promises, and what customers request.

"I will call you back tomorrow" is a promise, 麻烦周一下午给我回电话 is a request. These are
rules, not a model: a promise that is overlooked costs a customer, and a false one costs trust in
the list. So every word that makes a promise, and every word that negates it (not, if, 已经, 吗),
is written where it can be read and tested: promises_en.py, promises_zh.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Literal

from pipeline.processors.converse import promises_en, promises_zh
from pipeline.processors.converse.business_hours import BusinessHours
from pipeline.processors.converse.due_dates import DueTime, due_time
from pipeline.processors.converse.promises_en import Way
from pipeline.processors.converse.sentences import normalize, original_sentences, sentences
from pipeline.text.chinese import to_simplified
from pipeline.text.scripts import has_han

# As much as the models read of a text: promises are in letters, not in their annexes.
_READ_CHARS = 2_000
# Enough to recognise the sentence; the record has the whole text.
_PHRASE_CHARS = 160
# More than three promises in one message are terms of business, not promises.
_MAX_MATCHES = 3

# What every promise or request contains, in simplified characters: for most messages this search
# is all the work.
_CHINESE = (
    r"电(?:话|联)|[回致来]电|打给|回拨|[回答]复|联[系络]|通知|告知|告诉|反馈|回信"
    r"|[发寄](?:送)?给|处理|解决|结果|说法|答案|回我"
)
_MAYBE_PROMISE = re.compile(
    r"\bwill\b|['’]ll\b|\bshall\b|going to|\blet (?:me|us)\b|allow me|expect|promise|should hear"
    rf"|{_CHINESE}|回[访您你]|跟进|知会|消息|交代|准信|回应|确认|沟通|对接|通话"
    # From the last of several in a line: from each of them, the line would be read again.
    r"|[给向][您你](?:(?![给向][您你]).)*?电"
    r"|办理|核实|退款|退[回还]|发[货出]|寄出|补[发寄]|安排|完成|审核|修好|更换|查清|调查|给[您你]发",
    re.IGNORECASE,
)
_MAYBE_REQUEST = re.compile(
    r"call|phone|ring|repl|respon|answer|get back|let"
    r" (?:me|us)|updat|contact|mail|text|send|inform|write|confirm|solution"
    rf"|{_CHINESE}|[打拨](?:我|这)|[给跟向][我咱俺](?:(?![给跟向][我咱俺]).)*?电"
    r"|给[我咱俺](?:(?!给[我咱俺]).)*?答|来个",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FollowUpMatch:
    """A follow-up in a text: by which way, in which words, and when it is due.

    `due_stated` says whether the text names the time.
    """

    way: Literal["call", "any"]
    phrase: str
    due_at: datetime
    due_stated: bool


def promises_in(text: str, said_at: datetime, hours: BusinessHours) -> tuple[FollowUpMatch, ...]:
    """Return the promises in a message of the own side, in order, at most three.

    `said_at` is an aware instant.
    """
    return (
        _matches(text, said_at, hours, promises_en.promise_way, promises_zh.promise_way)
        if _MAYBE_PROMISE.search(to_simplified(text[:_READ_CHARS]))
        else ()
    )


def requests_in(text: str, said_at: datetime, hours: BusinessHours) -> tuple[FollowUpMatch, ...]:
    """Return a customer's requests for a call, or for an answer by a stated time; at most 3."""
    return (
        _matches(text, said_at, hours, promises_en.request_way, promises_zh.request_way)
        if _MAYBE_REQUEST.search(to_simplified(text[:_READ_CHARS]))
        else ()
    )


SentenceRule = Callable[[str, Callable[[], DueTime]], Way | None]
"""Returns the way that a sentence promises or asks for; it asks for the due time only if the answer
depends on it."""


def _matches(
    text: str,
    said_at: datetime,
    hours: BusinessHours,
    in_english: SentenceRule,
    in_chinese: SentenceRule,
) -> tuple[FollowUpMatch, ...]:
    matches: list[FollowUpMatch] = []
    read = text[:_READ_CHARS]
    for number, sentence in enumerate(sentences(normalize(read))):
        due = cache(partial(due_time, sentence, said_at, hours))
        way = (in_chinese if has_han(sentence) else in_english)(sentence, due)
        # "We will refund it" is business as usual; with a time it is a promise that somebody has
        # to keep.
        if way is None or (way == "act" and not due().stated):
            continue
        phrase = list(original_sentences(read))[number][:_PHRASE_CHARS]
        matches.append(
            FollowUpMatch("call" if way == "call" else "any", phrase, due().at, due().stated)
        )
        if len(matches) == _MAX_MATCHES:
            break
    return tuple(matches)

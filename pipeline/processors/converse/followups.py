"""Finds follow-ups in texts: what the own side promises, and what customers request.

"I will call you back tomorrow" is a promise, 麻烦周一下午给我回电话 is a request. These are rules, not a
model: a promise that is overlooked costs a customer, and a false one costs trust in the list. So
every word that makes a promise, and every word that negates it (not, if, 已经, 吗), is written
where it can be read and tested: promises_en.py, promises_zh.py.
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
from pipeline.processors.converse.sentences import normalize, sentences

# The first 2,000 characters, as everywhere that texts are classified (DESIGN §7): promises are
# in letters, not in their annexes.
_READ_CHARS = 2_000
# Enough to recognise the sentence; the record has the whole text.
_PHRASE_CHARS = 160
# More than three promises in one message are terms of business, not promises.
_MAX_MATCHES = 3

# What every promise or request contains, as people write it: for most messages this one search
# is all the work.
_CHINESE = (
    r"[电電](?:话|話|联|聯)|[回致来來][电電]|打[给給]|回[拨撥]|[回答][复復覆]|[联聯][系繫络絡]|通知|告知|告[诉訴]|反[馈饋]|回信"
    r"|[发發寄](?:送)?[给給]|[处處]理|解[决決]|[结結]果|[说說]法|答案|回我"
)
_MAYBE_PROMISE = re.compile(
    r"\bwill\b|['’]ll\b|\bshall\b|going to|\blet (?:me|us)\b|allow me|expect|promise|should hear"
    rf"|{_CHINESE}|回[访訪您你]|跟[进進]|知[会會]|消息|交代|准信|回[应應]|[确確][认認]|[沟溝]通|[对對]接|通[话話]|[给給向][您你].*[电電]"
    r"|[办辦]理|核[实實]|退款|退[回还還]|[发發][货貨出]|寄出|[补補][发發寄]|安排|完成|[审審]核|修好|更[换換]|查清|[调調]查|[给給][您你][发發]",
    re.IGNORECASE,
)
_MAYBE_REQUEST = re.compile(
    r"call|phone|ring|repl|respon|answer|get back|let"
    r" (?:me|us)|updat|contact|mail|text|send|inform|write|confirm|solution"
    rf"|{_CHINESE}|[打拨撥](?:我|[这這])|[给給跟向](?:我|咱|俺).*[电電]|[给給](?:我|咱|俺).*答|来[个個]",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u4e00-\u9fff]")


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
        if _MAYBE_PROMISE.search(text)
        else ()
    )


def requests_in(text: str, said_at: datetime, hours: BusinessHours) -> tuple[FollowUpMatch, ...]:
    """Return a customer's requests for a call, or for an answer by a stated time; at most
    three.
    """
    return (
        _matches(text, said_at, hours, promises_en.request_way, promises_zh.request_way)
        if _MAYBE_REQUEST.search(text)
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
    for sentence in sentences(normalize(text[:_READ_CHARS])):
        due = cache(partial(due_time, sentence, said_at, hours))
        way = (in_chinese if _HAN.search(sentence) else in_english)(sentence, due)
        # "We will refund it" is business as usual; with a time it is a promise that somebody has
        # to keep.
        if way is None or (way == "act" and not due().stated):
            continue
        matches.append(
            FollowUpMatch(
                "call" if way == "call" else "any", sentence[:_PHRASE_CHARS], due().at, due().stated
            )
        )
        if len(matches) == _MAX_MATCHES:
            break
    return tuple(matches)

"""Follow-ups in words: what our people promise ("I will call you back tomorrow") and customers ask for (麻烦周一下午给我回电话).

Rules, not a model: a promise that is missed costs a customer, and a false one costs trust in the list; so every word that makes a
promise, and every one that unmakes it (not, if, 已经, 吗), is written where it can be read and tested: english.py, chinese.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Literal

from pipeline.processors.converse import chinese, english
from pipeline.processors.converse.due import Due, due_of
from pipeline.processors.converse.english import Way
from pipeline.processors.converse.hours import BusinessHours
from pipeline.processors.converse.wording import plain, sentences

# The first 2,000 characters, as everywhere that texts are judged (DESIGN §7): promises stand in letters, not in their annexes.
_READ_CHARS = 2_000
# Enough to recognise the sentence by; the record has the whole.
_PHRASE_CHARS = 160
# More than a few promises in one message are terms of business, not promises.
_MOST = 3

# What every promise or request contains: most messages are done with after one search.
_MAYBE_PROMISE = re.compile(
    r"\bwill\b|['’]ll\b|\bshall\b|going to|\blet (?:me|us)\b|allow me|expect|promise"
    r"|[电電复復覆联聯通告反訪访跟处處解办辦核退发發寄安完审審修補补更回打给給确確息說说撥拨]",
    re.IGNORECASE,
)
_MAYBE_REQUEST = re.compile(
    r"call|phone|ring|repl|respon|answer|get back|let (?:me|us)|updat|contact|mail|text|send|inform|write|confirm|solution"
    r"|[电電复復覆联聯通告反处處解寄打给給撥拨說说案]",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Found:
    """A follow-up found in a text: by which way, in which words, until when, and whether the words name the time."""

    way: Literal["call", "any"]
    phrase: str
    due_at: datetime
    due_stated: bool


def promises_in(text: str, said_at: datetime, hours: BusinessHours) -> tuple[Found, ...]:
    """Return what a message of our own promises, said at an aware instant; in the order of its sentences, at most three."""
    return _found(text, said_at, hours, english.promise, chinese.promise) if _MAYBE_PROMISE.search(text) else ()


def requests_in(text: str, said_at: datetime, hours: BusinessHours) -> tuple[Found, ...]:
    """Return what a customer asks us to get back for: a call, or an answer by a stated time; at most three."""
    return _found(text, said_at, hours, english.request, chinese.request) if _MAYBE_REQUEST.search(text) else ()


Judge = Callable[[str, Callable[[], Due]], Way | None]
"""Says which way a sentence promises or asks; when it is due is looked up only where the answer turns on it."""


def _found(
    text: str, said_at: datetime, hours: BusinessHours, in_english: Judge, in_chinese: Judge
) -> tuple[Found, ...]:
    found: list[Found] = []
    for sentence in sentences(plain(text[:_READ_CHARS])):
        due = cache(partial(due_of, sentence, said_at, hours))
        way = (in_chinese if _HAN.search(sentence) else in_english)(sentence, due)
        # "We will refund it" is business as usual; with a time it is a promise that somebody must keep.
        if way is None or (way == "act" and not due().stated):
            continue
        found.append(Found("call" if way == "call" else "any", sentence[:_PHRASE_CHARS], due().at, due().stated))
        if len(found) == _MOST:
            break
    return tuple(found)

"""A plain reference implementation of lexicon matching, to test the compiled passes against."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from pipeline.models.lexicon_files import LexiconEntry, lexicon, tokenise

_BREAKS = frozenset(",.;!?:、…~\n")
_SENTENCE_ENDS = frozenset(".!?。")
_CLAUSE_ENDS = frozenset(",.;!?:、…~。")
_JOINS = frozenset(("and", "also", "but", "plus"))
_PAIRS = frozenset(("另外", "还有", "顺便", "以及", "同时", "然后", "并且"))


class Match(NamedTuple):
    """A matched term: its tokens (end exclusive) and its lexicon entry."""

    start: int
    end: int
    entry: LexiconEntry


@cache
def _by_tokens() -> dict[tuple[str, ...], list[LexiconEntry]]:
    entries: dict[tuple[str, ...], list[LexiconEntry]] = {}
    for entry in lexicon().entries:
        entries.setdefault(tuple(tokenise(entry.term)), []).append(entry)
    return entries


@cache
def _longest() -> int:
    return max(map(len, _by_tokens()))


def find(tokens: Sequence[str], first: int = 0, last: int | None = None) -> dict[str, list[Match]]:
    """Return the matches of each head within a span of tokens.

    Of matches that overlap in the whole text the leftmost counts, then the longest.
    """
    matches: dict[str, list[Match]] = {}
    free: dict[str, int] = {}
    for start in range(len(tokens)):
        for end in range(min(len(tokens), start + _longest()), start, -1):
            for entry in _by_tokens().get(tuple(tokens[start:end]), ()):
                if free.get(entry.head, 0) <= start:
                    free[entry.head] = end
                    if start >= first and (last is None or end <= last):
                        matches.setdefault(entry.head, []).append(
                            Match(start - first, end - first, entry)
                        )
    return matches


def distinct(matches: Iterable[Match]) -> list[LexiconEntry]:
    """Return the matched entries, each once, in order of the text."""
    return list(dict.fromkeys(match.entry for match in matches))


def polarity(tokens: Sequence[str], matches: Sequence[Match]) -> tuple[float, tuple[str, ...]]:
    """Return the polarity of a text, and the terms that carry it."""
    parts: list[tuple[int, float]] = []
    terms: list[str] = []
    boost, boost_end, negator_end, contrasted = 1.0, -1, -4, False
    asked: list[int] = []
    for start, end, entry in matches:
        boosted = boost_end == start
        value = entry.value
        if entry.group in ("booster", "dampener"):
            boost, boost_end = value * (boost if boosted else 1.0), end
            continue
        if entry.group == "contrast":
            parts = [(position, value * 0.6) for position, value in parts]
            contrasted = True
            continue
        if entry.group == "question":
            asked.append(start)
            continue
        if entry.group == "inert" or (entry.group == "graded" and not boosted):
            continue
        if entry.group == "negator":
            negator_end = end
            if not value:
                continue
        else:
            value *= boost if boosted else 1.0
            if start - negator_end <= 3 and _BREAKS.isdisjoint(tokens[negator_end:start]):
                value *= -0.75 if value > 0 else -0.4
        parts.append((start, value * (1.3 if contrasted else 1.0)))
        terms.append(entry.term)
    weights = [
        value * 0.25 if value > 0 and _in_question(tokens, position, asked) else value
        for position, value in parts
    ]
    total = sum(weights) * (1.0 + 0.08 * min(3, tokens.count("!")))
    return total / math.sqrt(total * total + 8.0), tuple(terms)


def _in_question(tokens: Sequence[str], position: int, asked: Sequence[int]) -> bool:
    return any(
        _SENTENCE_ENDS.isdisjoint(tokens[min(position, other) : max(position, other)])
        for other in asked
    )


def spans(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Return the clauses of a text as spans of its tokens.

    At most eight, of two tokens at least; none where the text has only one clause.
    """
    long = [(first, last) for first, last in _cut(tokens) if last - first >= 2]
    return long[:8] if len(long) > 1 else []


def _cut(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    first, position = 0, 0
    while position < len(tokens):
        if tokens[position] in _CLAUSE_ENDS or tokens[position] in _JOINS:
            width = 1
        elif "".join(tokens[position : position + 2]) in _PAIRS:
            width = 2
        else:
            position += 1
            continue
        yield first, position
        position += width
        first = position
    yield first, len(tokens)


def spam_signals(raw: str, text: str) -> float:
    """Return the weight of the spam signals of a text beside its words."""
    weight = 1.0 if re.search(r"https?:|www\.|\.(?:com|net|org|cn|info|biz|ru)\b", text) else 0.0
    weight += (
        1.0 if re.search(r"[\dx]{5,}|\d{3,4}-\d{3,}", text) and re.search(r"\d|xx", text) else 0.0
    )
    weight += 1.0 if re.search(r"[$£€¥]\s?\d|\d+\s?(?:元|万|usd|gbp|p/)|\d+%", text) else 0.0
    weight += 1.0 if len(re.findall(r"\b[A-Z]{4,}\b", raw)) >= 3 else 0.0
    return weight + (0.5 if text.count("!") >= 3 else 0.0)

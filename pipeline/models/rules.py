"""Answers before anything is learnt: what the word lists and a few patterns say of a text, for every built-in head."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.models.characters import READ_CHARACTERS, normalise
from pipeline.models.terms import Match, lexicon, tokenise


class RuleAnswer(NamedTuple):
    """A head's answer by rule: the label ("" where nothing speaks for any), a confidence from 0 to 1, and the terms
    that led to it, in order of the text."""

    label: str
    confidence: float
    terms: tuple[str, ...] = ()


NO_ANSWER: Final = RuleAnswer("", 0.0)


class Polarity(NamedTuple):
    """The feeling of a text from -1 (bad) to 1 (good), and the terms that carry it."""

    score: float
    terms: tuple[str, ...]


@dataclass(slots=True)
class Reading:
    """A text read once for all heads: as written, in normal form, its tokens and each head's matches."""

    raw: str
    text: str
    tokens: Sequence[str]
    matches: dict[str, list[Match]]
    _polarity: Polarity | None = field(default=None)
    _spam: RuleAnswer | None = field(default=None)

    @property
    def polarity(self) -> Polarity:
        """The feeling of the text, worked out at first use."""
        if self._polarity is None:
            self._polarity = _polarity(self)
        return self._polarity

    @property
    def spam(self) -> RuleAnswer:
        """Ham or spam, worked out at first use."""
        if self._spam is None:
            self._spam = _spam(self)
        return self._spam


Rule = Callable[[Reading], RuleAnswer]


def read(raw: str, text: str | None = None) -> Reading:
    """Read a text as written (any `str`); `text` is its normal form where the caller has it already."""
    normal = normalise(raw) if text is None else text
    tokens = tokenise(normal)
    return Reading(raw[:READ_CHARACTERS], normal, tokens, lexicon().find(tokens))


# A negator reaches this many tokens ahead: "not a very good" in English, 不 觉 得 好 in Chinese.
_NEGATION_REACH: Final = 3
# What negation leaves: "not good" is clearly bad but less than "bad"; "not bad" is only mildly good
# (after the 0.74 of VADER: Hutto and Gilbert 2014, and weaker for negated ill).
_NEGATED_GOOD: Final = -0.75
_NEGATED_ILL: Final = -0.4
# What stands before "but" counts less, what stands after it more (VADER uses 0.5 and 1.5).
_BEFORE_CONTRAST: Final = 0.6
_AFTER_CONTRAST: Final = 1.3
# Praise inside a question ("any good offers?") is asked for, not given.
_IN_QUESTION: Final = 0.25
# Each "!" up to three makes the feeling stronger.
_EXCLAMATION: Final = 0.08
# Squashes the sum into -1..1 so that one clear word (2) gives 0.58 and two strong ones (6) give 0.9.
_SQUASH: Final = 8.0
# Below this the words for and against cancel out, or one faint word (0.5) is all there is.
_NEUTRAL: Final = 0.2
# Two strong words, or one strong and boosted.
_VERY: Final = 0.85
_BREAKS: Final = frozenset(",.;!?:、…~\n")
_SENTENCE_ENDS: Final = frozenset(".!?。")


def _polarity(reading: Reading) -> Polarity:
    found = reading.matches.get("sentiment")
    if not found:
        return Polarity(0.0, ())
    tokens = reading.tokens
    parts: list[tuple[int, float]] = []
    terms: list[str] = []
    boost, boost_end, negator_end, pivot = 1.0, -1, -_NEGATION_REACH - 1, 0
    asked: list[int] = []
    for match in found:
        group = match.group
        if group in ("booster", "dampener"):
            boost = match.value * (boost if boost_end == match.start else 1.0)
            boost_end = match.end
            continue
        if group == "contrast":
            parts = [(position, value * _BEFORE_CONTRAST) for position, value in parts]
            pivot = match.end
            continue
        if group == "question":
            asked.append(match.start)
            continue
        if group == "inert":
            continue
        value = match.value
        boosted = boost_end == match.start
        if group == "negator":
            negator_end = match.end
            if not value:
                continue
        elif group == "graded" and not boosted:
            continue
        else:
            value *= boost if boosted else 1.0
            if match.start - negator_end <= _NEGATION_REACH and _BREAKS.isdisjoint(tokens[negator_end : match.start]):
                value *= _NEGATED_GOOD if value > 0 else _NEGATED_ILL
        parts.append((match.start, value * (_AFTER_CONTRAST if pivot else 1.0)))
        terms.append(match.term)
    if asked:
        parts = [
            (position, value * _IN_QUESTION if value > 0 and _same_sentence(tokens, position, asked) else value)
            for position, value in parts
        ]
    total = sum(value for _, value in parts) * (1.0 + _EXCLAMATION * min(3, reading.text.count("!")))
    return Polarity(total / math.sqrt(total * total + _SQUASH), tuple(terms))


def _same_sentence(tokens: Sequence[str], position: int, others: Iterable[int]) -> bool:
    for other in others:
        first, last = (position, other) if position < other else (other, position)
        if _SENTENCE_ENDS.isdisjoint(tokens[first:last]):
            return True
    return False


def sentiment(reading: Reading) -> RuleAnswer:
    """Return very_negative, negative, neutral, positive or very_positive; neutral where no word of feeling stands."""
    if not reading.tokens:
        return NO_ANSWER
    score, terms = reading.polarity.score, reading.polarity.terms
    size = abs(score)
    if size < _NEUTRAL:
        # Half sure: silence of the lists is weak evidence, more so in a longer text.
        return RuleAnswer("neutral", 0.5 if not terms else 0.4, terms)
    side = "positive" if score > 0 else "negative"
    return RuleAnswer(f"very_{side}" if size >= _VERY else side, 0.5 + 0.45 * size, terms)


# A need is clear when its terms weigh this much: one explicit request (3) gives 0.78 of full strength.
_NEED_SCALE: Final = 2.0
# A text may well have two needs: another one takes away half of its weight from the certainty of the first.
_OTHER_NEEDS: Final = 0.5
# Feeling alone hints at praise or complaint; an explicit request outweighs it.
_FEELING: Final = 1.0
_STRONG_FEELING: Final = 0.6
# What is only spoken of, with feeling and without asking ("价格便宜，很满意"), is half a need.
_SPOKEN_OF: Final = 0.5
_TOPICS: Final = frozenset(
    ("price_inquiry", "product_info", "availability", "logistics", "payment", "purchase_process", "order_status")
)
# A greeting is what a message is about only when it says little else.
_GREETING_TOKENS: Final = 12
_SURE_SPAM: Final = 0.9


def need(reading: Reading) -> RuleAnswer:
    """Return what the customer needs: the label whose distinct terms weigh most, the first mentioned among equals."""
    scores, terms = _weights(reading, "need")
    scores.pop("inert", None)
    greeting = scores.pop("greeting", 0.0)
    feeling = reading.polarity
    if abs(feeling.score) >= _STRONG_FEELING:
        if "asking" not in reading.matches:
            scores = {name: score * (_SPOKEN_OF if name in _TOPICS else 1.0) for name, score in scores.items()}
        label = "praise" if feeling.score > 0 else "complaint"
        scores[label] = scores.get(label, 0.0) + _FEELING
        terms.setdefault(label, []).extend(term for term in feeling.terms if term not in terms[label])
    unsolicited = reading.spam
    if unsolicited.label == "spam" and unsolicited.confidence >= _SURE_SPAM:
        return RuleAnswer("spam", unsolicited.confidence, unsolicited.terms)
    if not scores:
        if greeting and len(reading.tokens) <= _GREETING_TOKENS:
            return RuleAnswer("greeting", 0.7, tuple(terms["greeting"]))
        return NO_ANSWER
    label = max(scores, key=scores.__getitem__)
    top = scores[label]
    share = top / (top + _OTHER_NEEDS * (sum(scores.values()) - top))
    confidence = share * (1.0 - math.exp(-top / _NEED_SCALE))
    return RuleAnswer(label, confidence, tuple(terms[label]))


def _weights(reading: Reading, head: str) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Return each group's summed weight of distinct terms, and these terms."""
    scores: dict[str, float] = {}
    terms: dict[str, list[str]] = {}
    for match in reading.matches.get(head, ()):
        known = terms.setdefault(match.group, [])
        if match.term not in known:
            known.append(match.term)
            scores[match.group] = scores.get(match.group, 0.0) + match.value
    return scores, terms


# One plain word of urgency is enough; weak hints need company.
_URGENT: Final = 3.0
_HIGH: Final = 1.5


def urgency(reading: Reading) -> RuleAnswer:
    """Return urgent, high, normal or low; normal where nothing speaks for another."""
    if not reading.tokens:
        return NO_ANSWER
    scores, terms = _weights(reading, "urgency")
    urgent, high, low = (scores.get(group, 0.0) for group in ("urgent", "high", "low"))
    if low and low >= urgent:
        return RuleAnswer("low", 0.75, tuple(terms["low"]))
    if reading.polarity.score <= -_VERY:
        high += 0.8  # fury makes a weak hint of urgency a plain one
    if urgent >= _URGENT:
        return RuleAnswer("urgent", 0.6 + 0.35 * (1.0 - math.exp(-(urgent + high) / 4.0)), tuple(terms["urgent"]))
    if high >= _HIGH:
        return RuleAnswer("high", 0.5 + 0.3 * (1.0 - math.exp(-high / 3.0)), tuple(terms.get("high", ())))
    return RuleAnswer("normal", 0.6)


_STAGES: Final = ("bought", "ready", "considering", "exploring")
# The weight at which a stage counts as said.
_STAGE_SAID: Final = 1.5


def purchase_intent(reading: Reading) -> RuleAnswer:
    """Return how near the customer is to buying: the furthest stage that the text speaks of, none where it speaks of none."""
    if not reading.tokens:
        return NO_ANSWER
    scores, terms = _weights(reading, "purchase_intent")
    refusal = scores.get("none", 0.0)
    if refusal and refusal >= max(scores.values()):
        return RuleAnswer("none", 0.75, tuple(terms["none"]))
    for stage in _STAGES:
        if scores.get(stage, 0.0) >= _STAGE_SAID:
            share = scores[stage] / sum(scores.values())
            strength = 1.0 - math.exp(-scores[stage] / 2.0)
            return RuleAnswer(stage, 0.3 + 0.6 * share * strength, tuple(terms[stage]))
    return RuleAnswer("none", 0.55)


_LINK: Final = re.compile(r"https?:|www\.|\.(?:com|net|org|cn|info|biz|ru)\b")
_DIGIT: Final = re.compile(r"\d|xx")
_LONG_NUMBER: Final = re.compile(r"[\dx]{5,}|\d{3,4}-\d{3,}")
_MONEY: Final = re.compile(r"[$£€¥]\s?\d|\d+\s?(?:元|万|usd|gbp|p/)|\d+%")
_SHOUTED: Final = re.compile(r"\b[A-Z]{4,}\b")
_SHOUTS: Final = 3
_EXCLAIMED: Final = 3
# A long text holds more terms by chance: the weight is judged as in a text of this many tokens.
_USUAL_TOKENS: Final = 60
# The weight at which spam and ham are even: one telling term (3) alone is not enough, with any second sign it is; and
# how fast certainty grows from there.
_EVEN: Final = 3.5
_SLOPE: Final = 0.9


def spam(reading: Reading) -> RuleAnswer:
    """Return ham or spam, by the telling terms and signs in relation to the text's length."""
    return reading.spam


def _spam(reading: Reading) -> RuleAnswer:
    if not reading.tokens:
        return NO_ANSWER
    scores, terms = _weights(reading, "spam")
    weight = scores.get("spam", 0.0) + scores.get("ham", 0.0) + _signs(reading)
    weight /= math.sqrt(max(1.0, len(reading.tokens) / _USUAL_TOKENS))
    probability = 1.0 / (1.0 + math.exp(-_SLOPE * (weight - _EVEN)))
    if probability >= 0.5:
        return RuleAnswer("spam", probability, tuple(terms.get("spam", ())))
    return RuleAnswer("ham", 1.0 - probability, tuple(terms.get("ham", ())))


def _signs(reading: Reading) -> float:
    """Return the weight of what mass mail shows beside its words: links, numbers to call, money, shouting."""
    text = reading.text
    weight = 1.0 if ("." in text or ":" in text) and _LINK.search(text) else 0.0
    if _DIGIT.search(text):
        if _LONG_NUMBER.search(text):
            weight += 1.0
        if _MONEY.search(text):
            weight += 1.0
    if len(_SHOUTED.findall(reading.raw)) >= _SHOUTS:
        weight += 1.0
    if text.count("!") >= _EXCLAIMED:
        weight += 0.5
    return weight

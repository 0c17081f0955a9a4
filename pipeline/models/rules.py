"""Answers before anything is learnt: what the word lists and a few patterns say of a text, for
every built-in head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.models.lexicon_files import Entry

if TYPE_CHECKING:
    # What reads is compiled; whoever only needs the table of heads does not wait for it.
    from pipeline.models.lexicon_reading import Reading


class RuleAnswer(NamedTuple):
    """A head's answer by rule: the label ("" where nothing speaks for any), a confidence from 0 to
    1, and the terms that led to it, in order of the text."""

    label: str
    confidence: float
    terms: tuple[str, ...] = ()


NO_ANSWER: Final = RuleAnswer("", 0.0)


Rule = Callable[["Reading"], RuleAnswer]


# Below this the words for and against cancel out, or one faint word (0.5) is all there is.
_NEUTRAL: Final = 0.2
# Two strong words, or one strong and boosted.
_VERY: Final = 0.85


def sentiment(reading: Reading) -> RuleAnswer:
    """Return very_negative, negative, neutral, positive or very_positive; neutral where no word of
    feeling stands.
    """
    if not reading.size:
        return NO_ANSWER
    score, terms = reading.polarity, reading.felt
    size = abs(score)
    if size < _NEUTRAL:
        # Half sure: silence of the lists is weak evidence, more so in a longer text.
        return RuleAnswer("neutral", 0.5 if not terms else 0.4, terms)
    side = "positive" if score > 0 else "negative"
    return RuleAnswer(f"very_{side}" if size >= _VERY else side, 0.5 + 0.45 * size, terms)


# A need is clear when its terms weigh this much: one explicit request (3) gives 0.78 of full
# strength.
_NEED_SCALE: Final = 2.0
# A text may well have two needs: another one takes away half of its weight from the certainty of
# the first.
_OTHER_NEEDS: Final = 0.5
# Feeling alone hints at praise or complaint; an explicit request outweighs it.
_FEELING: Final = 1.0
_STRONG_FEELING: Final = 0.6
# What is only spoken of, with feeling and without asking ("价格便宜，很满意"), is half a need.
_SPOKEN_OF: Final = 0.5
_TOPICS: Final = frozenset(
    (
        "price_inquiry",
        "product_info",
        "availability",
        "logistics",
        "payment",
        "purchase_process",
        "order_status",
    )
)
# A greeting is what a message is about only when it says little else.
_GREETING_TOKENS: Final = 12
_SURE_SPAM: Final = 0.9


def need(reading: Reading) -> RuleAnswer:
    """Return what the customer needs: the label whose distinct terms weigh most, the first
    mentioned among equals.
    """
    unsolicited = reading.spam
    if unsolicited.label == "spam" and unsolicited.confidence >= _SURE_SPAM:
        return RuleAnswer("spam", unsolicited.confidence, unsolicited.terms)
    found = reading.entries_of("need")
    feeling = reading.polarity
    if not found and abs(feeling) < _STRONG_FEELING:
        return NO_ANSWER
    scores = _weights(found)
    scores.pop("inert", None)
    greeting = scores.pop("greeting", 0.0)
    felt = ""
    if abs(feeling) >= _STRONG_FEELING:
        if not reading.entries_of("asking"):
            scores = {
                name: score * (_SPOKEN_OF if name in _TOPICS else 1.0)
                for name, score in scores.items()
            }
        felt = "praise" if feeling > 0 else "complaint"
        scores[felt] = scores.get(felt, 0.0) + _FEELING
    if not scores:
        if greeting and reading.size <= _GREETING_TOKENS:
            return RuleAnswer("greeting", 0.7, _terms(found, "greeting"))
        return NO_ANSWER
    label = max(scores, key=scores.__getitem__)
    top = scores[label]
    share = top / (top + _OTHER_NEEDS * (sum(scores.values()) - top))
    confidence = share * (1.0 - math.exp(-top / _NEED_SCALE))
    terms = _terms(found, label)
    return RuleAnswer(
        label, confidence, tuple(dict.fromkeys(terms + reading.felt)) if label == felt else terms
    )


def _weights(found: Sequence[Entry]) -> dict[str, float]:
    """Return each group's summed weight, in the order they are first met in."""
    scores: dict[str, float] = {}
    for _, group, value, _ in found:
        scores[group] = scores.get(group, 0.0) + value
    return scores


def _terms(found: Sequence[Entry], group: str) -> tuple[str, ...]:
    return tuple([entry.term for entry in found if entry.group == group])


# One plain word of urgency is enough; weak hints need company.
_URGENT: Final = 3.0
_HIGH: Final = 1.5
# Most messages are, but silence of the lists is no strong sign.
_NORMAL: Final = RuleAnswer("normal", 0.6)


def urgency(reading: Reading) -> RuleAnswer:
    """Return urgent, high, normal or low; normal where nothing speaks for another."""
    if not reading.size:
        return NO_ANSWER
    found = reading.entries_of("urgency")
    if not found:
        return _NORMAL
    scores = _weights(found)
    urgent, high, low = (scores.get(group, 0.0) for group in ("urgent", "high", "low"))
    if low and low >= urgent:
        return RuleAnswer("low", 0.75, _terms(found, "low"))
    if reading.polarity <= -_VERY:
        high += 0.8  # fury makes a weak hint of urgency a plain one
    if urgent >= _URGENT:
        return RuleAnswer(
            "urgent", 0.6 + 0.35 * (1.0 - math.exp(-(urgent + high) / 4.0)), _terms(found, "urgent")
        )
    if high >= _HIGH:
        return RuleAnswer("high", 0.5 + 0.3 * (1.0 - math.exp(-high / 3.0)), _terms(found, "high"))
    return _NORMAL


_STAGES: Final = ("bought", "ready", "considering", "exploring")
# The weight at which a stage counts as said.
_STAGE_SAID: Final = 1.5
# Little more than a toss: who speaks of no stage may be at any.
_NO_STAGE: Final = RuleAnswer("none", 0.55)


def purchase_intent(reading: Reading) -> RuleAnswer:
    """Return how near the customer is to buying: the furthest stage that the text speaks of, none
    where it speaks of none.
    """
    if not reading.size:
        return NO_ANSWER
    found = reading.entries_of("purchase_intent")
    if not found:
        return _NO_STAGE
    scores = _weights(found)
    refusal = scores.get("none", 0.0)
    if refusal and refusal >= max(scores.values()):
        return RuleAnswer("none", 0.75, _terms(found, "none"))
    for stage in _STAGES:
        if scores.get(stage, 0.0) >= _STAGE_SAID:
            share = scores[stage] / sum(scores.values())
            strength = 1.0 - math.exp(-scores[stage] / 2.0)
            return RuleAnswer(stage, 0.3 + 0.6 * share * strength, _terms(found, stage))
    return _NO_STAGE


# A long text holds more terms by chance: the weight is judged as in a text of this many tokens.
_USUAL_TOKENS: Final = 60
# The weight at which spam and ham are even: one telling term (3) alone is not enough, with any
# second sign it is; and how fast certainty grows from there.
_EVEN: Final = 3.5
_SLOPE: Final = 0.9
_NOTHING_OF_SPAM: Final = RuleAnswer("ham", 1.0 - 1.0 / (1.0 + math.exp(_SLOPE * _EVEN)))


def spam(reading: Reading) -> RuleAnswer:
    """Return ham or spam, by the telling terms and signs in relation to the text's length."""
    return reading.spam


def spam_of(reading: Reading) -> RuleAnswer:
    """Return what `spam` does, which asks a reading for it: the need's rule asks too, and it is
    worked out once.
    """
    if not reading.size:
        return NO_ANSWER
    found = reading.entries_of("spam")
    if not found and not reading.shown:
        return _NOTHING_OF_SPAM
    scores = _weights(found)
    weight = scores.get("spam", 0.0) + scores.get("ham", 0.0) + reading.signs
    weight /= math.sqrt(max(1.0, reading.size / _USUAL_TOKENS))
    probability = 1.0 / (1.0 + math.exp(-_SLOPE * (weight - _EVEN)))
    if probability >= 0.5:
        return RuleAnswer("spam", probability, _terms(found, "spam"))
    return RuleAnswer("ham", 1.0 - probability, _terms(found, "ham"))

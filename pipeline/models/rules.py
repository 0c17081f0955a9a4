"""The rules of the built-in heads: answers from lexicons and patterns before anything is learnt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from pipeline.models.answers import NO_ANSWER, RuleAnswer, RuleInput
from pipeline.models.lexicon_files import LexiconEntry

# Below this absolute polarity good and bad words cancel out, or there is only one weak word (0.5).
_NEUTRAL: Final = 0.2
# Reached by two strong words, or by one strong word with a booster ("very").
_VERY: Final = 0.85


def sentiment(reading: RuleInput) -> RuleAnswer:
    """Return very_negative to very_positive by polarity; neutral if no term carries sentiment."""
    if not reading.size:
        return NO_ANSWER
    score, terms = reading.polarity, reading.sentiment_terms
    size = abs(score)
    if size < _NEUTRAL:
        # No term at all is weak evidence of neutrality; terms that cancel out are weaker still.
        return RuleAnswer("neutral", 0.5 if not terms else 0.4, terms)
    label = "positive" if score > 0 else "negative"
    return RuleAnswer(f"very_{label}" if size >= _VERY else label, 0.5 + 0.45 * size, terms)


# The weight of terms at which a need is clear: one explicit request (3) reaches 0.78 of full
# confidence.
_NEED_SCALE: Final = 2.0
# A text may have two needs: half the weight of the other needs lowers the confidence in the first.
_OTHER_NEEDS: Final = 0.5
# Sentiment alone suggests praise or complaint; an explicit request outweighs it.
_SENTIMENT_WEIGHT: Final = 1.0
_STRONG_SENTIMENT: Final = 0.6
# A topic that is mentioned with sentiment but not asked about ("价格便宜，很满意") counts half.
_MENTIONED: Final = 0.5
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
# A greeting is the need of a message only if the message says little else.
_GREETING_TOKENS: Final = 12
_CERTAIN_SPAM: Final = 0.9


def need(reading: RuleInput) -> RuleAnswer:
    """Return the need whose distinct terms weigh most; among equals the first mentioned."""
    spam_answer = spam(reading)
    if spam_answer.label == "spam" and spam_answer.confidence >= _CERTAIN_SPAM:
        return RuleAnswer("spam", spam_answer.confidence, spam_answer.terms)
    entries = reading.entries_of("need")
    polarity = reading.polarity
    if not entries and abs(polarity) < _STRONG_SENTIMENT:
        return NO_ANSWER
    scores = _weights(entries)
    scores.pop("inert", None)
    greeting = scores.pop("greeting", 0.0)
    by_sentiment = ""
    if abs(polarity) >= _STRONG_SENTIMENT:
        if not reading.entries_of("asking"):
            scores = {
                name: score * (_MENTIONED if name in _TOPICS else 1.0)
                for name, score in scores.items()
            }
        by_sentiment = "praise" if polarity > 0 else "complaint"
        scores[by_sentiment] = scores.get(by_sentiment, 0.0) + _SENTIMENT_WEIGHT
    if not scores:
        if greeting and reading.size <= _GREETING_TOKENS:
            return RuleAnswer("greeting", 0.7, _terms(entries, "greeting"))
        return NO_ANSWER
    label = max(scores, key=scores.__getitem__)
    top = scores[label]
    share = top / (top + _OTHER_NEEDS * (sum(scores.values()) - top))
    confidence = share * (1.0 - math.exp(-top / _NEED_SCALE))
    terms = _terms(entries, label)
    if label == by_sentiment:
        terms = tuple(dict.fromkeys(terms + reading.sentiment_terms))
    return RuleAnswer(label, confidence, terms)


def _weights(entries: Sequence[LexiconEntry]) -> dict[str, float]:
    """Return the total weight of each group of entries, in order of their first entries."""
    scores: dict[str, float] = {}
    for _, group, value, _ in entries:
        scores[group] = scores.get(group, 0.0) + value
    return scores


def _terms(entries: Sequence[LexiconEntry], group: str) -> tuple[str, ...]:
    return tuple([entry.term for entry in entries if entry.group == group])


# One plain word of urgency reaches this weight; weak words need others beside them.
_URGENT: Final = 3.0
_HIGH: Final = 1.5
# Most messages are normal, but a text without terms of urgency is only weak evidence of it.
_NORMAL: Final = RuleAnswer("normal", 0.6)


def urgency(reading: RuleInput) -> RuleAnswer:
    """Return urgent, high, normal or low; normal if no term supports another label."""
    if not reading.size:
        return NO_ANSWER
    entries = reading.entries_of("urgency")
    if not entries:
        return _NORMAL
    scores = _weights(entries)
    urgent, high, low = (scores.get(group, 0.0) for group in ("urgent", "high", "low"))
    if low and low >= urgent:
        return RuleAnswer("low", 0.75, _terms(entries, "low"))
    if reading.polarity <= -_VERY:
        high += 0.8  # with strong anger a weak word of urgency counts as a plain one
    if urgent >= _URGENT:
        return RuleAnswer(
            "urgent",
            0.6 + 0.35 * (1.0 - math.exp(-(urgent + high) / 4.0)),
            _terms(entries, "urgent"),
        )
    if high >= _HIGH:
        return RuleAnswer(
            "high", 0.5 + 0.3 * (1.0 - math.exp(-high / 3.0)), _terms(entries, "high")
        )
    return _NORMAL


_STAGES: Final = ("bought", "ready", "considering", "exploring")
# The weight of terms at which a text expresses a stage.
_STAGE_WEIGHT: Final = 1.5
# Little better than chance: a customer who mentions no stage may be at any.
_NO_STAGE: Final = RuleAnswer("none", 0.55)


def purchase_intent(reading: RuleInput) -> RuleAnswer:
    """Return the most advanced buying stage that the text expresses; none if it expresses none."""
    if not reading.size:
        return NO_ANSWER
    entries = reading.entries_of("purchase_intent")
    if not entries:
        return _NO_STAGE
    scores = _weights(entries)

    refusal = scores.get("none", 0.0)
    if refusal and refusal >= max(scores.values()):
        return RuleAnswer("none", 0.75, _terms(entries, "none"))
    for stage in _STAGES:
        if scores.get(stage, 0.0) >= _STAGE_WEIGHT:
            share = scores[stage] / sum(scores.values())
            strength = 1.0 - math.exp(-scores[stage] / 2.0)
            return RuleAnswer(stage, 0.3 + 0.6 * share * strength, _terms(entries, stage))
    return _NO_STAGE


# A long text contains more terms by chance: weights are scaled to a text of this many tokens.
_USUAL_TOKENS: Final = 60
# The weight at which spam and ham are equally probable: one typical spam term (3) alone is not
# enough, but with any second signal it is. `_SLOPE` is how fast the probability rises from there.
_EVEN: Final = 3.5
_SLOPE: Final = 0.9
_NO_SPAM_SIGNALS: Final = RuleAnswer("ham", 1.0 - 1.0 / (1.0 + math.exp(_SLOPE * _EVEN)))


def spam(reading: RuleInput) -> RuleAnswer:
    """Return ham or spam by terms and spam signals relative to the text's length; cached."""
    if reading.spam_answer is None:
        reading.spam_answer = _spam(reading)
    return reading.spam_answer


def _spam(reading: RuleInput) -> RuleAnswer:
    if not reading.size:
        return NO_ANSWER
    entries = reading.entries_of("spam")
    if not entries and not reading.has_spam_signals:
        return _NO_SPAM_SIGNALS
    scores = _weights(entries)
    weight = scores.get("spam", 0.0) + scores.get("ham", 0.0) + reading.spam_signal_weight
    weight /= math.sqrt(max(1.0, reading.size / _USUAL_TOKENS))
    probability = 1.0 / (1.0 + math.exp(-_SLOPE * (weight - _EVEN)))
    if probability >= 0.5:
        return RuleAnswer("spam", probability, _terms(entries, "spam"))
    return RuleAnswer("ham", 1.0 - probability, _terms(entries, "ham"))

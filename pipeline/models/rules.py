"""Answers before anything is learnt: what the word lists and a few patterns say of a text, for every built-in head."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, NamedTuple

from pipeline.models import signs
from pipeline.models.characters import READ_CHARACTERS
from pipeline.models.scanning import scan
from pipeline.models.segments import Segments, whole
from pipeline.models.terms import Entry, tokenise


class RuleAnswer(NamedTuple):
    """A head's answer by rule: the label ("" where nothing speaks for any), a confidence from 0 to 1, and the terms
    that led to it, in order of the text."""

    label: str
    confidence: float
    terms: tuple[str, ...] = ()


NO_ANSWER: Final = RuleAnswer("", 0.0)


@dataclass(slots=True)
class Reading:
    """A text read once for all heads: as written, in normal form, and what is found in it: one of the segments of its batch.

    `shown` is what its characters show of spam (`signs.look`).
    """

    raw: str
    text: str
    segments: Segments
    place: int
    shown: int
    _spam: RuleAnswer | None = None
    _tokens: list[str] | None = None

    @property
    def size(self) -> int:
        """How many tokens it has."""
        return self.segments.sizes[self.place]

    @property
    def tokens(self) -> list[str]:
        """Its tokens, cut out at first use: the built-in heads need none."""
        if self._tokens is None:
            self._tokens = tokenise(self.text)
        return self._tokens

    @property
    def polarity(self) -> float:
        """The feeling of the text from -1 (bad) to 1 (good)."""
        return self.segments.polarities[self.place]

    @property
    def felt(self) -> tuple[str, ...]:
        """The terms that carry the feeling, in order of the text."""
        return self.segments.felt(self.place)

    def entries_of(self, head: str) -> list[Entry]:
        """Return the distinct entries of a head's lists that were found, in order of the text."""
        return self.segments.entries_of(self.place, head)

    @property
    def spam(self) -> RuleAnswer:
        """Ham or spam, worked out at first use."""
        if self._spam is None:
            self._spam = _spam(self)
        return self._spam


Rule = Callable[[Reading], RuleAnswer]


def read_all(raws: Sequence[str], texts: Sequence[str]) -> list[Reading]:
    """Read texts as written (any `str`), together: `texts` are their normal forms (`characters.normalise`)."""
    segments = whole(scan(texts))
    read = [raw[:READ_CHARACTERS] for raw in raws]
    shown = signs.look(read, segments.scan)
    return list(map(Reading, read, texts, repeat(segments), range(len(texts)), shown))


# Below this the words for and against cancel out, or one faint word (0.5) is all there is.
_NEUTRAL: Final = 0.2
# Two strong words, or one strong and boosted.
_VERY: Final = 0.85


def sentiment(reading: Reading) -> RuleAnswer:
    """Return very_negative, negative, neutral, positive or very_positive; neutral where no word of feeling stands."""
    if not reading.size:
        return NO_ANSWER
    score, terms = reading.polarity, reading.felt
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
            scores = {name: score * (_SPOKEN_OF if name in _TOPICS else 1.0) for name, score in scores.items()}
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
    return RuleAnswer(label, confidence, tuple(dict.fromkeys(terms + reading.felt)) if label == felt else terms)


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
        return RuleAnswer("urgent", 0.6 + 0.35 * (1.0 - math.exp(-(urgent + high) / 4.0)), _terms(found, "urgent"))
    if high >= _HIGH:
        return RuleAnswer("high", 0.5 + 0.3 * (1.0 - math.exp(-high / 3.0)), _terms(found, "high"))
    return _NORMAL


_STAGES: Final = ("bought", "ready", "considering", "exploring")
# The weight at which a stage counts as said.
_STAGE_SAID: Final = 1.5
# Little more than a toss: who speaks of no stage may be at any.
_NO_STAGE: Final = RuleAnswer("none", 0.55)


def purchase_intent(reading: Reading) -> RuleAnswer:
    """Return how near the customer is to buying: the furthest stage that the text speaks of, none where it speaks of none."""
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
# The weight at which spam and ham are even: one telling term (3) alone is not enough, with any second sign it is; and
# how fast certainty grows from there.
_EVEN: Final = 3.5
_SLOPE: Final = 0.9
_NOTHING_OF_SPAM: Final = RuleAnswer("ham", 1.0 - 1.0 / (1.0 + math.exp(_SLOPE * _EVEN)))


def spam(reading: Reading) -> RuleAnswer:
    """Return ham or spam, by the telling terms and signs in relation to the text's length."""
    return reading.spam


def _spam(reading: Reading) -> RuleAnswer:
    if not reading.size:
        return NO_ANSWER
    found = reading.entries_of("spam")
    if not found and not reading.shown:
        return _NOTHING_OF_SPAM
    scores = _weights(found)
    weight = scores.get("spam", 0.0) + scores.get("ham", 0.0) + signs.weight_of(reading.shown, reading.text)
    weight /= math.sqrt(max(1.0, reading.size / _USUAL_TOKENS))
    probability = 1.0 / (1.0 + math.exp(-_SLOPE * (weight - _EVEN)))
    if probability >= 0.5:
        return RuleAnswer("spam", probability, _terms(found, "spam"))
    return RuleAnswer("ham", 1.0 - probability, _terms(found, "ham"))

"""What answers: every head's model, or its rule, as they stood at one offset of the examples
topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from pipeline.models.clauses import Sure, clauses, together
from pipeline.models.features import Features, extract
from pipeline.models.heads import Head
from pipeline.models.inference import FrozenLearner, Hints
from pipeline.models.lexicon_reading import Reading, read_all
from pipeline.models.rules import NO_ANSWER, RuleAnswer
from pipeline.text.normal_form import normalise

Source = Literal["rules", "model"]

# A clause's answer stands beside others only where its label is likelier than all others together;
# of the rules', only where a term asks for just that (0.78 by `rules.need`), for what is merely
# named (0.63) may be spoken of. On pairs of messages (banking77, clinc, smp2017) 86 to 97 % of the
# labels given beside the first were right; of single messages 0.7 to 8.5 % got one.
_SURE_MODEL: Final = 0.5
_SURE_RULE: Final = 0.7
# A model this sure of the whole has read one thing in it; of such pairs no more than two in a
# hundred were missed for it.
_OF_ONE_THING: Final = 0.98


class Prediction(NamedTuple):
    """One head's answer about one text.

    `label` is the best guess also where the head abstains; it is "" where the head does not apply
    to the text's direction or nothing speaks for any label. `probability` is 0 to 1. `version`
    names what answered: "rules/<lists>" or "<generation>/<offset>/<recipe>". `also` are the further
    labels of a text that asks several things.
    """

    label: str
    probability: float
    abstained: bool
    version: str
    source: Source
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadView:
    """One head within a classifier: its model once that may answer, else None, and below which
    probability it abstains.
    """

    head: Head
    model: FrozenLearner | None
    threshold: float


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Classifier:
    """The models as they stood at one offset. It never changes, whatever the replica folds
    afterwards, and may be used by several threads."""

    version: str
    rules_version: str
    views: tuple[HeadView, ...]

    def classify(
        self, texts: Sequence[str], directions: Sequence[str]
    ) -> list[dict[str, Prediction]]:
        """Return every head's answer about each text, by head name, in the order of the texts.

        `directions` are "inbound", "outbound", "internal" or "" (unknown), one for each text. An
        answer depends on its text, its direction and the version alone. Raises ValueError when the
        lengths differ.
        """
        if len(texts) != len(directions):
            raise ValueError(f"{len(texts)} texts but {len(directions)} directions")
        normal = [normalise(text) for text in texts]
        readings = read_all(texts, normal)
        extracted = extract(normal) if any(view.model is not None for view in self.views) else None
        columns = [self._answer(view, readings, directions, extracted) for view in self.views]
        names = [view.head.name for view in self.views]
        if not columns:
            return [{} for _ in texts]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def answering(self) -> set[str]:
        """Return the names of the heads whose models answer; rules answer for the others."""
        return {view.head.name for view in self.views if view.model is not None}

    def _answer(
        self,
        view: HeadView,
        readings: Sequence[Reading],
        directions: Sequence[str],
        extracted: Features | None,
    ) -> list[Prediction]:
        head = view.head
        asked = [
            place
            for place, (reading, direction) in enumerate(zip(readings, directions, strict=True))
            if reading.size and head.applies_to(direction)
        ]
        version = self.rules_version if view.model is None else self.version
        source: Source = "rules" if view.model is None else "model"
        answers = [Prediction("", 0.0, True, version, source)] * len(readings)
        read_here = [readings[place] for place in asked]
        guesses = self._guesses(view, read_here, extracted, asked)
        sure = self._sure(view, _parts(view, read_here, guesses))
        for number, (place, (guess, confidence)) in enumerate(zip(asked, guesses, strict=True)):
            if number in sure:
                label, top, also = together(guess, confidence, sure[number])
                answers[place] = Prediction(label, top, top < view.threshold, version, source, also)
            elif guess:
                answers[place] = Prediction(
                    guess, confidence, confidence < view.threshold, version, source
                )
        return answers

    def _guesses(
        self,
        view: HeadView,
        readings: Sequence[Reading],
        extracted: Features | None,
        places: Sequence[int],
    ) -> list[tuple[str, float]]:
        """Return each reading's best label and its probability; `places` are those of the readings
        among the features.
        """
        answers = [rule_answer(view.head, reading) for reading in readings]
        if view.model is None or extracted is None:
            return [(answer.label, answer.confidence) for answer in answers]
        if not answers:
            return []
        probabilities = view.model.predict_proba(
            _rows(extracted, places), hints_of(view.head, answers)
        )
        labels = view.model.labels
        best, tops = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
        return [(labels[place], top) for place, top in zip(best, tops, strict=True)]

    def _sure(
        self, view: HeadView, parts: Mapping[int, Sequence[Reading]]
    ) -> dict[int, list[Sure]]:
        """Return, of texts in parts, what their clauses are sure of."""
        if not parts:
            return {}
        flat = [(number, clause) for number, own in parts.items() for clause in own]
        readings = [clause for _, clause in flat]
        extracted = (
            extract([clause.text for clause in readings]) if view.model is not None else None
        )
        least = max(view.threshold, _SURE_RULE if view.model is None else _SURE_MODEL)
        sure: dict[int, list[Sure]] = {number: [] for number in parts}
        for (number, _), (label, probability) in zip(
            flat, self._guesses(view, readings, extracted, range(len(readings))), strict=True
        ):
            if probability >= least and label in view.head.combinable:
                sure[number].append(Sure(label, probability))
        return sure


def rule_answer(head: Head, reading: Reading) -> RuleAnswer:
    """Return what a head's rule says of a text; nothing where it has none."""
    return NO_ANSWER if head.rule is None else head.rule(reading)


def hints_of(head: Head, answers: Sequence[RuleAnswer]) -> Hints:
    """Return a rule's answers as the hints that a head's model is given; none where the head has no
    rule.
    """
    if head.rule is None:
        return Hints.none(len(answers))
    places = {label: place for place, label in enumerate(head.labels)}
    return Hints(
        np.array([places.get(answer.label, -1) for answer in answers], dtype=np.int64),
        # Silence of the rule is a hint of its own, at full strength.
        np.array(
            [answer.confidence if answer.label else 1.0 for answer in answers], dtype=np.float32
        ),
    )


def _parts(
    view: HeadView, readings: Sequence[Reading], guesses: Sequence[tuple[str, float]]
) -> dict[int, list[Reading]]:
    """Return the clauses of those texts that may ask several things, by place; none where the head
    gives one label only.
    """
    if not view.head.combinable:
        return {}
    asked = [
        place
        for place, (reading, (_, probability)) in enumerate(zip(readings, guesses, strict=True))
        if _may_ask_several(view, reading, probability)
    ]
    found = clauses([readings[place] for place in asked])
    return {place: own for place, own in zip(asked, found, strict=True) if own}


def _may_ask_several(view: HeadView, reading: Reading, probability: float) -> bool:
    if view.model is not None:
        return probability < _OF_ONE_THING
    # By the lists alone a text asks as many things as it has terms of different groups.
    return (
        bool(view.head.terms)
        or len({entry.group for entry in reading.entries_of(view.head.name)}) > 1
    )


def _rows(features: Features, places: Sequence[int]) -> Features:
    """Return the features of some of the texts, in their order."""
    if len(places) == len(features):
        return features
    spans = [(int(features.starts[place]), int(features.starts[place + 1])) for place in places]
    chosen = np.concatenate([np.arange(first, last) for first, last in spans])
    starts = np.cumsum([0, *(last - first for first, last in spans)]).astype(np.int64)
    return Features(
        starts,
        features.buckets[chosen],
        features.tf[chosen],
        features.families[chosen],
        features.meanings[places],
    )

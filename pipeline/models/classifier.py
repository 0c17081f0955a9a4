"""The classifier: every head's model, or its rule, at one offset of the examples log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from pipeline.models.answers import NO_ANSWER, RuleAnswer
from pipeline.models.clauses import ClauseAnswer, merge_answers, split_clauses
from pipeline.models.features import Features, extract_features
from pipeline.models.heads import Head
from pipeline.models.inference import InferenceModel, RuleHints
from pipeline.models.lexicon_reading import LexiconReading, read_texts
from pipeline.text.normal_form import normalise

AnswerSource = Literal["rules", "model"]

# The probability from which a clause's answer counts. A model's label must be more probable than
# all others together. A rule needs an explicit request (0.78 by `rules.need`), because a topic that
# is merely mentioned (0.63) may not be asked about. On pairs of messages from banking77, clinc and
# smp2017, 86 to 97 % of the further labels were right; of single messages 0.7 to 8.5 % got one.
_CLAUSE_THRESHOLD_MODEL: Final = 0.5
_CLAUSE_THRESHOLD_RULE: Final = 0.7
# If a model is this certain of a whole text, the text is about one thing; this misses no more than
# two of a hundred such pairs.
_SINGLE_TOPIC_PROBABILITY: Final = 0.98


class HeadPrediction(NamedTuple):
    """One head's answer about one text.

    `label` is the best guess even if the head abstains; it is "" if the head does not apply to the
    text's direction, or nothing supports any label. `probability` is 0 to 1. `version` names what
    answered: "rules/<lists>" or "<generation>/<offset>/<recipe>". `also` holds the further labels
    of a text that asks several things.
    """

    label: str
    probability: float
    abstained: bool
    version: str
    source: AnswerSource
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadView:
    """One head of a classifier: its model (None while rules answer) and its threshold.

    Below `threshold`, a probability, the head abstains.
    """

    head: Head
    model: InferenceModel | None
    threshold: float


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Classifier:
    """All heads at one offset of the examples log.

    It is immutable, whatever the replica folds afterwards, and safe for use by several threads.
    """

    version: str
    rules_version: str
    views: tuple[HeadView, ...]

    def classify(
        self, texts: Sequence[str], directions: Sequence[str]
    ) -> list[dict[str, HeadPrediction]]:
        """Return the prediction of every head for each text, by head name, in order of the texts.

        `directions` are "inbound", "outbound", "internal" or "" (unknown), one for each text. An
        answer depends on its text, its direction and the version alone. Raises ValueError when the
        lengths differ.
        """
        if len(texts) != len(directions):
            raise ValueError(f"{len(texts)} texts but {len(directions)} directions")
        normal = [normalise(text) for text in texts]
        readings = read_texts(texts, normal)
        extracted = (
            extract_features(normal) if any(view.model is not None for view in self.views) else None
        )
        columns = [self._answer(view, readings, directions, extracted) for view in self.views]
        names = [view.head.name for view in self.views]
        if not columns:
            return [{} for _ in texts]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def heads_with_model(self) -> set[str]:
        """Return the names of the heads that answer by a model; the others answer by rules."""
        return {view.head.name for view in self.views if view.model is not None}

    def _answer(
        self,
        view: HeadView,
        readings: Sequence[LexiconReading],
        directions: Sequence[str],
        extracted: Features | None,
    ) -> list[HeadPrediction]:
        head = view.head
        applicable = [
            index
            for index, (reading, direction) in enumerate(zip(readings, directions, strict=True))
            if reading.size and head.applies_to(direction)
        ]
        version = self.rules_version if view.model is None else self.version
        source: AnswerSource = "rules" if view.model is None else "model"
        answers = [HeadPrediction("", 0.0, True, version, source)] * len(readings)
        selected = [readings[index] for index in applicable]
        guesses = self._guesses(view, selected, extracted, applicable)
        of_clauses = self._clause_answers(view, _clauses_by_text(view, selected, guesses))
        for number, (index, (guess, confidence)) in enumerate(
            zip(applicable, guesses, strict=True)
        ):
            if number in of_clauses:
                label, top, also = merge_answers(guess, confidence, of_clauses[number])
                answers[index] = HeadPrediction(
                    label, top, top < view.threshold, version, source, also
                )
            elif guess:
                answers[index] = HeadPrediction(
                    guess, confidence, confidence < view.threshold, version, source
                )
        return answers

    def _guesses(
        self,
        view: HeadView,
        readings: Sequence[LexiconReading],
        extracted: Features | None,
        indexes: Sequence[int],
    ) -> list[tuple[str, float]]:
        """Return each reading's best label and its probability.

        `indexes` are the indexes of the readings' texts among the features.
        """
        answers = [rule_answer(view.head, reading) for reading in readings]
        if view.model is None or extracted is None:
            return [(answer.label, answer.confidence) for answer in answers]
        if not answers:
            return []
        probabilities = view.model.predict_proba(
            _rows(extracted, indexes), rule_hints(view.head, answers)
        )
        labels = view.model.labels
        best, tops = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
        return [(labels[column], top) for column, top in zip(best, tops, strict=True)]

    def _clause_answers(
        self, view: HeadView, parts: Mapping[int, Sequence[LexiconReading]]
    ) -> dict[int, list[ClauseAnswer]]:
        """Return the confident answers of the clauses of each text, by the text's index."""
        if not parts:
            return {}
        flat = [(number, clause) for number, own in parts.items() for clause in own]
        readings = [clause for _, clause in flat]
        extracted = (
            extract_features([clause.text for clause in readings])
            if view.model is not None
            else None
        )
        threshold = max(
            view.threshold,
            _CLAUSE_THRESHOLD_RULE if view.model is None else _CLAUSE_THRESHOLD_MODEL,
        )
        confident: dict[int, list[ClauseAnswer]] = {number: [] for number in parts}
        for (number, _), (label, probability) in zip(
            flat, self._guesses(view, readings, extracted, range(len(readings))), strict=True
        ):
            if probability >= threshold and label in view.head.combinable:
                confident[number].append(ClauseAnswer(label, probability))
        return confident


def rule_answer(head: Head, reading: LexiconReading) -> RuleAnswer:
    """Return the answer of a head's rule; `NO_ANSWER` if the head has no rule."""
    return NO_ANSWER if head.rule is None else head.rule(reading)


def rule_hints(head: Head, answers: Sequence[RuleAnswer]) -> RuleHints:
    """Return a rule's answers as hints for the head's model; empty hints if it has no rule."""
    if head.rule is None:
        return RuleHints.none(len(answers))
    indexes = {label: index for index, label in enumerate(head.labels)}
    return RuleHints(
        np.array([indexes.get(answer.label, -1) for answer in answers], dtype=np.int64),
        # That the rule has no answer is a hint of its own, at full strength.
        np.array(
            [answer.confidence if answer.label else 1.0 for answer in answers], dtype=np.float32
        ),
    )


def _clauses_by_text(
    view: HeadView, readings: Sequence[LexiconReading], guesses: Sequence[tuple[str, float]]
) -> dict[int, list[LexiconReading]]:
    """Return the clauses of the texts that may ask several things, by the text's index.

    It is empty for a head whose texts have one label only.
    """
    if not view.head.combinable:
        return {}
    splittable = [
        index
        for index, (reading, (_, probability)) in enumerate(zip(readings, guesses, strict=True))
        if _may_ask_several(view, reading, probability)
    ]
    clauses = split_clauses([readings[index] for index in splittable])
    return {index: parts for index, parts in zip(splittable, clauses, strict=True) if parts}


def _may_ask_several(view: HeadView, reading: LexiconReading, probability: float) -> bool:
    if view.model is not None:
        return probability < _SINGLE_TOPIC_PROBABILITY
    # By lexicons alone a text asks as many things as it has terms of different groups.
    return (
        bool(view.head.terms)
        or len({entry.group for entry in reading.entries_of(view.head.name)}) > 1
    )


def _rows(features: Features, indexes: Sequence[int]) -> Features:
    """Return the features of some of the texts, in the order of `indexes`."""
    if len(indexes) == len(features):
        return features
    spans = [(int(features.starts[index]), int(features.starts[index + 1])) for index in indexes]
    chosen = np.concatenate([np.arange(first, last) for first, last in spans])
    starts = np.cumsum([0, *(last - first for first, last in spans)]).astype(np.int64)
    return Features(
        starts,
        features.buckets[chosen],
        features.tf[chosen],
        features.families[chosen],
        features.embeddings[indexes],
    )

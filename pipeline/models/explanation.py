"""Explain answers: the n-grams that moved the model, the terms of the rule, and the clauses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.models.answers import RuleAnswer
from pipeline.models.classifier import Classifier, HeadPrediction, HeadView, rule_answer, rule_hints
from pipeline.models.clauses import split_clauses
from pipeline.models.features import Features, extract_features, size_buckets
from pipeline.models.inference import InferenceModel
from pipeline.models.lexicon_files import tokenise
from pipeline.models.lexicon_reading import read_texts
from pipeline.text.normal_form import READ_CHARACTERS, normalise

# Features are made of n-grams of one to three tokens; characters within a word belong to the word.
_LONGEST: Final = 3
# The text of the contribution that belongs to no n-gram: the text's sizes, and collisions of
# n-grams in one bucket.
UNATTRIBUTED: Final = ""


@dataclass(frozen=True, slots=True)
class NgramContribution:
    """An n-gram of the text and what it adds to the score (a logit) of each label.

    A `text` of `UNATTRIBUTED` collects what belongs to no n-gram.
    """

    text: str
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer and what led to it.

    `threshold` is the probability below which the head abstains. `rule` is the rule's answer; if
    the model answered, that was a hint to it, and `hint` is what the hint adds to each label's
    score. `probabilities` are those of the whole text, the most probable label first;
    `contributions` begin with those that move the answer's label most. Both are empty if no model
    answered. `clauses` are the parts of a text that may ask several things, with the label and
    probability of each alone. What the word embeddings add is spread evenly over the features, and
    so over the n-grams that have them.
    """

    head: str
    answer: HeadPrediction
    threshold: float
    rule: RuleAnswer
    hint: Mapping[str, float]
    probabilities: Mapping[str, float]
    contributions: tuple[NgramContribution, ...]
    clauses: tuple[tuple[str, str, float], ...]


def explain(
    classifier: Classifier, text: str, direction: str = "inbound"
) -> dict[str, Explanation]:
    """Return the explanation of each head's answer, by head name.

    `direction` is as in `Classifier.classify`.
    """
    answers = classifier.classify([text], [direction])[0]
    return {
        view.head.name: _explanation(classifier, view, answers[view.head.name], text, direction)
        for view in classifier.views
    }


def _explanation(
    classifier: Classifier, view: HeadView, answer: HeadPrediction, text: str, direction: str
) -> Explanation:
    normal = normalise(text)
    reading = read_texts([text], [normal])[0]
    rule = rule_answer(view.head, reading)
    hint: dict[str, float] = {}
    probabilities: dict[str, float] = {}
    contributions: tuple[NgramContribution, ...] = ()
    if view.model is not None and answer.label:
        features, hints = extract_features([normal]), rule_hints(view.head, [rule])
        likely = view.model.predict_proba(features, hints)[0]
        order = np.argsort(-likely, kind="stable")
        probabilities = {
            view.model.labels[column]: float(likely[column])
            for column in order
            if likely[column] > 0.0
        }
        parts, hinted = view.model.contributions(features, hints)
        hint = dict(zip(view.model.labels, hinted.tolist(), strict=True))
        contributions = _contributions(normal, features, parts, view.model, answer.label)
    clauses = split_clauses([reading])[0] if view.head.combinable and answer.label else []
    answers = classifier.classify([clause.text for clause in clauses], [direction] * len(clauses))
    clause_answers = tuple(
        (clause.text, by_head[view.head.name].label, by_head[view.head.name].probability)
        for clause, by_head in zip(clauses, answers, strict=True)
    )
    return Explanation(
        view.head.name,
        answer,
        view.threshold,
        rule,
        hint,
        probabilities,
        contributions,
        clause_answers,
    )


def _contributions(
    normal: str,
    features: Features,
    parts: npt.NDArray[np.float32],
    model: InferenceModel,
    label: str,
) -> tuple[NgramContribution, ...]:
    """Return the n-grams with the sums of their features' parts, what moves `label` most first."""
    owners = dict(zip(features.buckets.tolist(), range(len(features.buckets)), strict=True))
    sums: dict[str, npt.NDArray[np.float32]] = {}
    for ngram, buckets in _ngrams_with_features(normal[:READ_CHARACTERS], owners):
        rows = [owners[bucket] for bucket in buckets]
        sums[ngram] = parts[rows].sum(axis=0)
    column = model.labels.index(label)
    order = sorted(sums, key=lambda ngram: (-abs(float(sums[ngram][column])), ngram))
    return tuple(
        NgramContribution(ngram, dict(zip(model.labels, sums[ngram].tolist(), strict=True)))
        for ngram in order
    )


def _ngrams_with_features(text: str, known: Mapping[int, int]) -> Iterator[tuple[str, list[int]]]:
    """Yield each n-gram with its own features: those that it has and no shorter n-gram in it has.

    The features of an n-gram are those of a text that consists of it, so this is correct however
    features are computed.
    """
    free = known.keys() - size_buckets(text)
    for size in range(1, _LONGEST + 1):
        ngrams = list(dict.fromkeys(_ngrams(text, size)))
        features = extract_features(ngrams)
        for number, ngram in enumerate(ngrams):
            first, last = features.starts[number], features.starts[number + 1]
            own = [bucket for bucket in features.buckets[first:last].tolist() if bucket in free]
            if own:
                free.difference_update(own)
                yield ngram, own
    if rest := free | (known.keys() & size_buckets(text)):
        yield UNATTRIBUTED, sorted(rest)


def _ngrams(text: str, size: int) -> list[str]:
    spans: list[tuple[int, int]] = []
    end = 0
    for token in tokenise(text):
        start = text.index(token, end)
        end = start + len(token)
        spans.append((start, end))
    return [
        text[spans[first][0] : spans[first + size - 1][1]] for first in range(len(spans) - size + 1)
    ]


def top_contributions(
    contributions: Sequence[NgramContribution], label: str, most: int
) -> list[tuple[str, float]]:
    """Return the `most` n-grams that move a label's score most, up or down, and by how much.

    >>> ngrams = [NgramContribution("late", {"bad": 1.5}), NgramContribution("hi", {"bad": -2.0})]
    >>> top_contributions(ngrams, "bad", 1)
    [('hi', -2.0)]
    """
    weights = sorted(
        ((ngram.text, ngram.weights[label]) for ngram in contributions),
        key=lambda pair: -abs(pair[1]),
    )
    return [(text, weight) for text, weight in weights if weight][:most]

"""Why a head answered as it did: the pieces of the text that moved the model, the terms that moved
the rule, clause by clause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.models.classifier import Classifier, HeadView, Prediction, hints_of, rule_answer
from pipeline.models.clauses import clauses
from pipeline.models.features import Features, extract, sizes_of
from pipeline.models.inference import FrozenLearner
from pipeline.models.lexicon_files import tokenise
from pipeline.models.lexicon_reading import read_all
from pipeline.models.rules import RuleAnswer
from pipeline.text.normal_form import READ_CHARACTERS, normalise

# Token n-grams of one to three are all that features are made of; characters within a word count as
# that word's.
_LONGEST: Final = 3
# What no piece of the text accounts for: its sizes, and two n-grams in one bucket.
OTHER: Final = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """An n-gram of the text and what it adds to the score (a logit) of each label; "" is what no
    n-gram accounts for.
    """

    text: str
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer and what led to it.

    `threshold` is the probability below which the head abstains. `rule` is what the rule says;
    where the model answered, it is a hint to it, and `hint` is what that adds to each label's
    score. `probabilities` are those of the whole text, the likeliest first; they and `pieces`,
    those that move the answer's label most first, are empty where no model answered. `clauses` are
    the parts of a text that may ask several things, with what each by itself would be. What the
    words' meaning adds is spread over the features, and so over the pieces that have them.
    """

    head: str
    answer: Prediction
    threshold: float
    rule: RuleAnswer
    hint: Mapping[str, float]
    probabilities: Mapping[str, float]
    pieces: tuple[Piece, ...]
    clauses: tuple[tuple[str, str, float], ...]


def explain(
    classifier: Classifier, text: str, direction: str = "inbound"
) -> dict[str, Explanation]:
    """Return why each head answers as it does about a text, by head name; see `Classifier.classify`
    for `direction`.
    """
    answers = classifier.classify([text], [direction])[0]
    return {
        view.head.name: _explanation(classifier, view, answers[view.head.name], text, direction)
        for view in classifier.views
    }


def _explanation(
    classifier: Classifier, view: HeadView, answer: Prediction, text: str, direction: str
) -> Explanation:
    normal = normalise(text)
    reading = read_all([text], [normal])[0]
    rule = rule_answer(view.head, reading)
    hint: dict[str, float] = {}
    probabilities: dict[str, float] = {}
    pieces: tuple[Piece, ...] = ()
    if view.model is not None and answer.label:
        features, hints = extract([normal]), hints_of(view.head, [rule])
        likely = view.model.predict_proba(features, hints)[0]
        order = np.argsort(-likely, kind="stable")
        probabilities = {
            view.model.labels[place]: float(likely[place]) for place in order if likely[place] > 0.0
        }
        parts, hinted = view.model.contributions(features, hints)
        hint = dict(zip(view.model.labels, hinted.tolist(), strict=True))
        pieces = _pieces(normal, features, parts, view.model, answer.label)
    own = clauses([reading])[0] if view.head.combinable and answer.label else []
    said = classifier.classify([clause.text for clause in own], [direction] * len(own))
    asked = tuple(
        (clause.text, one[view.head.name].label, one[view.head.name].probability)
        for clause, one in zip(own, said, strict=True)
    )
    return Explanation(
        view.head.name, answer, view.threshold, rule, hint, probabilities, pieces, asked
    )


def _pieces(
    normal: str,
    features: Features,
    parts: npt.NDArray[np.float32],
    model: FrozenLearner,
    label: str,
) -> tuple[Piece, ...]:
    """Return the n-grams of a text with what their features add up to, what moves `label` most
    first.
    """
    owners = dict(zip(features.buckets.tolist(), range(len(features.buckets)), strict=True))
    sums: dict[str, npt.NDArray[np.float32]] = {}
    for piece, buckets in _owned(normal[:READ_CHARACTERS], owners):
        rows = [owners[bucket] for bucket in buckets]
        sums[piece] = parts[rows].sum(axis=0)
    place = model.labels.index(label)
    order = sorted(sums, key=lambda piece: (-abs(float(sums[piece][place])), piece))
    return tuple(
        Piece(piece, dict(zip(model.labels, sums[piece].tolist(), strict=True))) for piece in order
    )


def _owned(text: str, known: Mapping[int, int]) -> Iterator[tuple[str, list[int]]]:
    """Yield each n-gram of a text with the features that are its own: those that it has and none of
    its parts has.

    An n-gram's features are found by taking it for a text of its own, so this holds whatever
    features are made of.
    """
    free = known.keys() - sizes_of(text)
    for size in range(1, _LONGEST + 1):
        grams = list(dict.fromkeys(_grams(text, size)))
        found = extract(grams)
        for number, gram in enumerate(grams):
            buckets = found.buckets[found.starts[number] : found.starts[number + 1]].tolist()
            own = [bucket for bucket in buckets if bucket in free]
            if own:
                free.difference_update(own)
                yield gram, own
    if rest := free | (known.keys() & sizes_of(text)):
        yield OTHER, sorted(rest)


def _grams(text: str, size: int) -> list[str]:
    spans: list[tuple[int, int]] = []
    end = 0
    for token in tokenise(text):
        start = text.index(token, end)
        end = start + len(token)
        spans.append((start, end))
    return [
        text[spans[first][0] : spans[first + size - 1][1]] for first in range(len(spans) - size + 1)
    ]


def strongest(pieces: Sequence[Piece], label: str, most: int) -> list[tuple[str, float]]:
    """Return the n-grams that move a label's score most, in either direction, with by how much."""
    moved = sorted(
        ((piece.text, piece.weights[label]) for piece in pieces), key=lambda one: -abs(one[1])
    )
    return [(text, weight) for text, weight in moved if weight][:most]

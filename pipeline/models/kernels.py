"""The compiled arithmetic of the online learner: weighting of features, scores, softmax, mixture
and the AdaGrad steps.

A row of weights holds every expert's, one expert after the other: arrays of weights have the shape
(rows, experts * room for labels). In inner loops arrays are read by index, never row by row: a view
of a row counts its references, which costs more than the row's sums.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.jit import compiled

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_LOWEST: Final = np.float32(-3.0e38)
# A mixture's weight never falls to nothing, so that the first mistakes cannot silence every expert.
_LEAST_SHARE: Final = np.float32(0.02)
# Keeps the first step of a mixture's weight finite.
_FIRST_SQUARE: Final = np.float32(1e-8)

# The columns of `steps`, one row for each expert.
RATE: Final = 0
ACCUMULATOR: Final = 1
MARGIN: Final = 2
MEANING_RATE: Final = 3
MEANING_ACCUMULATOR: Final = 4
STEP_COLUMNS: Final = 5

# Most features stand in few documents, so the logarithms of small counts are looked up; of 4,096
# they fit a core's own memory.
_LOGS: Final = np.log(1.0 + np.arange(4_096))


class Weights(NamedTuple):
    """What scores a text: weights of hashed features, of the dimensions of meaning and of hints;
    the experts' shares.
    """

    hashed: Floats
    meaning: Floats
    hints: Floats
    shares: Floats


class Squares(NamedTuple):
    """Sums of squared gradients of the weights of the same name."""

    hashed: Floats
    meaning: Floats
    hints: Floats
    shares: Floats


class Seen(NamedTuple):
    """What was met so far: documents with each bucket, and documents of each label."""

    documents_with: Int32s
    labels: Int64s


class Example(NamedTuple):
    """The features of one text."""

    buckets: Int32s
    tf: Floats
    families: Bytes
    meaning: Floats
    hint: int
    strength: float


@compiled
def weigh(
    buckets: Int32s,
    tf: Floats,
    families: Bytes,
    documents_with: Int32s,
    documents: int,
    family_weights: Floats,
    values: Floats,
) -> None:
    """Fill `values` with tf·idf, each family scaled to its weight in L2 norm.

    idf = ln((1 + documents) / (1 + documents with the feature)) + 1, the smoothed form of
    scikit-learn's TfidfTransformer.
    """
    norms = np.zeros(len(family_weights), dtype=np.float64)
    log_documents = np.log(1.0 + documents)
    for j in range(len(buckets)):
        count = documents_with[buckets[j]]
        log_count = _LOGS[count] if count < len(_LOGS) else np.log(1.0 + count)
        value = tf[j] * (log_documents - log_count + 1.0)
        values[j] = value
        norms[families[j]] += value * value
    for family in range(len(family_weights)):
        if norms[family] > 0.0:
            norms[family] = family_weights[family] / np.sqrt(norms[family])
    for j in range(len(buckets)):
        values[j] *= norms[families[j]]


@compiled
def _score(example: Example, values: Floats, weights: Weights, scores: Floats) -> None:
    """Fill `scores`, every expert's one after the other: the hint's weights by its strength, the
    features', the meaning's.
    """
    buckets, meaning, hashed, by_meaning = (
        example.buckets,
        example.meaning,
        weights.hashed,
        weights.meaning,
    )
    columns = len(scores)
    strength = np.float32(example.strength)
    for column in range(columns):
        scores[column] = weights.hints[example.hint + 1, column] * strength
    for j in range(len(buckets)):
        row, value = np.uint64(buckets[j]), values[j]
        for column in range(columns):
            scores[column] += value * hashed[row, column]
    for dimension in range(len(meaning)):
        value = meaning[dimension]
        if value != 0.0:
            for column in range(columns):
                scores[column] += value * by_meaning[dimension, column]


@compiled
def _softmax(scores: Floats, seen: Int64s, hint: int, probabilities: Floats) -> int:
    """Fill `probabilities` over the labels that were seen or are hinted at, zero elsewhere; return
    the most probable.

    Returns -1, and zeros, where no label may be answered.
    """
    best = -1
    highest = _LOWEST
    for label in range(len(probabilities)):
        probabilities[label] = 0.0
        if (seen[label] > 0 or label == hint) and scores[label] > highest:
            highest = scores[label]
            best = label
    if best < 0:
        return best
    total = np.float32(0.0)
    for label in range(len(probabilities)):
        if seen[label] > 0 or label == hint:
            probabilities[label] = np.exp(scores[label] - highest)
            total += probabilities[label]
    for label in range(len(probabilities)):
        probabilities[label] /= total
    return best


@compiled
def _mix(scores: Floats, shares: Floats, mixed: Floats) -> None:
    """Fill `mixed` with the scores summed by the experts' shares.

    This is the product of the experts' probabilities, each to the power of its share (a logarithmic
    opinion pool): what normalises an expert adds the same to all labels, so scores need not be
    normalised first.
    """
    room = len(scores) // len(shares)
    for label in range(len(mixed)):
        mixed[label] = 0.0
    for expert in range(len(shares)):
        for label in range(len(mixed)):
            mixed[label] += shares[expert] * scores[expert * room + label]


@compiled
def predict(
    starts: Int64s,
    buckets: Int32s,
    tf: Floats,
    families: Bytes,
    meanings: Floats,
    hints: Int64s,
    strengths: Floats,
    weights: Weights,
    seen: Seen,
    documents: int,
    family_weights: Floats,
    probabilities: Floats,
) -> None:
    """Fill `probabilities`, shape (texts, labels)."""
    longest = 0
    for text in range(len(starts) - 1):
        longest = max(longest, starts[text + 1] - starts[text])
    values = np.empty(longest, dtype=np.float32)
    scores = np.empty(weights.hashed.shape[1], dtype=np.float32)
    mixed = np.empty(probabilities.shape[1], dtype=np.float32)
    for text in range(len(starts) - 1):
        first, last = starts[text], starts[text + 1]
        example = Example(
            buckets[first:last],
            tf[first:last],
            families[first:last],
            meanings[text],
            hints[text],
            strengths[text],
        )
        weigh(
            example.buckets,
            example.tf,
            example.families,
            seen.documents_with,
            documents,
            family_weights,
            values,
        )
        _score(example, values, weights, scores)
        _mix(scores, weights.shares, mixed)
        _softmax(mixed, seen.labels, hints[text], probabilities[text])


@compiled
def learn(
    example: Example,
    truth: int,
    importance: float,
    again: bool,
    weights: Weights,
    squares: Squares,
    seen: Seen,
    documents: int,
    family_weights: Floats,
    steps: Floats,
    share_rate: float,
    least_gradient: float,
    labels: int,
) -> int:
    """Test on one example, then learn it; return the label predicted before, or -1 where none could
    be.

    An example learnt `again` counts neither as a document nor for the experts' shares, which are
    learnt from tests only.
    """
    experts = len(weights.shares)
    room = weights.hashed.shape[1] // experts
    values = np.empty(len(example.buckets), dtype=np.float32)
    scores = np.empty(experts * room, dtype=np.float32)
    mixed = np.empty(labels, dtype=np.float32)
    probabilities = np.empty(labels, dtype=np.float32)
    weigh(
        example.buckets,
        example.tf,
        example.families,
        seen.documents_with,
        documents,
        family_weights,
        values,
    )
    _score(example, values, weights, scores)
    _mix(scores, weights.shares, mixed)
    guess = _softmax(mixed, seen.labels, example.hint, probabilities)
    if not again:
        if seen.labels[truth] > 0:
            _share(scores, probabilities, truth, weights.shares, squares.shares, share_rate)
        seen.labels[truth] += 1
        for j in range(len(example.buckets)):
            seen.documents_with[example.buckets[j]] += 1
    moved = np.empty(labels, dtype=np.int64)
    gradients = np.empty(labels, dtype=np.float32)
    for expert in range(experts):
        own = scores[expert * room :]
        for label in range(labels):
            if label != truth:
                own[label] += steps[expert, MARGIN]
        _softmax(own, seen.labels, example.hint, probabilities)
        probabilities[truth] -= np.float32(1.0)
        count = 0
        for label in range(labels):
            if abs(probabilities[label]) >= least_gradient:
                gradients[count] = probabilities[label] * np.float32(importance)
                moved[count] = expert * room + label
                count += 1
        _descend(example, values, moved[:count], gradients, weights, squares, steps[expert])
    return guess


@compiled
def _share(
    scores: Floats, probabilities: Floats, truth: int, shares: Floats, squares: Floats, rate: float
) -> None:
    """Move each expert's share along its gradient: the expected score less the true label's."""
    room = len(scores) // len(shares)
    for expert in range(len(shares)):
        gradient = -scores[expert * room + truth]
        for label in range(len(probabilities)):
            gradient += probabilities[label] * scores[expert * room + label]
        squares[expert] += gradient * gradient
        step = np.float32(rate) * gradient / np.sqrt(squares[expert] + _FIRST_SQUARE)
        shares[expert] = max(_LEAST_SHARE, shares[expert] - step)


@compiled
def _descend(
    example: Example,
    values: Floats,
    moved: Int64s,
    gradients: Floats,
    weights: Weights,
    squares: Squares,
    steps: Floats,
) -> None:
    """Move one expert's weights of a text along their gradient: the columns `moved`, each by its
    own gradient.
    """
    buckets, meaning = example.buckets, example.meaning
    rate, accumulator = steps[RATE], steps[ACCUMULATOR]
    for j in range(len(buckets)):
        _step(
            values[j],
            moved,
            gradients,
            weights.hashed,
            squares.hashed,
            np.uint64(buckets[j]),
            rate,
            accumulator,
        )
    rate, accumulator = steps[MEANING_RATE], steps[MEANING_ACCUMULATOR]
    for dimension in range(len(meaning)):
        value = meaning[dimension]
        if value != 0.0:
            _step(
                value,
                moved,
                gradients,
                weights.meaning,
                squares.meaning,
                np.uint64(dimension),
                rate,
                accumulator,
            )
    row, strength = np.uint64(example.hint + 1), np.float32(example.strength)
    _step(
        strength,
        moved,
        gradients,
        weights.hints,
        squares.hints,
        row,
        steps[RATE],
        steps[ACCUMULATOR],
    )


@compiled
def _step(
    value: np.float32,
    moved: Int64s,
    gradients: Floats,
    weights: Floats,
    squares: Floats,
    row: np.uint64,
    rate: np.float32,
    accumulator: np.float32,
) -> None:
    """Move a row of weights, each coordinate at its own AdaGrad rate (Duchi, Hazan, Singer
    2011).
    """
    for k in range(len(moved)):
        column = np.uint64(moved[k])
        gradient = gradients[k] * value
        squares[row, column] += gradient * gradient
        weights[row, column] -= rate * gradient / np.sqrt(squares[row, column] + accumulator)

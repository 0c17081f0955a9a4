"""The compiled arithmetic of the online learner: weighting of features, scores, softmax and the AdaGrad step."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.models.compiled import compiled

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_LOWEST: Final = np.float32(-3.0e38)


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

    idf = ln((1 + documents) / (1 + documents with the feature)) + 1, the smoothed form of scikit-learn's TfidfTransformer.
    """
    norms = np.zeros(len(family_weights), dtype=np.float64)
    log_documents = np.log(1.0 + documents)
    for j in range(len(buckets)):
        value = tf[j] * (log_documents - np.log(1.0 + documents_with[buckets[j]]) + 1.0)
        values[j] = value
        norms[families[j]] += value * value
    for family in range(len(family_weights)):
        if norms[family] > 0.0:
            norms[family] = family_weights[family] / np.sqrt(norms[family])
    for j in range(len(buckets)):
        values[j] *= norms[families[j]]


@compiled
def score(
    buckets: Int32s, values: Floats, weights: Floats, hint_weights: Floats, hint: int, strength: float, scores: Floats
) -> None:
    """Fill `scores`, one for each label: the features' weights, and those of the hint (row hint + 1) by its strength."""
    labels = len(scores)
    for label in range(labels):
        scores[label] = hint_weights[hint + 1, label] * np.float32(strength)
    for j in range(len(buckets)):
        value = values[j]
        row = weights[buckets[j]]
        for label in range(labels):
            scores[label] += value * row[label]


@compiled
def softmax(scores: Floats, seen: Int64s, hint: int, probabilities: Floats) -> int:
    """Fill `probabilities` over the labels that were seen or are hinted at, zero elsewhere; return the most probable.

    Returns -1, and zeros, where no label may be answered.
    """
    best = -1
    highest = _LOWEST
    for label in range(len(scores)):
        probabilities[label] = 0.0
        if (seen[label] > 0 or label == hint) and scores[label] > highest:
            highest = scores[label]
            best = label
    if best < 0:
        return best
    total = np.float32(0.0)
    for label in range(len(scores)):
        if seen[label] > 0 or label == hint:
            probabilities[label] = np.exp(scores[label] - highest)
            total += probabilities[label]
    for label in range(len(scores)):
        probabilities[label] /= total
    return best


@compiled
def predict(
    starts: Int64s,
    buckets: Int32s,
    tf: Floats,
    families: Bytes,
    hints: Int64s,
    strengths: Floats,
    weights: Floats,
    hint_weights: Floats,
    documents_with: Int32s,
    documents: int,
    family_weights: Floats,
    seen: Int64s,
    probabilities: Floats,
) -> None:
    """Fill `probabilities`, shape (texts, labels)."""
    longest = 0
    for text in range(len(starts) - 1):
        longest = max(longest, starts[text + 1] - starts[text])
    values = np.empty(longest, dtype=np.float32)
    scores = np.empty(probabilities.shape[1], dtype=np.float32)
    for text in range(len(starts) - 1):
        first, last = starts[text], starts[text + 1]
        own = buckets[first:last]
        weigh(own, tf[first:last], families[first:last], documents_with, documents, family_weights, values)
        score(own, values, weights, hint_weights, hints[text], strengths[text], scores)
        softmax(scores, seen, hints[text], probabilities[text])


@compiled
def learn(
    buckets: Int32s,
    tf: Floats,
    families: Bytes,
    hint: int,
    strength: float,
    truth: int,
    importance: float,
    weights: Floats,
    squares: Floats,
    hint_weights: Floats,
    hint_squares: Floats,
    documents_with: Int32s,
    documents: int,
    family_weights: Floats,
    seen: Int64s,
    rate: float,
    accumulator: float,
    margin: float,
    least_gradient: float,
    probabilities: Floats,
) -> int:
    """Test on one example, then learn it; return the label predicted before, or -1 where none could be.

    `probabilities` is scratch. The caller has counted the truth in `seen` only after its test; here it is counted
    between the two. `squares` hold the sums of squared gradients without the initial `accumulator`.
    """
    labels = len(probabilities)
    values = np.empty(len(buckets), dtype=np.float32)
    scores = np.empty(labels, dtype=np.float32)
    weigh(buckets, tf, families, documents_with, documents, family_weights, values)
    score(buckets, values, weights, hint_weights, hint, strength, scores)
    guess = softmax(scores, seen, hint, probabilities)
    seen[truth] += 1
    for label in range(labels):
        if label != truth:
            scores[label] += np.float32(margin)
    softmax(scores, seen, hint, probabilities)
    probabilities[truth] -= np.float32(1.0)
    moved = np.empty(labels, dtype=np.int64)
    count = 0
    for label in range(labels):
        if abs(probabilities[label]) >= least_gradient:
            probabilities[label] *= np.float32(importance)
            moved[count] = label
            count += 1
    for j in range(len(buckets)):
        _step(values[j], buckets[j], moved[:count], probabilities, weights, squares, rate, accumulator)
        documents_with[buckets[j]] += 1
    _step(float(strength), hint + 1, moved[:count], probabilities, hint_weights, hint_squares, rate, accumulator)
    return guess


@compiled
def _step(
    value: float,
    row: int,
    moved: Int64s,
    gradients: Floats,
    weights: Floats,
    squares: Floats,
    rate: float,
    accumulator: float,
) -> None:
    """Move one row of weights along its gradient, each coordinate at its own AdaGrad rate (Duchi, Hazan, Singer 2011)."""
    for label in moved:
        gradient = gradients[label] * value
        squares[row, label] += gradient * gradient
        weights[row, label] -= np.float32(rate * gradient / np.sqrt(squares[row, label] + accumulator))

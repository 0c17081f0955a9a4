"""The compiled arithmetic of the online learner: TF-IDF, scores, softmax, mixture, AdaGrad steps.

Arrays of weights have the shape (rows, experts * label capacity): a row holds the weights of one
expert after the other. Inner loops read arrays by index and never take a view of a row, because the
reference counting of a view costs more than the arithmetic of the row.
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
# An expert's share never falls below this, so that first mistakes cannot silence every expert.
_MINIMUM_SHARE: Final = np.float32(0.02)
# Keeps the first step of a share finite.
_FIRST_SQUARE: Final = np.float32(1e-8)

# The columns of `steps`, one row for each expert.
RATE: Final = 0
ACCUMULATOR: Final = 1
MARGIN: Final = 2
EMBEDDING_RATE: Final = 3
EMBEDDING_ACCUMULATOR: Final = 4
STEP_COLUMNS: Final = 5

# Most features occur in few documents, so the logarithms of small counts are looked up; a table of
# 4,096 fits the cache of a core.
_LOGS: Final = np.log(1.0 + np.arange(4_096))


class Weights(NamedTuple):
    """Weights of hashed features, of embedding dimensions and of hints, and the experts' shares."""

    hashed: Floats
    embedding: Floats
    hints: Floats
    shares: Floats


class GradientSquares(NamedTuple):
    """Sums of squared gradients of the weights of the same name."""

    hashed: Floats
    embedding: Floats
    hints: Floats
    shares: Floats


class DocumentCounts(NamedTuple):
    """The learnt documents: how many have each bucket, and how many have each label."""

    by_bucket: Int32s
    by_label: Int64s


class EncodedText(NamedTuple):
    """The features of one text, and the rule's hint: a label's index or -1, and a strength."""

    buckets: Int32s
    tf: Floats
    families: Bytes
    embedding: Floats
    hint: int
    strength: float


@compiled
def weigh_features(
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
def _score(example: EncodedText, values: Floats, weights: Weights, scores: Floats) -> None:
    """Fill `scores`, one expert after the other: the sums of hint, features and embedding."""
    buckets, embedding, hashed, by_dimension = (
        example.buckets,
        example.embedding,
        weights.hashed,
        weights.embedding,
    )
    columns = len(scores)
    strength = np.float32(example.strength)
    for column in range(columns):
        scores[column] = weights.hints[example.hint + 1, column] * strength
    for j in range(len(buckets)):
        row, value = np.uint64(buckets[j]), values[j]
        for column in range(columns):
            scores[column] += value * hashed[row, column]
    for dimension in range(len(embedding)):
        value = embedding[dimension]
        if value != 0.0:
            for column in range(columns):
                scores[column] += value * by_dimension[dimension, column]


@compiled
def _softmax(scores: Floats, label_counts: Int64s, hint: int, probabilities: Floats) -> int:
    """Fill `probabilities` over learnt or hinted labels, zero elsewhere; return the most probable.

    Returns -1, and zeros, if no label was learnt or hinted.
    """
    best = -1
    highest = _LOWEST
    for label in range(len(probabilities)):
        probabilities[label] = 0.0
        if (label_counts[label] > 0 or label == hint) and scores[label] > highest:
            highest = scores[label]
            best = label
    if best < 0:
        return best
    total = np.float32(0.0)
    for label in range(len(probabilities)):
        if label_counts[label] > 0 or label == hint:
            probabilities[label] = np.exp(scores[label] - highest)
            total += probabilities[label]
    for label in range(len(probabilities)):
        probabilities[label] /= total
    return best


@compiled
def _mix_experts(scores: Floats, shares: Floats, mixed: Floats) -> None:
    """Fill `mixed` with the experts' scores, weighted by their shares.

    Its softmax is the product of the experts' probabilities, each to the power of its share (a
    logarithmic opinion pool). Normalising an expert would add the same to all its scores, so the
    scores need no normalisation.
    """
    capacity = len(scores) // len(shares)
    for label in range(len(mixed)):
        mixed[label] = 0.0
    for expert in range(len(shares)):
        for label in range(len(mixed)):
            mixed[label] += shares[expert] * scores[expert * capacity + label]


@compiled
def predict(
    starts: Int64s,
    buckets: Int32s,
    tf: Floats,
    families: Bytes,
    embeddings: Floats,
    hints: Int64s,
    strengths: Floats,
    weights: Weights,
    counts: DocumentCounts,
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
        example = EncodedText(
            buckets[first:last],
            tf[first:last],
            families[first:last],
            embeddings[text],
            hints[text],
            strengths[text],
        )
        weigh_features(
            example.buckets,
            example.tf,
            example.families,
            counts.by_bucket,
            documents,
            family_weights,
            values,
        )
        _score(example, values, weights, scores)
        _mix_experts(scores, weights.shares, mixed)
        _softmax(mixed, counts.by_label, hints[text], probabilities[text])


@compiled
def learn(
    text: EncodedText,
    truth: int,
    importance: float,
    is_rehearsal: bool,
    weights: Weights,
    squares: GradientSquares,
    counts: DocumentCounts,
    documents: int,
    family_weights: Floats,
    steps: Floats,
    share_rate: float,
    minimum_gradient: float,
    labels: int,
) -> int:
    """Test on one example, then learn it; return the index of the label predicted before, or -1.

    A rehearsed example counts neither as a document nor for the experts' shares, which are learnt
    from tests only.
    """
    experts = len(weights.shares)
    capacity = weights.hashed.shape[1] // experts
    values = np.empty(len(text.buckets), dtype=np.float32)
    scores = np.empty(experts * capacity, dtype=np.float32)
    mixed = np.empty(labels, dtype=np.float32)
    probabilities = np.empty(labels, dtype=np.float32)
    weigh_features(
        text.buckets,
        text.tf,
        text.families,
        counts.by_bucket,
        documents,
        family_weights,
        values,
    )
    _score(text, values, weights, scores)
    _mix_experts(scores, weights.shares, mixed)
    guess = _softmax(mixed, counts.by_label, text.hint, probabilities)
    if not is_rehearsal:
        if counts.by_label[truth] > 0:
            _update_shares(scores, probabilities, truth, weights.shares, squares.shares, share_rate)
        counts.by_label[truth] += 1
        for j in range(len(text.buckets)):
            counts.by_bucket[text.buckets[j]] += 1
    columns = np.empty(labels, dtype=np.int64)
    gradients = np.empty(labels, dtype=np.float32)
    for expert in range(experts):
        own = scores[expert * capacity :]
        for label in range(labels):
            if label != truth:
                own[label] += steps[expert, MARGIN]
        _softmax(own, counts.by_label, text.hint, probabilities)
        probabilities[truth] -= np.float32(1.0)
        count = 0
        for label in range(labels):
            if abs(probabilities[label]) >= minimum_gradient:
                gradients[count] = probabilities[label] * np.float32(importance)
                columns[count] = expert * capacity + label
                count += 1
        _update_weights(text, values, columns[:count], gradients, weights, squares, steps[expert])
    return guess


@compiled
def _update_shares(
    scores: Floats, probabilities: Floats, truth: int, shares: Floats, squares: Floats, rate: float
) -> None:
    """Step each expert's share along its gradient: the expected score less the true label's."""
    capacity = len(scores) // len(shares)
    for expert in range(len(shares)):
        gradient = -scores[expert * capacity + truth]
        for label in range(len(probabilities)):
            gradient += probabilities[label] * scores[expert * capacity + label]
        squares[expert] += gradient * gradient
        step = np.float32(rate) * gradient / np.sqrt(squares[expert] + _FIRST_SQUARE)
        shares[expert] = max(_MINIMUM_SHARE, shares[expert] - step)


@compiled
def _update_weights(
    example: EncodedText,
    values: Floats,
    columns: Int64s,
    gradients: Floats,
    weights: Weights,
    squares: GradientSquares,
    steps: Floats,
) -> None:
    """Step one expert's weights for a text, in the given columns, each by its own gradient."""
    buckets, embedding = example.buckets, example.embedding
    rate, accumulator = steps[RATE], steps[ACCUMULATOR]
    for j in range(len(buckets)):
        _adagrad_step(
            values[j],
            columns,
            gradients,
            weights.hashed,
            squares.hashed,
            np.uint64(buckets[j]),
            rate,
            accumulator,
        )
    rate, accumulator = steps[EMBEDDING_RATE], steps[EMBEDDING_ACCUMULATOR]
    for dimension in range(len(embedding)):
        value = embedding[dimension]
        if value != 0.0:
            _adagrad_step(
                value,
                columns,
                gradients,
                weights.embedding,
                squares.embedding,
                np.uint64(dimension),
                rate,
                accumulator,
            )
    row, strength = np.uint64(example.hint + 1), np.float32(example.strength)
    _adagrad_step(
        strength,
        columns,
        gradients,
        weights.hints,
        squares.hints,
        row,
        steps[RATE],
        steps[ACCUMULATOR],
    )


@compiled
def _adagrad_step(
    value: np.float32,
    columns: Int64s,
    gradients: Floats,
    weights: Floats,
    squares: Floats,
    row: np.uint64,
    rate: np.float32,
    accumulator: np.float32,
) -> None:
    """Step a row of weights, each coordinate at its AdaGrad rate (Duchi, Hazan, Singer 2011)."""
    for k in range(len(columns)):
        column = np.uint64(columns[k])
        gradient = gradients[k] * value
        squares[row, column] += gradient * gradient
        weights[row, column] -= rate * gradient / np.sqrt(squares[row, column] + accumulator)

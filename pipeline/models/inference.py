"""Inference: predict with a learner's weights as they were at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.models import kernels
from pipeline.models.features import Features
from pipeline.models.kernels import DocumentCounts, GradientSquares, Weights

Parameters = TypeVar("Parameters", Weights, GradientSquares)


@dataclass(frozen=True, slots=True)
class RuleHints:
    """A rule's answers as input of a model, one for each text.

    `labels` (int64) are the labels' indexes or -1, `strengths` (float32) are 0 to 1.
    """

    labels: npt.NDArray[np.int64]
    strengths: npt.NDArray[np.float32]

    @classmethod
    def none(cls, texts: int) -> RuleHints:
        """Return empty hints for so many texts."""
        return cls(np.full(texts, -1, dtype=np.int64), np.zeros(texts, dtype=np.float32))


@dataclass(slots=True, weakref_slot=True)
class InferenceModel:
    """The weights of a learner as they were at one moment; immutable."""

    labels: tuple[str, ...]
    _weights: Weights
    _counts: DocumentCounts
    _documents: int
    _family_weights: npt.NDArray[np.float32]

    def predict_proba(
        self, features: Features, hints: RuleHints | None = None
    ) -> npt.NDArray[np.float32]:
        """Return probabilities of shape (texts, labels).

        Each row sums to 1, or is all zero if no label has been learnt yet.
        """
        hints = RuleHints.none(len(features)) if hints is None else hints
        probabilities = np.zeros((len(features), len(self.labels)), dtype=np.float32)
        kernels.predict(
            features.starts,
            features.buckets,
            features.tf,
            features.families,
            features.embeddings,
            hints.labels,
            hints.strengths,
            self._weights,
            self._counts,
            self._documents,
            self._family_weights,
            probabilities,
        )
        return probabilities

    def contributions(
        self, features: Features, hints: RuleHints, row: int = 0
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return what each feature and the hint add to the scores (logits) of text `row`.

        The shapes are (features, labels) and (labels,). What the text's embedding adds is spread
        evenly over its features. `predict_proba` is the softmax of the sum over both.
        """
        first, last = features.starts[row], features.starts[row + 1]
        buckets, count, weights = features.buckets[first:last], len(self.labels), self._weights
        experts, shares = per_expert(weights), weights.shares
        values = np.empty(len(buckets), dtype=np.float32)
        kernels.weigh_features(
            buckets,
            features.tf[first:last],
            features.families[first:last],
            self._counts.by_bucket,
            self._documents,
            self._family_weights,
            values,
        )
        parts = values[:, None] * np.tensordot(
            shares, experts.hashed[buckets][:, :, :count], (0, 1)
        )
        by_embedding = np.tensordot(shares, experts.embedding[:, :, :count], (0, 1))
        if len(buckets):
            parts += features.embeddings[row] @ by_embedding / np.float32(len(buckets))
        hinted = shares @ experts.hints[int(hints.labels[row]) + 1, :, :count]
        return parts, hinted * hints.strengths[row]


def per_expert(arrays: Parameters) -> Parameters:
    """Return views of weights or squares of shape (rows, experts, label capacity)."""
    hashed, embedding, hints, shares = arrays
    experts = len(shares)
    return type(arrays)(
        hashed.reshape(len(hashed), experts, -1),
        embedding.reshape(len(embedding), experts, -1),
        hints.reshape(len(hints), experts, -1),
        shares,
    )

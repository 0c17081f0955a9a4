"""What predicts: a learner's weights as they stood at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.models import kernels
from pipeline.models.features import Features
from pipeline.models.kernels import Seen, Squares, Weights

Parameters = TypeVar("Parameters", Weights, Squares)


@dataclass(frozen=True, slots=True)
class Hints:
    """What a rule says of each text: `labels` (int64, the label's index or -1) and `strengths`
    (float32, 0 to 1).
    """

    labels: npt.NDArray[np.int64]
    strengths: npt.NDArray[np.float32]

    @classmethod
    def none(cls, texts: int) -> Hints:
        """Return the hints of texts of which nothing is said."""
        return cls(np.full(texts, -1, dtype=np.int64), np.zeros(texts, dtype=np.float32))


@dataclass(slots=True, weakref_slot=True)
class FrozenLearner:
    """A learner as it stood at one moment; it predicts and never changes."""

    labels: tuple[str, ...]
    _weights: Weights
    _seen: Seen
    _documents: int
    _family_weights: npt.NDArray[np.float32]

    def predict_proba(
        self, features: Features, hints: Hints | None = None
    ) -> npt.NDArray[np.float32]:
        """Return probabilities, shape (texts, labels): each row sums to 1, or is all zero where no
        label is known.
        """
        said = Hints.none(len(features)) if hints is None else hints
        probabilities = np.zeros((len(features), len(self.labels)), dtype=np.float32)
        kernels.predict(
            features.starts,
            features.buckets,
            features.tf,
            features.families,
            features.meanings,
            said.labels,
            said.strengths,
            self._weights,
            self._seen,
            self._documents,
            self._family_weights,
            probabilities,
        )
        return probabilities

    def contributions(
        self, features: Features, hints: Hints, row: int = 0
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return what moves the scores (logits) of text `row`: each feature's part, shape
        (features, labels), and the hint's, (labels,).

        What the text's meaning adds is spread evenly over its features. The sum over both is what
        `predict_proba` takes the softmax of.
        """
        first, last = features.starts[row], features.starts[row + 1]
        buckets, count, weights = features.buckets[first:last], len(self.labels), self._weights
        experts, shares = by_expert(weights), weights.shares
        values = np.empty(len(buckets), dtype=np.float32)
        kernels.weigh(
            buckets,
            features.tf[first:last],
            features.families[first:last],
            self._seen.documents_with,
            self._documents,
            self._family_weights,
            values,
        )
        parts = values[:, None] * np.tensordot(
            shares, experts.hashed[buckets][:, :, :count], (0, 1)
        )
        by_meaning = np.tensordot(shares, experts.meaning[:, :, :count], (0, 1))
        if len(buckets):
            parts += features.meanings[row] @ by_meaning / np.float32(len(buckets))
        hinted = shares @ experts.hints[int(hints.labels[row]) + 1, :, :count]
        return parts, hinted * hints.strengths[row]


def by_expert(arrays: Parameters) -> Parameters:
    """Return views of weights or squares in which each expert has an axis of its own: (rows,
    experts, room for labels).
    """
    hashed, meaning, hints, shares = arrays
    experts = len(shares)
    return type(arrays)(
        hashed.reshape(len(hashed), experts, -1),
        meaning.reshape(len(meaning), experts, -1),
        hints.reshape(len(hints), experts, -1),
        shares,
    )

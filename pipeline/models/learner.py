"""The online learner of one head: two sparse softmax regressions, mixed by learnt shares."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from pipeline.models import kernels
from pipeline.models.clauses import split_clauses
from pipeline.models.drift import DriftDetector
from pipeline.models.features import BUCKETS, Features, extract_features
from pipeline.models.inference import InferenceModel, RuleHints, per_expert
from pipeline.models.kernels import DocumentCounts, EncodedText, GradientSquares, Weights
from pipeline.models.learner_settings import Expert, LearnerSettings
from pipeline.models.lexicon_reading import read_texts
from pipeline.models.rehearsal import RehearsalBuffer, TrainingExample
from pipeline.models.state_format import Arrays, StateError, pack, unpack
from pipeline.models.word_vectors import DIMENSIONS

# The maximum weight of one example: a mistyped weight must not erase what a head has learnt.
MAX_IMPORTANCE: Final = 100.0
# An open label set starts with capacity for this many labels, as many float32 as fit in a vector
# register, and grows by this number or an eighth when it is full: unused capacity costs memory and
# time in every sum.
_INITIAL_LABELS: Final = 8
_GROWTH: Final = 8
# The rows in which a copy is stale are merged after this many examples, so that they do not
# accumulate during a long fold.
_MERGE_AFTER: Final = 1_024


@dataclass(slots=True)
class _WeightsCopy:
    """A copy of the arrays that grow with the features, and the rows in which it is stale."""

    hashed: npt.NDArray[np.float32]
    documents_with: npt.NDArray[np.int32]
    stale_rows: list[npt.NDArray[np.int32]] = field(default_factory=list)
    model: weakref.ref[InferenceModel] | None = None

    def is_free(self) -> bool:
        return self.model is None or self.model() is None

    def mark_stale(self, buckets: npt.NDArray[np.int32]) -> None:
        self.stale_rows.append(buckets)
        if len(self.stale_rows) >= _MERGE_AFTER:
            self.stale_rows = [np.unique(np.concatenate(self.stale_rows))]

    def refresh(
        self, hashed: npt.NDArray[np.float32], documents_with: npt.NDArray[np.int32]
    ) -> None:
        if self.stale_rows:
            rows = np.unique(np.concatenate(self.stale_rows))
            self.hashed[rows] = hashed[rows]
            self.documents_with[rows] = documents_with[rows]
            self.stale_rows = []


class Learner:
    """An online classifier that learns labels from the features of texts, one example at a time.

    The same examples in the same order give the same state, bit by bit, on one build. `labels` may
    be known before (those of a head), or new ones may come with examples. After a sudden rise of
    its errors it restarts from the examples since then: see `DriftDetector`. A learner is not safe
    for use by several threads; the models of `inference_model` are.
    """

    def __init__(self, labels: Sequence[str] = (), settings: LearnerSettings | None = None) -> None:
        self.settings = settings or LearnerSettings()
        self.labels: list[str] = list(dict.fromkeys(labels))
        self.documents = 0
        self.drifts = 0
        self._index = {label: position for position, label in enumerate(self.labels)}
        self._capacity = len(self.labels) or _INITIAL_LABELS
        self._weights, self._squares = self._initial_weights()
        self._counts = DocumentCounts(
            np.zeros(BUCKETS, dtype=np.int32), np.zeros(self._capacity, dtype=np.int64)
        )
        self._family_weights = np.array(
            [self.settings.token_weight, self.settings.character_weight], dtype=np.float32
        )
        self._steps = _step_table(self.settings.experts)
        self._detector = DriftDetector()
        self._rehearsal = RehearsalBuffer()
        self._copies: list[_WeightsCopy] = []

    def learn(
        self,
        features: Features,
        label: str,
        importance: float = 1.0,
        hints: RuleHints | None = None,
        row: int = 0,
    ) -> str | None:
        """Predict the label of text `row`, then learn its true label; return the prediction.

        The prediction is None if no label is known yet. `importance` multiplies the gradient.
        Raises ValueError unless 0 < importance ≤ `MAX_IMPORTANCE`.
        """
        if not (math.isfinite(importance) and 0.0 < importance <= MAX_IMPORTANCE):
            raise ValueError(
                f"importance must be greater than 0 and at most {MAX_IMPORTANCE:g}, not"
                f" {importance!r}"
            )
        truth = self._index_of(label)
        example = TrainingExample(_encoded_text(features, hints, row), truth, float(importance))
        guess = self._update(example, is_rehearsal=False)
        self.documents += 1
        if guess >= 0 and self._detector.update(guess != truth):
            self._restart(example)
        else:
            if self._detector.tests < self.settings.young:
                for earlier in self._rehearsal.sample(self.settings.rehearsed):
                    self._update(earlier, is_rehearsal=True)
            self._rehearsal.add(example)
        return self.labels[guess] if guess >= 0 else None

    @property
    def label_counts(self) -> npt.NDArray[np.int64]:
        """The number of examples learnt of each label, zero beyond the known labels."""
        return self._counts.by_label

    def predict_proba(
        self, features: Features, hints: RuleHints | None = None
    ) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Return the labels, and probabilities of shape (texts, labels), of the current state."""
        view = self._model_of(self._weights, self._counts)
        return view.labels, view.predict_proba(features, hints)

    def inference_model(self) -> InferenceModel:
        """Return a model with a copy of the current weights; later learning does not change it.

        A copy to which nothing refers any more is updated and used again, so the cost is that of
        the rows learnt since, not of the whole state.
        """
        hashed, documents_with = self._weights.hashed, self._counts.by_bucket
        copy = next((copy for copy in self._copies if copy.is_free()), None)
        if copy is None:
            copy = _WeightsCopy(
                np.zeros_like(hashed), np.zeros_like(documents_with), [self._learnt_rows()]
            )
            self._copies.append(copy)
        copy.refresh(hashed, documents_with)
        own = self._weights
        model = self._model_of(
            Weights(copy.hashed, own.embedding.copy(), own.hints.copy(), own.shares.copy()),
            DocumentCounts(copy.documents_with, self._counts.by_label.copy()),
        )
        copy.model = weakref.ref(model)
        return model

    @property
    def copy_count(self) -> int:
        """The number of weight copies: one more than models in use at a time."""
        return len(self._copies)

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what `restore` needs: a header for JSON, and arrays of the rows learnt so far."""
        rows, labels = self._learnt_rows(), len(self.labels)
        rehearsal, examples = self._rehearsal.state()
        header: dict[str, Any] = {
            "labels": self.labels,
            "documents": self.documents,
            "drifts": self.drifts,
            "settings": asdict(self.settings),
            "detector": self._detector.state(),
            "rehearsal": rehearsal,
        }
        arrays: dict[str, npt.NDArray[Any]] = {"rows": rows}
        arrays |= {name: array[where] for name, array, where in self._state_parts(rows, labels)}
        return header, arrays | examples

    @classmethod
    def restore(cls, header: Mapping[str, Any], arrays: Arrays) -> Self:
        """Return the learner of a `state`. Raises StateError if its parts do not fit together."""
        try:
            learner = cls(header["labels"], LearnerSettings.restore(header["settings"]))
            learner.documents, learner.drifts = int(header["documents"]), int(header["drifts"])
            learner._detector = DriftDetector.restore(header["detector"])
            learner._rehearsal.restore(header["rehearsal"], arrays)
            rows = arrays["rows"]
            if rows.ndim != 1 or not ((rows >= 0) & (rows < BUCKETS)).all():
                raise StateError("the learner's state refers to rows that do not exist")
            labels = len(learner.labels)
            for name, target, where in learner._state_parts(rows, labels):
                if arrays[name].shape != target[where].shape:
                    raise StateError(
                        f"the learner's {name} have the shape {arrays[name].shape}, not"
                        f" {target[where].shape}"
                    )
                target[where] = arrays[name]
        except (KeyError, TypeError) as error:
            raise StateError(
                f"the parts of the learner's state do not fit together: {error!r}"
            ) from error
        return learner

    def to_bytes(self) -> bytes:
        """Return the state as bytes with a checksum; the same state gives the same bytes."""
        return pack(*self.state())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the learner of `to_bytes`; raises StateError unless the bytes are intact."""
        return cls.restore(*unpack(data))

    def _update(self, example: TrainingExample, is_rehearsal: bool) -> int:
        guess = kernels.learn(
            example.text,
            example.truth,
            example.importance,
            is_rehearsal,
            self._weights,
            self._squares,
            self._counts,
            self.documents,
            self._family_weights,
            self._steps,
            self.settings.share_rate,
            self.settings.least_gradient,
            len(self.labels),
        )
        for copy in self._copies:
            copy.mark_stale(example.text.buckets.copy())
        return guess

    def _restart(self, example: TrainingExample) -> None:
        """Reset all weights, and learn the examples since the change began."""
        since = self._detector.suspected
        self.drifts += 1
        self._detector = DriftDetector(rate=1.0)
        shares = self._weights.shares
        self._weights, self._squares = self._initial_weights()
        self._weights.shares[:] = shares
        self._copies = []
        self._rehearsal.add(example)
        self._rehearsal.keep_last(since)
        for earlier in self._rehearsal.sample(self.settings.rehearsed * since):
            self._update(earlier, is_rehearsal=True)

    def _initial_weights(self) -> tuple[Weights, GradientSquares]:
        experts, capacity = len(self.settings.experts), self._capacity
        shares = np.full(experts, 1.0 / experts, dtype=np.float32)
        columns = experts * capacity
        weights = Weights(
            _zeros(BUCKETS, columns),
            _zeros(DIMENSIONS, columns),
            _zeros(capacity + 1, columns),
            shares,
        )
        hints = per_expert(weights).hints
        for label in range(capacity):
            hints[label + 1, :, label] = self.settings.hint_weight
        return weights, GradientSquares(*(_zeros(*array.shape) for array in weights))

    def _state_parts(
        self, rows: npt.NDArray[np.int32], labels: int
    ) -> list[tuple[str, npt.NDArray[Any], Any]]:
        """Return the parts of a state besides its rows: name, array, and the stored part of it."""
        everything = slice(None)
        parts: list[tuple[str, npt.NDArray[Any], Any]] = [
            ("documents_with", self._counts.by_bucket, rows),
            ("seen", self._counts.by_label, slice(0, labels)),
        ]
        for kind, arrays in (
            ("weights", per_expert(self._weights)),
            ("squares", per_expert(self._squares)),
        ):
            parts += [
                (f"{kind}_hashed", arrays.hashed, (rows, everything, slice(0, labels))),
                (f"{kind}_meaning", arrays.embedding, (everything, everything, slice(0, labels))),
                (
                    f"{kind}_hints",
                    arrays.hints,
                    (slice(0, labels + 1), everything, slice(0, labels)),
                ),
                (f"{kind}_shares", arrays.shares, everything),
            ]
        return parts

    def _model_of(self, weights: Weights, counts: DocumentCounts) -> InferenceModel:
        return InferenceModel(
            tuple(self.labels), weights, counts, self.documents, self._family_weights
        )

    def _learnt_rows(self) -> npt.NDArray[np.int32]:
        return np.flatnonzero(self._counts.by_bucket).astype(np.int32)

    def _index_of(self, label: str) -> int:
        position = self._index.get(label)
        if position is None:
            position = self._index[label] = len(self.labels)
            self.labels.append(label)
            if position == self._capacity:
                self._widen(
                    position + _INITIAL_LABELS * -(-position // (_INITIAL_LABELS * _GROWTH))
                )
        return position

    def _widen(self, capacity: int) -> None:
        old, weights, squares, rows = (
            self._capacity,
            self._weights,
            self._squares,
            self._learnt_rows(),
        )
        self._capacity = capacity
        self._weights, self._squares = self._initial_weights()
        for wider, narrow in (
            (per_expert(self._weights), per_expert(weights)),
            (per_expert(self._squares), per_expert(squares)),
        ):
            # Only learnt rows are copied, because the system allocates no memory for the others.
            wider.hashed[rows, :, :old] = narrow.hashed[rows]
            wider.embedding[:, :, :old] = narrow.embedding
            wider.hints[: old + 1, :, :old] = narrow.hints
            wider.shares[:] = narrow.shares
        labels = np.zeros(capacity, dtype=np.int64)
        labels[:old] = self._counts.by_label
        self._counts = DocumentCounts(self._counts.by_bucket, labels)
        self._copies = []


def _zeros(*shape: int) -> npt.NDArray[np.float32]:
    return np.zeros(shape, dtype=np.float32)


def _encoded_text(features: Features, hints: RuleHints | None, row: int) -> EncodedText:
    first, last = features.starts[row], features.starts[row + 1]
    return EncodedText(
        features.buckets[first:last],
        features.tf[first:last],
        features.families[first:last],
        features.embeddings[row],
        -1 if hints is None else int(hints.labels[row]),
        0.0 if hints is None else float(hints.strengths[row]),
    )


def _step_table(experts: Sequence[Expert]) -> npt.NDArray[np.float32]:
    steps = np.zeros((len(experts), kernels.STEP_COLUMNS), dtype=np.float32)
    for row, expert in zip(steps, experts, strict=True):
        row[kernels.RATE], row[kernels.ACCUMULATOR] = expert.rate, expert.accumulator
        row[kernels.MARGIN] = expert.margin
        row[kernels.EMBEDDING_RATE], row[kernels.EMBEDDING_ACCUMULATOR] = (
            expert.meaning_rate,
            expert.meaning_accumulator,
        )
    return steps


def warm_up() -> None:
    """Compile the models' machine code, or load it from the cache, before the first batch.

    The first time on a machine takes about 15 s, later times about one; a worker does it before it
    joins its consumer group.
    """
    learner, features = Learner(("a", "b")), extract_features(["warm up"])
    learner.learn(features, "a", hints=RuleHints.none(1))
    learner.inference_model().predict_proba(features)
    split_clauses(read_texts(["warm up"], ["warm up"]))

"""The online learner of one head: a sparse multinomial softmax with per-coordinate AdaGrad and idf learnt from the stream."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from pipeline.models import kernels
from pipeline.models.features import BUCKETS, Features, extract
from pipeline.models.packing import Arrays, StateError, pack, unpack

# Weight of one example, at most: a mistyped weight must not wash out what a head has learnt.
GREATEST_IMPORTANCE: Final = 100.0
# An open label set starts with room for so many labels and doubles when it is full.
_FIRST_ROOM: Final = 8
# Rows in which a copy is behind are merged after so many examples, so that a long fold does not pile them up.
_MERGE_AFTER: Final = 1_024


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """The recipe of the learner, found on eleven data sets by changing one thing at a time (reference/baselines.md)."""

    rate: float = 0.5
    # Starting value of every sum of squared gradients: bounds the first step of a rare feature.
    accumulator: float = 1e-3
    # Added to the scores of wrong labels while learning, so that right but narrow answers still teach.
    margin: float = 1.0
    # Smaller gradients move nothing that shows and are skipped: most labels of a large set, most of the time.
    least_gradient: float = 5e-3
    # Character n-grams repeat what tokens say, so they count half.
    token_weight: float = 1.0
    character_weight: float = 0.5
    # What a rule's hint weighs before anything is learnt (logits at full confidence).
    hint_weight: float = 2.0


@dataclass(frozen=True, slots=True)
class Hints:
    """What a rule says of each text: `labels` (int64, the label's index or -1) and `strengths` (float32, 0 to 1)."""

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
    _weights: npt.NDArray[np.float32]
    _hint_weights: npt.NDArray[np.float32]
    _documents_with: npt.NDArray[np.int32]
    _documents: int
    _family_weights: npt.NDArray[np.float32]
    _seen: npt.NDArray[np.int64]

    def predict_proba(self, features: Features, hints: Hints | None = None) -> npt.NDArray[np.float32]:
        """Return probabilities, shape (texts, labels): each row sums to 1, or is all zero where no label is known."""
        said = Hints.none(len(features)) if hints is None else hints
        probabilities = np.zeros((len(features), len(self.labels)), dtype=np.float32)
        kernels.predict(
            features.starts,
            features.buckets,
            features.tf,
            features.families,
            said.labels,
            said.strengths,
            self._weights,
            self._hint_weights,
            self._documents_with,
            self._documents,
            self._family_weights,
            self._seen,
            probabilities,
        )
        return probabilities


@dataclass(slots=True)
class _Copy:
    """One copy of the arrays that grow with the features, and the rows in which it is behind the learner."""

    weights: npt.NDArray[np.float32]
    documents_with: npt.NDArray[np.int32]
    behind: list[npt.NDArray[np.int32]] = field(default_factory=list)
    holder: weakref.ref[FrozenLearner] | None = None

    def is_free(self) -> bool:
        return self.holder is None or self.holder() is None

    def catch_up(self, weights: npt.NDArray[np.float32], documents_with: npt.NDArray[np.int32]) -> None:
        if self.behind:
            rows = np.unique(np.concatenate(self.behind))
            self.weights[rows] = weights[rows]
            self.documents_with[rows] = documents_with[rows]
            self.behind = []


class Learner:
    """A learner of labels from hashed features, one example at a time, in the order of the examples.

    The same examples in the same order give the same state, bit by bit, on one build. `labels` may be given before
    (a head's), or grow as they are met. Not safe for use by several threads; what `freeze` returns is.
    """

    def __init__(self, labels: Sequence[str] = (), settings: LearnerSettings | None = None) -> None:
        self.settings = settings or LearnerSettings()
        self.labels: list[str] = list(dict.fromkeys(labels))
        self.documents = 0
        self._index = {label: position for position, label in enumerate(self.labels)}
        room = len(self.labels) or _FIRST_ROOM
        self.weights = np.zeros((BUCKETS, room), dtype=np.float32)
        self.squares = np.zeros((BUCKETS, room), dtype=np.float32)
        self.hint_weights = _first_hint_weights(room, self.settings.hint_weight)
        self.hint_squares = np.zeros((room + 1, room), dtype=np.float32)
        self.documents_with = np.zeros(BUCKETS, dtype=np.int32)
        self.seen = np.zeros(room, dtype=np.int64)
        self._family_weights = np.array([self.settings.token_weight, self.settings.character_weight], dtype=np.float32)
        self._scratch = np.zeros(room, dtype=np.float32)
        self._copies: list[_Copy] = []

    def learn(
        self,
        features: Features,
        label: str,
        importance: float = 1.0,
        hints: Hints | None = None,
        row: int = 0,
    ) -> str | None:
        """Test on text `row` of the features, then learn its label; return the label predicted before (None: none known).

        `importance` multiplies the gradient. Raises ValueError unless 0 < importance ≤ `GREATEST_IMPORTANCE`.
        """
        if not (math.isfinite(importance) and 0.0 < importance <= GREATEST_IMPORTANCE):
            raise ValueError(f"importance must be over 0 and at most {GREATEST_IMPORTANCE:g}, not {importance!r}")
        truth = self._index_of(label)
        first, last = features.starts[row], features.starts[row + 1]
        buckets = features.buckets[first:last]
        said = -1 if hints is None else int(hints.labels[row])
        guess = kernels.learn(
            buckets,
            features.tf[first:last],
            features.families[first:last],
            said,
            0.0 if hints is None else float(hints.strengths[row]),
            truth,
            float(importance),
            self.weights,
            self.squares,
            self.hint_weights,
            self.hint_squares,
            self.documents_with,
            self.documents,
            self._family_weights,
            self.seen,
            self.settings.rate,
            self.settings.accumulator,
            self.settings.margin,
            self.settings.least_gradient,
            self._scratch[: len(self.labels)],
        )
        self.documents += 1
        for copy in self._copies:
            copy.behind.append(buckets.copy())
            if len(copy.behind) >= _MERGE_AFTER:
                copy.behind = [np.unique(np.concatenate(copy.behind))]
        return self.labels[guess] if guess >= 0 else None

    def predict_proba(
        self, features: Features, hints: Hints | None = None
    ) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Return the labels, and probabilities of shape (texts, labels), from the state as it stands."""
        view = self._view(self.weights, self.documents_with)
        return view.labels, view.predict_proba(features, hints)

    def freeze(self) -> FrozenLearner:
        """Return the state as it stands; later learning does not show in it.

        A copy that nobody holds any more is brought up to date and given out again, so the cost is that of the rows
        learnt since, not of the whole state.
        """
        copy = next((copy for copy in self._copies if copy.is_free()), None)
        if copy is None:
            copy = _Copy(np.zeros_like(self.weights), np.zeros_like(self.documents_with), [self._touched()])
            self._copies.append(copy)
        copy.catch_up(self.weights, self.documents_with)
        frozen = self._view(copy.weights, copy.documents_with)
        copy.holder = weakref.ref(frozen)
        return frozen

    @property
    def copies(self) -> int:
        """How many copies for `freeze` there are: one more than are held at a time."""
        return len(self._copies)

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what `restore` needs: a header for JSON, and arrays with only the rows that were ever learnt."""
        rows, labels = self._touched(), len(self.labels)
        header: dict[str, Any] = {"labels": self.labels, "documents": self.documents, "settings": asdict(self.settings)}
        arrays: dict[str, npt.NDArray[Any]] = {"rows": rows}
        arrays |= {name: array[where] for name, array, where in self._stored(rows, labels)}
        return header, arrays

    @classmethod
    def restore(cls, header: Mapping[str, Any], arrays: Arrays) -> Self:
        """Return the learner of a `state`. Raises StateError where the parts do not fit each other."""
        try:
            learner = cls(header["labels"], LearnerSettings(**header["settings"]))
            learner.documents = int(header["documents"])
            rows = arrays["rows"]
            if rows.ndim != 1 or not ((rows >= 0) & (rows < BUCKETS)).all():
                raise StateError("the learner's state names rows that do not exist")
            labels = len(learner.labels)
            for name, target, where in learner._stored(rows, labels):
                if arrays[name].shape != target[where].shape:
                    raise StateError(f"the learner's {name} have the shape {arrays[name].shape}, which does not fit")
                target[where] = arrays[name]
        except (KeyError, TypeError) as error:
            raise StateError(f"the parts of the learner's state do not fit: {error!r}") from error
        return learner

    def to_bytes(self) -> bytes:
        """Return the state as bytes with a checksum; the same state gives the same bytes."""
        return pack(*self.state())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the learner of `to_bytes`. Raises StateError for bytes that are not a whole and unharmed state."""
        return cls.restore(*unpack(data))

    def _stored(self, rows: npt.NDArray[np.int32], labels: int) -> list[tuple[str, npt.NDArray[Any], Any]]:
        """Return what a state holds besides the rows: the name, the array and the part of it that is stored."""
        hinted = (slice(0, labels + 1), slice(0, labels))
        return [
            ("weights", self.weights, (rows, slice(0, labels))),
            ("squares", self.squares, (rows, slice(0, labels))),
            ("documents_with", self.documents_with, rows),
            ("hint_weights", self.hint_weights, hinted),
            ("hint_squares", self.hint_squares, hinted),
            ("seen", self.seen, slice(0, labels)),
        ]

    def _view(self, weights: npt.NDArray[np.float32], documents_with: npt.NDArray[np.int32]) -> FrozenLearner:
        return FrozenLearner(
            tuple(self.labels),
            weights,
            self.hint_weights.copy(),
            documents_with,
            self.documents,
            self._family_weights,
            self.seen.copy(),
        )

    def _touched(self) -> npt.NDArray[np.int32]:
        return np.flatnonzero(self.documents_with).astype(np.int32)

    def _index_of(self, label: str) -> int:
        position = self._index.get(label)
        if position is None:
            position = self._index[label] = len(self.labels)
            self.labels.append(label)
            if position == self.weights.shape[1]:
                self._widen(2 * position)
        return position

    def _widen(self, room: int) -> None:
        self.weights = _with_columns(self.weights, room)
        self.squares = _with_columns(self.squares, room)
        self.seen = np.concatenate([self.seen, np.zeros(room - len(self.seen), dtype=np.int64)])
        old = self.hint_weights.shape[1]
        hint_weights, hint_squares = _first_hint_weights(room, self.settings.hint_weight), np.zeros((room + 1, room))
        hint_weights[: old + 1, :old] = self.hint_weights
        hint_squares[: old + 1, :old] = self.hint_squares
        self.hint_weights, self.hint_squares = hint_weights, hint_squares.astype(np.float32)
        self._scratch = np.zeros(room, dtype=np.float32)
        self._copies = []


def _first_hint_weights(room: int, weight: float) -> npt.NDArray[np.float32]:
    """Return the rows of hint weights: row 0 for no hint, row i + 1 for a hint at label i."""
    return np.concatenate([np.zeros((1, room)), weight * np.eye(room)]).astype(np.float32)


def _with_columns(array: npt.NDArray[np.float32], columns: int) -> npt.NDArray[np.float32]:
    wider = np.zeros((array.shape[0], columns), dtype=np.float32)
    wider[:, : array.shape[1]] = array
    return wider


def warm_up() -> None:
    """Compile the models' machine code, or load it from its cache, so that the first batch does not wait for it.

    The first time on a machine takes some 15 s, later times about one; a worker does it before it joins its group.
    """
    learner, features = Learner(("a", "b")), extract(["warm up"])
    learner.learn(features, "a", hints=Hints.none(1))
    learner.freeze().predict_proba(features)


def contributions(
    model: FrozenLearner, features: Features, hints: Hints, row: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what moves the scores (logits) of text `row`: each feature's part, shape (features, labels), and the hint's, (labels,).

    The sum over both is what `predict_proba` takes the softmax of.
    """
    first, last = features.starts[row], features.starts[row + 1]
    buckets, count = features.buckets[first:last], len(model.labels)
    values = np.empty(len(buckets), dtype=np.float32)
    kernels.weigh(
        buckets,
        features.tf[first:last],
        features.families[first:last],
        model._documents_with,
        model._documents,
        model._family_weights,
        values,
    )
    parts = values[:, None] * model._weights[buckets][:, :count]
    return parts, model._hint_weights[int(hints.labels[row]) + 1, :count] * hints.strengths[row]

"""The online learner of one head: two sparse multinomial softmaxes of different step, mixed by
shares learnt from the stream.
"""

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
from pipeline.models.lexicon_reading import read_texts
from pipeline.models.rehearsal import RehearsalBuffer, TrainingExample
from pipeline.models.state_format import Arrays, StateError, pack, unpack
from pipeline.models.word_vectors import DIMENSIONS

# Weight of one example, at most: a mistyped weight must not wash out what a head has learnt.
MAX_IMPORTANCE: Final = 100.0
# An open label set starts with room for so many labels, as many float32 as a vector register holds,
# and grows by that or an eighth when it is full: what is left empty costs memory and time in every
# sum.
_INITIAL_LABELS: Final = 8
_GROWTH: Final = 8
# Rows in which a copy is behind are merged after so many examples, so that a long fold does not
# pile them up.
_MERGE_AFTER: Final = 1_024


@dataclass(frozen=True, slots=True)
class Expert:
    """How one of the mixed learners steps.

    `rate` and `accumulator` (the starting value of every sum of squared gradients: it bounds the
    first steps of a rare feature) are AdaGrad's; the dimensions of meaning, which are in every
    text, have their own. `margin` is added to the scores of wrong labels while learning, so that
    right but narrow answers still teach.
    """

    rate: float
    accumulator: float
    margin: float
    meaning_rate: float
    meaning_accumulator: float


# Small even steps, which noisy labels want, and large first ones, which many labels with few
# examples want.
_EXPERTS: Final = (Expert(0.4, 3e-2, 1.0, 0.2, 1e-3), Expert(1.0, 1e-2, 0.0, 0.3, 1e-3))


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """The recipe of the learner, found on eleven data sets by changing one thing at a time
    (docs/adr/0013).
    """

    # To be raised whenever the code changes what is learnt from the same examples.
    version: int = 2
    experts: tuple[Expert, ...] = _EXPERTS
    # AdaGrad's rate of the experts' shares.
    share_rate: float = 0.1
    # Smaller gradients move nothing that shows and are skipped: most labels of a large set, most of
    # the time.
    least_gradient: float = 5e-3
    # Character n-grams repeat what tokens say, so they count half.
    token_weight: float = 1.0
    character_weight: float = 0.5
    # What a rule's hint weighs before anything is learnt (logits at full confidence).
    hint_weight: float = 2.0
    # While fewer examples than `young` were learnt since the start or a drift, each is followed by
    # so many earlier ones.
    young: int = 1_500
    rehearsed: int = 4

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> Self:
        """Return the settings that `dataclasses.asdict` made `stored` of."""
        return cls(**{**stored, "experts": tuple(Expert(**expert) for expert in stored["experts"])})


@dataclass(slots=True)
class _WeightsCopy:
    """One copy of the arrays that grow with the features, and the rows in which it is behind the
    learner.
    """

    hashed: npt.NDArray[np.float32]
    documents_with: npt.NDArray[np.int32]
    behind: list[npt.NDArray[np.int32]] = field(default_factory=list)
    holder: weakref.ref[InferenceModel] | None = None

    def is_free(self) -> bool:
        return self.holder is None or self.holder() is None

    def fall_behind(self, buckets: npt.NDArray[np.int32]) -> None:
        self.behind.append(buckets)
        if len(self.behind) >= _MERGE_AFTER:
            self.behind = [np.unique(np.concatenate(self.behind))]

    def catch_up(
        self, hashed: npt.NDArray[np.float32], documents_with: npt.NDArray[np.int32]
    ) -> None:
        if self.behind:
            rows = np.unique(np.concatenate(self.behind))
            self.hashed[rows] = hashed[rows]
            self.documents_with[rows] = documents_with[rows]
            self.behind = []


class Learner:
    """A learner of labels from a text's features, one example at a time, in the order of the
    examples.

    The same examples in the same order give the same state, bit by bit, on one build. `labels` may
    be given before (a head's), or grow as they are met. Where its errors rise at once it starts
    anew from the examples since: see `DriftDetector`. Not safe for use by several threads; what
    `freeze` returns is.
    """

    def __init__(self, labels: Sequence[str] = (), settings: LearnerSettings | None = None) -> None:
        self.settings = settings or LearnerSettings()
        self.labels: list[str] = list(dict.fromkeys(labels))
        self.documents = 0
        self.drifts = 0
        self._index = {label: position for position, label in enumerate(self.labels)}
        self._room = len(self.labels) or _INITIAL_LABELS
        self._weights, self._squares = self._initial_weights()
        self._counts = DocumentCounts(
            np.zeros(BUCKETS, dtype=np.int32), np.zeros(self._room, dtype=np.int64)
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
        """Test on text `row` of the features, then learn its label; return the label predicted
        before (None: none known).

        `importance` multiplies the gradient. Raises ValueError unless 0 < importance ≤
        `GREATEST_IMPORTANCE`.
        """
        if not (math.isfinite(importance) and 0.0 < importance <= MAX_IMPORTANCE):
            raise ValueError(
                f"importance must be over 0 and at most {MAX_IMPORTANCE:g}, not {importance!r}"
            )
        truth = self._index_of(label)
        lesson = TrainingExample(_encoded_text(features, hints, row), truth, float(importance))
        guess = self._update(lesson, again=False)
        self.documents += 1
        if guess >= 0 and self._detector.update(guess != truth):
            self._restart(lesson)
        else:
            if self._detector.tests < self.settings.young:
                for earlier in self._rehearsal.sample(self.settings.rehearsed):
                    self._update(earlier, again=True)
            self._rehearsal.add(lesson)
        return self.labels[guess] if guess >= 0 else None

    @property
    def label_counts(self) -> npt.NDArray[np.int64]:
        """How many examples of each label were learnt, zero beyond the labels there are."""
        return self._counts.by_label

    def predict_proba(
        self, features: Features, hints: RuleHints | None = None
    ) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Return the labels, and probabilities of shape (texts, labels), from the state as it
        stands.
        """
        view = self._model_of(self._weights, self._counts)
        return view.labels, view.predict_proba(features, hints)

    def inference_model(self) -> InferenceModel:
        """Return the state as it stands; later learning does not show in it.

        A copy that nobody holds any more is brought up to date and given out again, so the cost is
        that of the rows learnt since, not of the whole state.
        """
        hashed, documents_with = self._weights.hashed, self._counts.by_bucket
        copy = next((copy for copy in self._copies if copy.is_free()), None)
        if copy is None:
            copy = _WeightsCopy(
                np.zeros_like(hashed), np.zeros_like(documents_with), [self._learnt_rows()]
            )
            self._copies.append(copy)
        copy.catch_up(hashed, documents_with)
        own = self._weights
        frozen = self._model_of(
            Weights(copy.hashed, own.embedding.copy(), own.hints.copy(), own.shares.copy()),
            DocumentCounts(copy.documents_with, self._counts.by_label.copy()),
        )
        copy.holder = weakref.ref(frozen)
        return frozen

    @property
    def copy_count(self) -> int:
        """How many copies for `freeze` there are: one more than are held at a time."""
        return len(self._copies)

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what `restore` needs: a header for JSON, and arrays with only the rows that were
        ever learnt.
        """
        rows, labels = self._learnt_rows(), len(self.labels)
        rehearsal, lessons = self._rehearsal.state()
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
        return header, arrays | lessons

    @classmethod
    def restore(cls, header: Mapping[str, Any], arrays: Arrays) -> Self:
        """Return the learner of a `state`. Raises StateError where the parts do not fit each
        other.
        """
        try:
            learner = cls(header["labels"], LearnerSettings.restore(header["settings"]))
            learner.documents, learner.drifts = int(header["documents"]), int(header["drifts"])
            learner._detector = DriftDetector.restore(header["detector"])
            learner._rehearsal.restore(header["rehearsal"], arrays)
            rows = arrays["rows"]
            if rows.ndim != 1 or not ((rows >= 0) & (rows < BUCKETS)).all():
                raise StateError("the learner's state names rows that do not exist")
            labels = len(learner.labels)
            for name, target, where in learner._state_parts(rows, labels):
                if arrays[name].shape != target[where].shape:
                    raise StateError(
                        f"the learner's {name} have the shape {arrays[name].shape}, which does"
                        " not fit"
                    )
                target[where] = arrays[name]
        except (KeyError, TypeError) as error:
            raise StateError(f"the parts of the learner's state do not fit: {error!r}") from error
        return learner

    def to_bytes(self) -> bytes:
        """Return the state as bytes with a checksum; the same state gives the same bytes."""
        return pack(*self.state())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the learner of `to_bytes`. Raises StateError for bytes that are not a whole and
        unharmed state.
        """
        return cls.restore(*unpack(data))

    def _update(self, lesson: TrainingExample, again: bool) -> int:
        guess = kernels.learn(
            lesson.text,
            lesson.truth,
            lesson.importance,
            again,
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
            copy.fall_behind(lesson.text.buckets.copy())
        return guess

    def _restart(self, lesson: TrainingExample) -> None:
        """Forget all weights, and learn what came since the change began."""
        since = self._detector.suspected
        self.drifts += 1
        self._detector = DriftDetector(rate=1.0)
        shares = self._weights.shares
        self._weights, self._squares = self._initial_weights()
        self._weights.shares[:] = shares
        self._copies = []
        self._rehearsal.add(lesson)
        self._rehearsal.keep_last(since)
        for earlier in self._rehearsal.sample(self.settings.rehearsed * since):
            self._update(earlier, again=True)

    def _initial_weights(self) -> tuple[Weights, GradientSquares]:
        experts, room = len(self.settings.experts), self._room
        shares = np.full(experts, 1.0 / experts, dtype=np.float32)
        columns = experts * room
        weights = Weights(
            _zeros(BUCKETS, columns), _zeros(DIMENSIONS, columns), _zeros(room + 1, columns), shares
        )
        hints = per_expert(weights).hints
        for label in range(room):
            hints[label + 1, :, label] = self.settings.hint_weight
        return weights, GradientSquares(*(_zeros(*array.shape) for array in weights))

    def _state_parts(
        self, rows: npt.NDArray[np.int32], labels: int
    ) -> list[tuple[str, npt.NDArray[Any], Any]]:
        """Return what a state holds besides the rows: the name, the array and the part of it that
        is stored.
        """
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

    def _model_of(self, weights: Weights, seen: DocumentCounts) -> InferenceModel:
        return InferenceModel(
            tuple(self.labels), weights, seen, self.documents, self._family_weights
        )

    def _learnt_rows(self) -> npt.NDArray[np.int32]:
        return np.flatnonzero(self._counts.by_bucket).astype(np.int32)

    def _index_of(self, label: str) -> int:
        position = self._index.get(label)
        if position is None:
            position = self._index[label] = len(self.labels)
            self.labels.append(label)
            if position == self._room:
                self._widen(
                    position + _INITIAL_LABELS * -(-position // (_INITIAL_LABELS * _GROWTH))
                )
        return position

    def _widen(self, room: int) -> None:
        old, weights, squares, rows = self._room, self._weights, self._squares, self._learnt_rows()
        self._room = room
        self._weights, self._squares = self._initial_weights()
        for wider, narrow in (
            (per_expert(self._weights), per_expert(weights)),
            (per_expert(self._squares), per_expert(squares)),
        ):
            # Rows that were never touched are memory that was never asked for.
            wider.hashed[rows, :, :old] = narrow.hashed[rows]
            wider.embedding[:, :, :old] = narrow.embedding
            wider.hints[: old + 1, :, :old] = narrow.hints
            wider.shares[:] = narrow.shares
        labels = np.zeros(room, dtype=np.int64)
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
    """Compile the models' machine code, or load it from its cache, so that the first batch does not
    wait for it.

    The first time on a machine takes some 15 s, later times about one; a worker does it before it
    joins its group.
    """
    learner, features = Learner(("a", "b")), extract_features(["warm up"])
    learner.learn(features, "a", hints=RuleHints.none(1))
    learner.inference_model().predict_proba(features)
    split_clauses(read_texts(["warm up"], ["warm up"]))

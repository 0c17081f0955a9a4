"""The learner in the shapes of river's classifiers and of scikit-learn's `partial_fit`
estimators.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from river.base import Classifier as RiverClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from pipeline.models.features import Features, extract_features
from pipeline.models.learner import Learner, LearnerSettings
from pipeline.text.normal_form import normalise


def extract_raw(texts: Sequence[str]) -> Features:
    """Return the features of texts as written."""
    return extract_features([normalise(text) for text in texts])


class _LabelledLearner:
    """A learner of labels of any kind: it knows each by its place among those met, and answers with
    them as they were given.
    """

    def __init__(self, settings: LearnerSettings | None) -> None:
        self.learner = Learner(settings=settings)
        self.labels: list[Any] = []
        self._indexes: dict[Any, int] = {}

    def label_name(self, label: Any) -> str:
        """Return a label's name in the learner."""
        place = self._indexes.setdefault(label, len(self.labels))
        if place == len(self.labels):
            self.labels.append(label)
        return str(place)

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """Return what each label met is given, shape (texts, labels), each row of sum 1; all zero
        before anything is learnt.
        """
        names, learnt = self.learner.predict_proba(features)
        found = np.zeros((len(features), len(self.labels)))
        found[:, [int(name) for name in names]] = learnt
        sums = found.sum(axis=1, keepdims=True)
        np.divide(found, sums, out=found, where=sums > 0)
        return found

    def __getstate__(self) -> tuple[bytes, list[Any]]:
        """Return the learner as its own bytes: what it shares with frozen copies is none of its
        state.
        """
        return self.learner.to_bytes(), self.labels

    def __setstate__(self, state: tuple[bytes, list[Any]]) -> None:
        """Go on from a state as if nothing had been."""
        self.learner, self.labels = Learner.from_bytes(state[0]), state[1]
        self._indexes = {label: place for place, label in enumerate(self.labels)}


class RiverTextClassifier(RiverClassifier):
    """A river classifier of texts with whatever else is known of them; labels may be met at any
    time.

    `x` is a dict: the field `on` is the text, every other field is read as its name and value, in
    the order of the names. Any field may be missing. Answers are the labels as they were given.
    """

    def __init__(self, on: str = "text", settings: LearnerSettings | None = None) -> None:
        self.on = on
        self.settings = settings
        self._learner = _LabelledLearner(settings)

    @property
    def _multiclass(self) -> bool:
        return True

    def _features(self, x: Mapping[Hashable, Any]) -> Features:
        others = sorted((str(name), value) for name, value in x.items() if name != self.on)
        return extract_raw(
            ["\n".join([str(x.get(self.on, "")), *(f"{name} {value}" for name, value in others)])]
        )

    def learn_one(self, x: dict[Hashable, Any], y: bool | str | int) -> None:
        """Learn one text's label."""
        self._learner.learner.learn(self._features(x), self._learner.label_name(y))

    def predict_proba_one(
        self, x: dict[Hashable, Any], **kwargs: Any
    ) -> dict[bool | str | int, float]:
        """Return each known label's probability; empty before anything is learnt."""
        found = self._learner.probabilities(self._features(x))[0].tolist()
        return dict(zip(self._learner.labels, found, strict=True))


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier of a sequence of `str`, learning in the order of the samples.

    `classes_` is sorted, as scikit-learn has it, and answers are of the kind that the labels were.
    """

    def __init__(self, settings: LearnerSettings | None = None) -> None:
        self.settings = settings

    def __sklearn_tags__(self) -> Tags:
        """Say that samples are texts, not rows of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags

    def fit(
        self, X: Sequence[str], y: Sequence[Any], sample_weight: Sequence[float] | None = None
    ) -> Self:
        """Forget what was learnt and learn the samples once, in their order. Raises ValueError
        where no weight is over 0.
        """
        if sample_weight is not None and len(y) and not np.any(np.asarray(sample_weight) != 0):
            raise ValueError("every sample weight is zero: there is nothing to learn")
        return self._learn(_LabelledLearner(self.settings), X, y, None, sample_weight)

    def partial_fit(
        self,
        X: Sequence[str],  # noqa: N803
        y: Sequence[Any],
        classes: Sequence[Any] | None = None,
        sample_weight: Sequence[float] | None = None,
    ) -> Self:
        """Learn the samples in their order; `classes` may name labels that come later.

        A sample of weight 0 is passed over. Raises ValueError when the lengths differ or a weight
        is below 0.
        """
        return self._learn(
            getattr(self, "taught_", None) or _LabelledLearner(self.settings),
            X,
            y,
            classes,
            sample_weight,
        )

    def _learn(
        self,
        taught: _LabelledLearner,
        X: Sequence[str],  # noqa: N803
        y: Sequence[Any],
        classes: Sequence[Any] | None,
        sample_weight: Sequence[float] | None,
    ) -> Self:
        labels = np.asarray(y).tolist()
        weights = (
            [1.0] * len(labels)
            if sample_weight is None
            else [float(weight) for weight in sample_weight]
        )
        if not len(X) == len(labels) == len(weights):
            raise ValueError(f"{len(X)} texts, {len(labels)} labels and {len(weights)} weights")
        for label in [] if classes is None else np.asarray(classes).tolist():
            taught.label_name(label)
        features = extract_raw(X)
        for row, (label, weight) in enumerate(zip(labels, weights, strict=True)):
            if weight != 0.0:
                taught.learner.learn(features, taught.label_name(label), weight, row=row)
        self.taught_ = taught
        self.classes_ = np.unique(np.array(taught.labels))
        return self

    def predict_proba(self, X: Sequence[str]) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return probabilities, shape (samples, classes), in the order of `classes_`."""
        check_is_fitted(self, "taught_")
        places = {label: place for place, label in enumerate(self.taught_.labels)}
        return self.taught_.probabilities(extract_raw(X))[
            :, [places[label] for label in self.classes_.tolist()]
        ]

    def predict(self, X: Sequence[str]) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable class of each sample."""
        places = self.predict_proba(X).argmax(axis=1)
        best: npt.NDArray[Any] = self.classes_[places]
        return best

"""Adapters of the learner to the APIs of river and scikit-learn (`partial_fit`)."""

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
from pipeline.models.learner import Learner
from pipeline.models.learner_settings import LearnerSettings
from pipeline.text.normal_form import normalise


def extract_raw(texts: Sequence[str]) -> Features:
    """Return the features of texts as written.

    >>> len(extract_raw(["Late PARCEL", "退款"]))
    2
    """
    return extract_features([normalise(text) for text in texts])


class _LabelledLearner:
    """A learner of labels of any type, which it knows by their indexes among the labels so far."""

    def __init__(self, settings: LearnerSettings | None) -> None:
        self.learner = Learner(settings=settings)
        self.labels: list[Any] = []
        self._indexes: dict[Any, int] = {}

    def label_name(self, label: Any) -> str:
        """Return the name of a label in the learner; a new label is added."""
        index = self._indexes.setdefault(label, len(self.labels))
        if index == len(self.labels):
            self.labels.append(label)
        return str(index)

    def probabilities(self, features: Features) -> npt.NDArray[np.float64]:
        """Return probabilities of shape (texts, labels).

        Each row sums to 1, or is all zero before anything is learnt.
        """
        names, predicted = self.learner.predict_proba(features)
        probabilities = np.zeros((len(features), len(self.labels)))
        probabilities[:, [int(name) for name in names]] = predicted
        sums = probabilities.sum(axis=1, keepdims=True)
        np.divide(probabilities, sums, out=probabilities, where=sums > 0)
        return probabilities

    def __getstate__(self) -> tuple[bytes, list[Any]]:
        """Return the learner's own bytes: copies of its weights are not part of its state."""
        return self.learner.to_bytes(), self.labels

    def __setstate__(self, state: tuple[bytes, list[Any]]) -> None:
        """Restore a state of `__getstate__`."""
        self.learner, self.labels = Learner.from_bytes(state[0]), state[1]
        self._indexes = {label: index for index, label in enumerate(self.labels)}


class RiverTextClassifier(RiverClassifier):
    """A river classifier of texts and further fields; new labels may come at any time.

    `x` is a dict: the field `on` is the text, and every other field is read as text of its name and
    value, in the order of the names. Any field may be missing. Predictions are the labels as
    `learn_one` received them.
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
        """Return the probability of each known label; empty before anything is learnt."""
        probabilities = self._learner.probabilities(self._features(x))[0].tolist()
        return dict(zip(self._learner.labels, probabilities, strict=True))


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier of a sequence of `str`, which learns in the order of the samples.

    `classes_` is sorted, as in scikit-learn, and predictions have the type of the labels.
    """

    def __init__(self, settings: LearnerSettings | None = None) -> None:
        self.settings = settings

    def __sklearn_tags__(self) -> Tags:
        """Return tags that say that samples are texts, not rows of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags

    def fit(
        self,
        X: Sequence[str],  # noqa: N803
        y: Sequence[Any],
        sample_weight: Sequence[float] | None = None,
    ) -> Self:
        """Start again and learn the samples once, in their order.

        Raises ValueError if no weight is greater than 0.
        """
        if sample_weight is not None and len(y) and not np.any(np.asarray(sample_weight) != 0):
            raise ValueError("all sample weights are zero: there is nothing to learn")
        return self._learn(_LabelledLearner(self.settings), X, y, None, sample_weight)

    def partial_fit(
        self,
        X: Sequence[str],  # noqa: N803
        y: Sequence[Any],
        classes: Sequence[Any] | None = None,
        sample_weight: Sequence[float] | None = None,
    ) -> Self:
        """Learn the samples in their order; `classes` may name labels that come later.

        A sample of weight 0 is skipped. Raises ValueError if the lengths differ or a weight is less
        than 0.
        """
        return self._learn(
            getattr(self, "learner_", None) or _LabelledLearner(self.settings),
            X,
            y,
            classes,
            sample_weight,
        )

    def _learn(
        self,
        learner: _LabelledLearner,
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
            raise ValueError(
                f"the lengths differ: {len(X)} texts, {len(labels)} labels, {len(weights)} weights"
            )
        for label in [] if classes is None else np.asarray(classes).tolist():
            learner.label_name(label)
        features = extract_raw(X)
        for row, (label, weight) in enumerate(zip(labels, weights, strict=True)):
            if weight != 0.0:
                learner.learner.learn(features, learner.label_name(label), weight, row=row)
        self.learner_ = learner
        self.classes_ = np.unique(np.array(learner.labels))
        return self

    def predict_proba(self, X: Sequence[str]) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return probabilities, shape (samples, classes), in the order of `classes_`."""
        check_is_fitted(self, "learner_")
        columns = {label: column for column, label in enumerate(self.learner_.labels)}
        return self.learner_.probabilities(extract_raw(X))[
            :, [columns[label] for label in self.classes_.tolist()]
        ]

    def predict(self, X: Sequence[str]) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable class of each sample."""
        columns = self.predict_proba(X).argmax(axis=1)
        predicted: npt.NDArray[Any] = self.classes_[columns]
        return predicted

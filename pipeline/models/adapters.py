"""The learner in the shapes of river's classifiers and of scikit-learn's `partial_fit` estimators."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from river.base import Classifier as RiverClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from pipeline.models.characters import normalise
from pipeline.models.features import Features, extract
from pipeline.models.learner import Learner, LearnerSettings


def extract_raw(texts: Sequence[str]) -> Features:
    """Return the features of texts as written."""
    return extract([normalise(text) for text in texts])


class RiverTextClassifier(RiverClassifier):
    """A river classifier of `{"text": ...}`; labels may be met at any time and are kept as strings."""

    def __init__(self, settings: LearnerSettings | None = None) -> None:
        self.settings = settings
        self._learner = Learner(settings=settings)

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Hashable, Any], y: bool | str | int) -> None:
        """Learn one text's label. Raises KeyError where `x` has no text."""
        self._learner.learn(extract_raw([x["text"]]), str(y))

    def predict_proba_one(self, x: dict[Hashable, Any], **kwargs: Any) -> dict[bool | str | int, float]:
        """Return each known label's probability; empty before anything is learnt."""
        labels, probabilities = self._learner.predict_proba(extract_raw([x["text"]]))
        return dict(zip(labels, probabilities[0].tolist(), strict=True))


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier of a sequence of `str`, learning in the order of the samples.

    `classes_` is sorted, as scikit-learn has it.
    """

    def __init__(self, settings: LearnerSettings | None = None) -> None:
        self.settings = settings

    def fit(self, X: Sequence[str], y: Sequence[str], sample_weight: Sequence[float] | None = None) -> Self:  # noqa: N803
        """Forget what was learnt and learn the samples once, in their order."""
        self.learner_ = Learner(settings=self.settings)
        return self.partial_fit(X, y, sample_weight=sample_weight)

    def partial_fit(
        self,
        X: Sequence[str],  # noqa: N803
        y: Sequence[str],
        classes: Sequence[str] | None = None,
        sample_weight: Sequence[float] | None = None,
    ) -> Self:
        """Learn the samples in their order; `classes` may name labels that come later.

        Raises ValueError when the lengths differ or a weight is not over 0.
        """
        if not hasattr(self, "learner_"):
            self.learner_ = Learner(() if classes is None else [str(label) for label in classes], self.settings)
        weights = [1.0] * len(y) if sample_weight is None else [float(weight) for weight in sample_weight]
        if not len(X) == len(y) == len(weights):
            raise ValueError(f"{len(X)} texts, {len(y)} labels and {len(weights)} weights")
        features = extract_raw(X)
        for row, (label, weight) in enumerate(zip(y, weights, strict=True)):
            self.learner_.learn(features, str(label), weight, row=row)
        self.classes_ = np.array(sorted(self.learner_.labels))
        return self

    def predict_proba(self, X: Sequence[str]) -> npt.NDArray[np.float32]:  # noqa: N803
        """Return probabilities, shape (samples, classes), in the order of `classes_`."""
        check_is_fitted(self, "learner_")
        labels, probabilities = self.learner_.predict_proba(extract_raw(X))
        order = np.array([labels.index(label) for label in self.classes_.tolist()], dtype=np.int64)
        return probabilities[:, order]

    def predict(self, X: Sequence[str]) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable class of each sample."""
        best: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return best

"""The learner in river's and in scikit-learn's shape, judged by the checks that each library judges
its own estimators by.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pytest
from river.checks import yield_checks
from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from pipeline.models.adapters import RiverTextClassifier, TextClassifier
from tests.support.labelled_texts import labelled_texts

ROWS = labelled_texts(60)
TEXTS, LABELS = [row.text for row in ROWS], [row.label for row in ROWS]


def name_of(check: Any) -> str:
    """Return a check's name, of one that has its arguments too."""
    return name_of(check.func) if isinstance(check, partial) else str(check.__name__)


def named(checks: list[Any]) -> list[Any]:
    return [pytest.param(check, id=f"{name_of(check)}-{n}") for n, check in enumerate(checks)]


@pytest.mark.parametrize("check", named(list(yield_checks(RiverTextClassifier()))))
def test_river_checks_of_a_multiclass_classifier(check: Callable[[Any], None]) -> None:
    """All of them, none left out, on river's own data: fields of numbers are read as words, and any
    field may be missing.
    """
    check(RiverTextClassifier().clone())


_OF_DATA = {
    check.__wrapped__: None
    for check in yield_checks(RiverTextClassifier())
    if isinstance(check, partial)
}


@pytest.mark.parametrize("check", named(list(_OF_DATA)))
def test_river_checks_on_texts(check: Callable[[Any, Any], None]) -> None:
    rows = [
        ({"text": row.text, "language": row.language, "channel": row.channel}, row.label)
        for row in ROWS
    ]
    check(RiverTextClassifier().clone(), dataset=rows)  # type: ignore[call-arg]


def test_river_classifier_predicts_original_labels_for_any_field_order() -> None:
    model = RiverTextClassifier(on="body")
    assert model.predict_proba_one({"body": "x"}) == {}
    for _ in range(4):
        for text, label in zip(TEXTS, LABELS, strict=True):
            model.learn_one({"body": text, "channel": "chat"}, label == "praise")
    assert model.predict_one({"body": TEXTS[LABELS.index("praise")]}) is True
    assert model.predict_proba_one({"channel": "chat", "body": "hi"}) == model.predict_proba_one(
        {"body": "hi", "channel": "chat"}
    )
    assert model.predict_proba_one({"channel": "email", "body": "hi"}) != model.predict_proba_one(
        {"body": "hi"}
    )


def test_pickled_river_classifier_continues_identically() -> None:
    model = RiverTextClassifier()
    for text, label in zip(TEXTS[:20], LABELS[:20], strict=True):
        model.learn_one({"text": text}, label)
    again = pickle.loads(pickle.dumps(model))
    for one in (model, again):
        for text, label in zip(TEXTS[20:], LABELS[20:], strict=True):
            one.learn_one({"text": text}, label)
    assert again.predict_proba_one({"text": TEXTS[0]}) == model.predict_proba_one(
        {"text": TEXTS[0]}
    )


class OfNumbers(TextClassifier):
    """The classifier on rows of numbers, which scikit-learn's checks are made of: a number is a
    word that says its column, its sign and its size. All else, from labels to weights to what is
    stored, is the classifier's own."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = False, True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        X, y = validate_data(self, X, y)  # noqa: N806
        check_classification_targets(y)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        return super().fit(_words(X), y, weights)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        X, y = validate_data(self, X, y, reset=not hasattr(self, "n_features_in_"))  # noqa: N806
        return super().partial_fit(_words(X), y, classes, sample_weight)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        check_is_fitted(self)
        return super().predict_proba(_words(validate_data(self, X, reset=False)))


def _words(rows: npt.NDArray[Any]) -> list[str]:
    return [
        " ".join(
            f"{chr(ord('a') + column % 26)}{'n' if value < 0 else 'p'}"
            f"{'x' * min(9, int(2 * abs(value)))}"
            for column, value in enumerate(row)
        )
        for row in rows.tolist()
    ]


# What does not apply, and why. `check_array_api_input` skips itself: arrays that live on a GPU hold
# no texts.
_NOT_FOR_US = {
    "check_sample_weight_equivalence_on_dense_data": (
        "one pass in the order of the samples: a sample of weight two is one step "
        "twice as large, not two steps, and the steps of AdaGrad depend on all before them"
    ),
}


@pytest.mark.parametrize(
    ("model", "check"),
    [
        pytest.param(model, check, id=f"{name_of(check)}-{n}")
        for n, (model, check) in enumerate(
            estimator_checks_generator(OfNumbers(), expected_failed_checks=_NOT_FOR_US, mark="skip")
        )
    ],
)
def test_scikit_learn_checks_of_a_classifier(
    model: OfNumbers, check: Callable[[Any], None]
) -> None:
    check(model)


def test_scikit_learn_classifier_declares_text_input() -> None:
    tags = TextClassifier().__sklearn_tags__()
    assert (tags.input_tags.string, tags.input_tags.two_d_array) == (True, False)
    assert tags.classifier_tags.multi_class


def test_scikit_learn_classifier_supports_partial_fit() -> None:
    model = TextClassifier()
    for _ in range(5):
        model.partial_fit(TEXTS, LABELS, classes=["refund", "praise", "delivery", "other"])
    assert model.classes_.tolist() == ["delivery", "other", "praise", "refund"]
    assert model.score(TEXTS, LABELS) > 0.95
    assert model.predict_proba(["anything"])[0, 1] == 0.0
    in_parts = TextClassifier()
    for first in range(0, len(TEXTS), 7):
        in_parts.partial_fit(TEXTS[first : first + 7], LABELS[first : first + 7])
    whole = TextClassifier().fit(TEXTS, LABELS)
    assert np.array_equal(in_parts.predict_proba(TEXTS), whole.predict_proba(TEXTS))
    assert np.array_equal(
        pickle.loads(pickle.dumps(whole)).predict_proba(TEXTS), whole.predict_proba(TEXTS)
    )
    assert model.fit(["one"], ["a"]).classes_.tolist() == ["a"]
    assert not hasattr(clone(model), "taught_")


def test_predictions_keep_the_label_type_and_weights_count() -> None:
    model = TextClassifier().fit(TEXTS, [int(label == "praise") for label in LABELS])
    assert model.predict(TEXTS[:3]).dtype.kind == "i"
    weights = [0.0 if label == "praise" else 1.0 for label in LABELS]
    assert set(TextClassifier().fit(TEXTS, LABELS, weights).classes_.tolist()) == set(LABELS) - {
        "praise"
    }
    with pytest.raises(ValueError, match="2 texts"):
        model.partial_fit(["one", "two"], ["a"])
    with pytest.raises(ValueError, match="all sample weights are zero"):
        model.fit(["one"], ["a"], [0.0])

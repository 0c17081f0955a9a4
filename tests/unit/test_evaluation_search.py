"""Nested search: what a model is estimated on was fits by none of the fits that led to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer

from pipeline.models.evaluation.candidates import CANDIDATES, CandidateModel
from pipeline.models.evaluation.labelled_rows import EvaluationError
from pipeline.models.evaluation.nested_search import (
    MINIMUM_ROWS,
    Labels,
    folds_for,
    nested_search,
    outer_folds,
    settings_of,
    stratified_order,
)
from pipeline.models.evaluation.ngram_counts import NgramColumns


@dataclass
class Diary:
    """What happened, in order: ("fit" or "predict", the rows it was about)."""

    entries: list[tuple[str, frozenset[int]]] = field(default_factory=list)

    def __deepcopy__(self, memo: object) -> Self:
        return self  # clones of an estimator write into one diary


class Spy(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Writes down which rows it sees: their number stands in the first column."""

    def __init__(self, diary: Diary, strength: int = 1) -> None:
        self.diary = diary
        self.strength = strength

    def fit(self, X: sp.csr_matrix, y: Labels) -> Self:  # noqa: N803
        self.diary.entries.append(("fit", _rows(X)))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: sp.csr_matrix) -> Labels:  # noqa: N803
        self.diary.entries.append(("predict", _rows(X)))
        answer: Labels = np.full(X.shape[0], self.classes_[0], dtype=object)
        return answer


def _rows(X: sp.csr_matrix) -> frozenset[int]:  # noqa: N803
    return frozenset(
        int(value) - 1 for value in np.asarray(sp.csr_matrix(X)[:, [0]].todense()).ravel()
    )


class Untouched(NgramColumns):
    """Counts that reach the model as they are."""

    def tfidf_step(self) -> ColumnTransformer:
        return ColumnTransformer([("all", "passthrough", [0, 1])], sparse_threshold=1.0)


def spying(diary: Diary, **more: Any) -> CandidateModel:
    known: dict[str, Any] = {"search": "grid", "space": {"model__strength": [1, 2, 3]}}
    return CandidateModel("spy", "Spy", lambda _seed: [("model", Spy(diary))], **(known | more))


def made(counts: list[int]) -> tuple[sp.csr_matrix, Labels]:
    y: Labels = np.array(
        [f"label {n}" for n, count in enumerate(counts) for _ in range(count)], dtype=object
    )
    numbers = np.arange(1, len(y) + 1)
    return sp.csr_matrix(np.stack([numbers, np.ones_like(numbers)], axis=1)), y


# Of three settings all are scored on the first fold, two on the second; then one is left.
SCORED = 3 + 2


class Selector(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Writes down which rows it learns from and which it is asked about, and lets all through."""

    def __init__(self, diary: Diary, columns: int = 1) -> None:
        self.diary = diary
        self.columns = columns

    def fit(self, X: sp.csr_matrix, y: Labels | None = None) -> Self:  # noqa: N803
        self.diary.entries.append(("fit", _rows(X)))
        self.fitted_ = True
        return self

    def transform(self, X: sp.csr_matrix) -> sp.csr_matrix:  # noqa: N803
        self.diary.entries.append(("transform", _rows(X)))
        return X


GRAMS = Untouched(np.array([0, 1]), 1)


@settings(max_examples=8)
@given(st.lists(st.integers(6, 12), min_size=2, max_size=4), st.integers(2, 4), st.integers(0, 99))
def test_estimates_use_rows_that_no_fit_used(counts: list[int], folds: int, seed: int) -> None:
    diary = Diary()
    X, y = made(counts)  # noqa: N806
    nested_search(spying(diary), GRAMS, X, y, folds=folds, seed=seed, budget_s=1e9)
    validation = [frozenset(rows.tolist()) for _, rows in outer_folds(y, folds, seed)]
    assert sorted(row for rows in validation for row in rows) == list(range(len(y)))
    entries = iter(diary.entries[2 * SCORED :])  # after the search on all rows
    for rows in validation:
        fits = list(_until_answered(entries, rows))
        assert len(fits) == 2 * SCORED + 1  # the inner search, and the fit that is estimated
        assert all(not rows & inner for _, inner in fits)
        assert fits[-1] == ("fit", frozenset(range(len(y))) - rows)
    assert list(entries) == []


def _until_answered(
    entries: Iterator[tuple[str, frozenset[int]]], rows: frozenset[int]
) -> Iterator[tuple[str, frozenset[int]]]:
    for entry in entries:
        if entry == ("predict", rows):
            return
        yield entry


def test_inner_folds_predict_only_validation_rows() -> None:
    diary = Diary()
    X, y = made([9, 6])  # noqa: N806
    nested_search(spying(diary), GRAMS, X, y, folds=3, seed=1, budget_s=1e9)
    pairs = list(zip(diary.entries[::2], diary.entries[1::2], strict=True))
    assert {(first[0], second[0]) for first, second in pairs} == {("fit", "predict")}
    assert all(not fitted & answered for (_, fitted), (_, answered) in pairs)


def test_row_limits_apply_and_keep_every_label() -> None:
    diary = Diary()
    X, y = made([60, 5])  # noqa: N806
    nested_search(
        spying(diary, search_rows=12, fit_rows=20), GRAMS, X, y, folds=2, seed=1, budget_s=1e9
    )
    for kind, rows in diary.entries:
        if kind == "fit":
            assert len(rows) <= 20
            assert {str(y[row]) for row in rows} == {"label 0", "label 1"}


def test_budget_ends_the_search_after_the_current_fit() -> None:
    X, y = made([9, 6])  # noqa: N806
    found = nested_search(spying(Diary()), GRAMS, X, y, folds=3, seed=1, budget_s=0)
    assert (found.tried, found.planned, len(found.folds)) == (1, 3, 1)
    whole = nested_search(spying(Diary()), GRAMS, X, y, folds=3, seed=1, budget_s=1e9)
    assert (whole.tried, whole.planned, len(whole.folds)) == (3, 3, 3)
    assert whole.folds[0] == found.folds[0]


def test_each_setting_is_reported() -> None:
    X, y = made([9, 6])  # noqa: N806
    reported: list[int] = []
    nested_search(
        spying(Diary()),
        GRAMS,
        X,
        y,
        folds=3,
        seed=1,
        budget_s=1e9,
        on_progress=lambda: reported.append(1),
    )
    assert len(reported) == SCORED * 4


class Strong(Spy):
    """Right about half of the labels where its strength is the greatest, else about fewer."""

    def predict(self, X: sp.csr_matrix) -> Labels:  # noqa: N803
        super().predict(X)
        answer: Labels = np.full(
            X.shape[0], self.classes_[min(self.strength, len(self.classes_)) - 1], dtype=object
        )
        return answer


def test_better_half_of_settings_remains_for_the_next_fold() -> None:
    diary, reported = Diary(), []
    X, y = made([40, 9])  # noqa: N806
    candidate = CandidateModel(
        "strong",
        "Strong",
        lambda _seed: [("model", Strong(diary))],
        "grid",
        {"model__strength": [4, 2, 3, 1, 5]},
    )
    found = nested_search(
        candidate,
        GRAMS,
        X,
        y,
        folds=5,
        seed=1,
        budget_s=1e9,
        on_progress=lambda: reported.append(1),
    )
    assert found.settings == {"model__strength": 1}  # whoever answers the commonest label
    assert (found.tried, found.planned) == (5, 5)
    assert len(reported) == (5 + 3 + 2) * 6


def test_steps_before_the_model_are_fitted_once_per_fold() -> None:
    diary = Diary()
    X, y = made([9, 6])  # noqa: N806
    steps = [("select", Selector(diary)), ("model", Spy(Diary()))]
    candidate = CandidateModel(
        "spy",
        "Spy",
        lambda _seed: steps,
        "grid",
        {"model__strength": [1, 2, 3], "select__columns": [1, 2]},
    )
    nested_search(candidate, GRAMS, X, y, folds=3, seed=1, budget_s=1e9)
    first, second, *_ = [rows for kind, rows in diary.entries if kind == "fit"]
    assert first == second  # the two kinds of selection of the first fold, for six settings
    fits = [kind for kind, _ in diary.entries].count("fit")
    assert fits <= 4 * 2 * 3 + 3


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 99))
def test_every_prefix_has_the_labels_in_their_proportions(counts: list[int], seed: int) -> None:
    _, y = made(counts)
    order = stratified_order(y, seed)
    assert sorted(order.tolist()) == list(range(len(y)))
    assert order.tolist() == stratified_order(y, seed).tolist()
    first = sum(min(MINIMUM_ROWS, count) for count in counts)
    assert {
        (y[order[:first]] == f"label {n}").sum()
        for n, count in enumerate(counts)
        if count >= MINIMUM_ROWS
    } <= {MINIMUM_ROWS}
    for size in range(first, len(y) + 1):
        for number, count in enumerate(counts):
            have = int((y[order[:size]] == f"label {number}").sum())
            assert abs(have - count * size / len(y)) <= MINIMUM_ROWS + len(counts)


def test_rows_without_comparison_are_refused_with_a_reason() -> None:
    with pytest.raises(EvaluationError, match="all 5 training rows have the label 'label 0'"):
        folds_for(made([5])[1], 3)
    with pytest.raises(EvaluationError, match="only one label has 3 training rows or more"):
        folds_for(made([9, 2, 2])[1], 3)
    with pytest.raises(EvaluationError, match="3 of two labels"):
        folds_for(made([2, 2])[1], 3)
    assert folds_for(made([4, 3])[1], 10) == 4
    assert folds_for(made([40, 30, 1])[1], 3) == 3


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.name)
def test_settings_of_each_model_follow_the_seed(candidate: CandidateModel) -> None:
    found = settings_of(candidate, 7)
    assert len(found) == (candidate.draws or len(found)) >= 3
    assert found == settings_of(candidate, 7)
    if candidate.search == "random":
        assert found != settings_of(candidate, 8)
    model = candidate.pipeline(replace(GRAMS), 7)
    for setting in found:
        model.set_params(**setting)
    assert candidate.bound or candidate.fit_rows is None

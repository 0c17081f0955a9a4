"""Compare feature selection: a linear SVM on all n-grams, and on those that each method selects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.feature_selection import RFE, SelectKBest, chi2
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from pipeline.models.evaluation.candidates import presence_information
from pipeline.models.evaluation.nested_search import SCORER, Labels, splitter, stratified_order
from pipeline.models.evaluation.ngram_counts import NgramColumns, ngrams_of_columns

# The number of columns that a method selects: few enough that it has to choose.
KEPT: Final = 1_000
# Elimination fits a model in each round, so it starts from the columns that chi² selects and drops
# three of ten in each round.
_RFE_FROM: Final = 4_000
_RFE_STEP: Final = 0.3
# With more rows than this a method's order of columns hardly changes, but its time does.
ROWS: Final = 2_000
_TERMS: Final = 20


@dataclass(frozen=True, slots=True)
class FeatureSelection:
    """A method of feature selection and how it did.

    `macro_f1` and `spread` are mean and standard deviation over folds of the training rows;
    `columns` is how many columns it selects, `fit_s` CPU seconds per fit, and `terms` are the
    n-grams that it ranks highest.
    """

    name: str
    title: str
    macro_f1: float
    spread: float
    columns: int
    fit_s: float
    terms: tuple[str, ...]


def compare_selection(
    texts: Sequence[str],
    grams: NgramColumns,
    X: sp.csr_matrix,  # noqa: N803
    y: Labels,
    *,
    folds: int,
    seed: int,
    on_progress: Callable[[str], object] = lambda _title: None,
) -> tuple[FeatureSelection, ...]:
    """Compare the methods on training rows: `texts`, their n-gram counts `X` and labels `y`."""
    rows = stratified_order(y, seed)[:ROWS]
    part, labels = X[rows], y[rows]
    selections = []
    for name, (title, steps) in _methods(seed).items():
        on_progress(title)
        model = Pipeline(
            [("weigh", grams.tfidf_step()), *steps, ("model", LinearSVC(random_state=seed))]
        )
        scores = cross_val_score(
            model,
            part,
            labels,
            cv=splitter(labels, folds, seed),
            scoring=SCORER,
            error_score="raise",
        )
        begun = time.process_time()
        model.fit(part, labels)
        seconds = time.process_time() - begun
        kept = _ranked(grams, model, [step for step, _ in steps])
        known = (
            ngrams_of_columns(kept[:_TERMS].tolist(), [texts[row] for row in rows.tolist()])
            if steps
            else {}
        )
        terms = tuple(known[column] for column in kept[:_TERMS].tolist() if column in known)
        selections.append(
            FeatureSelection(
                name, title, float(scores.mean()), float(scores.std()), len(kept), seconds, terms
            )
        )
    return tuple(selections)


def _methods(seed: int) -> dict[str, tuple[str, list[tuple[str, Any]]]]:
    eliminate = RFE(LinearSVC(random_state=seed), n_features_to_select=KEPT, step=_RFE_STEP)
    return {
        "none": ("all n-grams", []),
        "chi2": ("chi²", [("select", SelectKBest(chi2, k=KEPT))]),
        "mutual_info": (
            "mutual information",
            [("select", SelectKBest(presence_information, k=KEPT))],
        ),
        "rfe": (
            "recursive elimination",
            [("before", SelectKBest(chi2, k=_RFE_FROM)), ("select", eliminate)],
        ),
    }


def _ranked(grams: NgramColumns, model: Pipeline, steps: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the columns of the counts that a fitted model selects, the highest ranked first."""
    columns = grams.columns_after(model.named_steps["weigh"])
    values = np.zeros(len(columns))
    for step in steps:
        selector = model.named_steps[step]
        support = selector.get_support()
        values = values[support] if isinstance(selector, RFE) else selector.scores_[support]
        columns = columns[support]
    if steps and isinstance(model.named_steps[steps[-1]], RFE):
        values = np.abs(model.named_steps["model"].coef_).max(axis=0)
    order: npt.NDArray[np.int64] = columns[np.argsort(-np.nan_to_num(values), kind="stable")]
    return order

"""Tune, fit, test and time the offline models, one after the other, on the same n-gram counts."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from pipeline.models.evaluation.candidates import CandidateModel
from pipeline.models.evaluation.feature_selection import FeatureSelection, compare_selection
from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.measures import Scores, score
from pipeline.models.evaluation.nested_search import (
    Labels,
    NestedSearchResult,
    fit,
    nested_search,
    stratified_order,
)
from pipeline.models.evaluation.ngram_counts import NgramColumns, count_ngrams
from pipeline.models.evaluation.online_model import BATCH
from pipeline.models.evaluation.results import Contender, curve_sizes, judge_contender


@dataclass(frozen=True, slots=True)
class OfflineBench:
    """The data on which every offline model is judged.

    `counts` (training rows, columns) and `test_counts` (test rows, columns) are counts of `grams`,
    `y` the training labels; `features_us` is the cost of counting the n-grams of a text.
    """

    train: Sequence[LabelledRow]
    test: Sequence[LabelledRow]
    grams: NgramColumns
    counts: sp.csr_matrix
    test_counts: sp.csr_matrix
    y: Labels
    features_us: float
    folds: int
    seed: int
    budget_s: float

    @classmethod
    def of(
        cls,
        train: Sequence[LabelledRow],
        test: Sequence[LabelledRow],
        folds: int,
        seed: int,
        budget_s: float,
    ) -> Self:
        """Count the n-grams of all rows; only the training rows decide which n-grams there are."""
        texts = [row.text for row in train]
        grams = NgramColumns.of(count_ngrams(texts))
        begun = time.process_time()
        unseen = grams.counts([row.text for row in test])
        features_us = 1e6 * (time.process_time() - begun) / len(test)
        y: Labels = np.array([row.label for row in train], dtype=object)
        return cls(
            train, test, grams, grams.counts(texts), unseen, y, features_us, folds, seed, budget_s
        )

    def selection(self, on_progress: Callable[[str], object]) -> tuple[FeatureSelection, ...]:
        """Compare methods of feature selection on the training rows."""
        texts = [row.text for row in self.train]
        with _convergence_warnings():
            return compare_selection(
                texts,
                self.grams,
                self.counts,
                self.y,
                folds=self.folds,
                seed=self.seed,
                on_progress=on_progress,
            )

    def judge(self, candidate: CandidateModel, on_progress: Callable[[], object]) -> Contender:
        """Choose a model's settings, estimate that choice, fit the model and answer the test.

        `on_progress` is called after each setting.
        """
        with _convergence_warnings() as complaints:
            nested = nested_search(
                candidate,
                self.grams,
                self.counts,
                self.y,
                folds=self.folds,
                seed=self.seed,
                budget_s=self.budget_s,
                on_progress=on_progress,
            )
            begun = time.process_time()
            model = fit(candidate, self.grams, nested.settings, self.counts, self.y, self.seed)
            fit_s = time.process_time() - begun
            answers, predict_us = _answers(model, self.test_counts)
            curve = tuple(self._curve(candidate, nested.settings))
        rows = min(len(self.y), candidate.fit_rows or len(self.y))
        return judge_contender(
            name=candidate.name,
            title=candidate.title,
            kind="offline",
            folds=nested.folds,
            settings={name: _as_json(value) for name, value in nested.settings.items()},
            rows=rows,
            answers=answers,
            test=self.test,
            curve=(*curve, (rows, self._scores(answers))),
            fit_s=fit_s,
            features_us=self.features_us,
            predict_us=predict_us,
            notes=tuple(_limit_notes(candidate, nested, rows, len(self.y), self.folds, complaints)),
        )

    def _curve(
        self, candidate: CandidateModel, settings: dict[str, Any]
    ) -> Iterator[tuple[int, Scores]]:
        """Yield the scores of fits on fewer rows, with the settings chosen on all rows."""
        order = stratified_order(self.y, self.seed)
        most = min(len(self.y), candidate.fit_rows or len(self.y))
        for size in curve_sizes(len(self.y)):
            part = np.sort(order[:size])
            if size >= most or len(set(self.y[part].tolist())) < 2:
                continue
            model = fit(candidate, self.grams, settings, self.counts[part], self.y[part], self.seed)
            yield size, self._scores(_answers(model, self.test_counts)[0])

    def _scores(self, answers: Sequence[str]) -> Scores:
        return score([row.label for row in self.test], answers)


def _limit_notes(
    candidate: CandidateModel,
    nested: NestedSearchResult,
    rows: int,
    available: int,
    folds: int,
    complaints: list[str],
) -> Iterator[str]:
    """Yield what limited a model, so that readers know it might do better without."""
    if rows < available:
        yield f"fitted on {rows:,} of {available:,} rows"
    if candidate.search_rows < available:
        yield f"settings compared on {candidate.search_rows:,} rows"
    if candidate.bound:
        yield candidate.bound
    if nested.tried < nested.planned:
        yield f"the budget ended its search after {nested.tried} of {nested.planned} settings"
    if len(nested.folds) < folds:
        yield f"the budget ended its cross-validation after {len(nested.folds)} of {folds} folds"
    if complaints:
        yield f"stopped before it converged in {len(complaints)} fits"


@contextmanager
def _convergence_warnings() -> Iterator[list[str]]:
    """Collect warnings of fits that did not converge, and drop scikit-learn's others.

    The others are about rare labels, which the comparison's notes report.
    """
    complaints: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield complaints
    complaints += [
        str(warning.message)
        for warning in caught
        if issubclass(warning.category, ConvergenceWarning)
    ]


def _answers(model: Pipeline, unseen: sp.csr_matrix) -> tuple[list[str], float]:
    """Return the answers and CPU µs per text, in batches of the same size as the online model."""
    begun = time.process_time()
    answers = [
        model.predict(unseen[first : first + BATCH]) for first in range(0, unseen.shape[0], BATCH)
    ]
    seconds = time.process_time() - begun
    return np.concatenate(answers).tolist(), 1e6 * seconds / unseen.shape[0]


def _as_json(value: Any) -> Any:
    """Return a setting as a JSON value."""
    if callable(value):
        return value.__name__
    return value.item() if isinstance(value, np.generic) else value

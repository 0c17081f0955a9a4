"""One offline model after the other on the same counts of n-grams: searched, fitted, answered,
timed.
"""

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

from pipeline.models.evaluation.candidates import Candidate
from pipeline.models.evaluation.feature_selection import Selection, compare_selection
from pipeline.models.evaluation.labelled_rows import Row
from pipeline.models.evaluation.measures import Scores, score
from pipeline.models.evaluation.nested_search import (
    Labels,
    Nested,
    fit,
    nested_search,
    stratified_order,
)
from pipeline.models.evaluation.ngram_counts import Grams, count_grams
from pipeline.models.evaluation.online_model import BATCH
from pipeline.models.evaluation.results import Contender, contender, curve_sizes


@dataclass(frozen=True, slots=True)
class Bench:
    """What every offline model is judged on.

    `counts` (training rows, columns) and `unseen` (test rows, columns) are counts of `grams`, `y`
    the training labels; `features_us` is what the counts of a text cost.
    """

    train: Sequence[Row]
    test: Sequence[Row]
    grams: Grams
    counts: sp.csr_matrix
    unseen: sp.csr_matrix
    y: Labels
    features_us: float
    folds: int
    seed: int
    budget_s: float

    @classmethod
    def of(
        cls, train: Sequence[Row], test: Sequence[Row], folds: int, seed: int, budget_s: float
    ) -> Self:
        """Count the n-grams of all rows; only the training rows decide which n-grams there are."""
        texts = [row.text for row in train]
        grams = Grams.of(count_grams(texts))
        begun = time.process_time()
        unseen = grams.counts([row.text for row in test])
        features_us = 1e6 * (time.process_time() - begun) / len(test)
        y: Labels = np.array([row.label for row in train], dtype=object)
        return cls(
            train, test, grams, grams.counts(texts), unseen, y, features_us, folds, seed, budget_s
        )

    def selection(self, tell: Callable[[str], object]) -> tuple[Selection, ...]:
        """Compare methods of feature selection on the training rows."""
        texts = [row.text for row in self.train]
        with _convergence():
            return compare_selection(
                texts, self.grams, self.counts, self.y, folds=self.folds, seed=self.seed, tell=tell
            )

    def judge(self, candidate: Candidate, tell: Callable[[], object]) -> Contender:
        """Choose a model's settings, estimate that, fit it and answer the test; `tell` is called
        after each setting.
        """
        with _convergence() as complaints:
            nested = nested_search(
                candidate,
                self.grams,
                self.counts,
                self.y,
                folds=self.folds,
                seed=self.seed,
                budget_s=self.budget_s,
                tell=tell,
            )
            begun = time.process_time()
            model = fit(candidate, self.grams, nested.settings, self.counts, self.y, self.seed)
            fit_s = time.process_time() - begun
            answers, predict_us = _answers(model, self.unseen)
            curve = tuple(self._curve(candidate, nested.settings))
        rows = min(len(self.y), candidate.fit_rows or len(self.y))
        return contender(
            name=candidate.name,
            title=candidate.title,
            kind="offline",
            folds=nested.folds,
            settings={name: _written(value) for name, value in nested.settings.items()},
            rows=rows,
            answers=answers,
            test=self.test,
            curve=(*curve, (rows, self._scores(answers))),
            fit_s=fit_s,
            features_us=self.features_us,
            predict_us=predict_us,
            notes=tuple(_limits(candidate, nested, rows, len(self.y), self.folds, complaints)),
        )

    def _curve(
        self, candidate: Candidate, settings: dict[str, Any]
    ) -> Iterator[tuple[int, Scores]]:
        """Yield the scores after fewer rows than the last fit used, with the settings chosen on
        all.
        """
        order = stratified_order(self.y, self.seed)
        most = min(len(self.y), candidate.fit_rows or len(self.y))
        for size in curve_sizes(len(self.y)):
            part = np.sort(order[:size])
            if size >= most or len(set(self.y[part].tolist())) < 2:
                continue
            model = fit(candidate, self.grams, settings, self.counts[part], self.y[part], self.seed)
            yield size, self._scores(_answers(model, self.unseen)[0])

    def _scores(self, answers: Sequence[str]) -> Scores:
        return score([row.label for row in self.test], answers)


def _limits(
    candidate: Candidate, nested: Nested, rows: int, of: int, folds: int, complaints: list[str]
) -> Iterator[str]:
    """Yield what bounded a model, so that nobody takes its figures for the best it could do."""
    if rows < of:
        yield f"fitted on {rows:,} of {of:,} rows"
    if candidate.search_rows < of:
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
def _convergence() -> Iterator[list[str]]:
    """Collect the fits that did not converge; scikit-learn's other remarks are about rare labels,
    which `_notes` names.
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
    """Return the answers, in batches as the online model gives them, and CPU µs a text."""
    begun = time.process_time()
    answers = [
        model.predict(unseen[first : first + BATCH]) for first in range(0, unseen.shape[0], BATCH)
    ]
    seconds = time.process_time() - begun
    return np.concatenate(answers).tolist(), 1e6 * seconds / unseen.shape[0]


def _written(value: Any) -> Any:
    """Return a setting as JSON can hold it."""
    if callable(value):
        return value.__name__
    return value.item() if isinstance(value, np.generic) else value

"""Nested search: settings are chosen on parts of the training rows, estimated on other parts of
them, and never on the test.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import make_scorer
from sklearn.model_selection import ParameterGrid, ParameterSampler, StratifiedKFold
from sklearn.pipeline import Pipeline

from pipeline.models.evaluation.candidates import CandidateModel
from pipeline.models.evaluation.labelled_rows import EvaluationError
from pipeline.models.evaluation.measures import Scores, score
from pipeline.models.evaluation.ngram_counts import NgramColumns

# Of three rows of a label an outer fold leaves two and an inner fold one: every model that is
# fitted knows the label.
MINIMUM_ROWS: Final = 3

Labels = npt.NDArray[np.object_]

# Settings are compared by macro-F1: by accuracy a setting that gives up a rare label wins wherever
# one label is common.
SCORER: Final = make_scorer(lambda truths, answers: score(list(truths), list(answers)).macro_f1)


@dataclass(frozen=True, slots=True)
class NestedSearchResult:
    """What a nested search found.

    `folds` are the scores of each outer fold: of settings that were chosen without it. `settings`
    are those chosen on all training rows; `tried` is how many were scored for them, `planned` how
    many should have been.
    """

    folds: tuple[Scores, ...]
    settings: dict[str, Any]
    tried: int
    planned: int

    @property
    def macro_f1(self) -> float:
        """The mean over the outer folds."""
        return float(np.mean([fold.macro_f1 for fold in self.folds]))

    @property
    def spread(self) -> float:
        """The standard deviation over the outer folds."""
        return float(np.std([fold.macro_f1 for fold in self.folds]))


def settings_of(candidate: CandidateModel, seed: int) -> list[dict[str, Any]]:
    """Return the settings to be tried, in their order."""
    if candidate.search == "grid":
        return list(ParameterGrid(dict(candidate.space)))
    return list(ParameterSampler(dict(candidate.space), candidate.draws, random_state=seed))


def nested_search(
    candidate: CandidateModel,
    grams: NgramColumns,
    X: sp.csr_matrix,  # noqa: N803
    y: Labels,
    *,
    folds: int,
    seed: int,
    budget_s: float,
    on_progress: Callable[[], object] = lambda: None,
) -> NestedSearchResult:
    """Choose settings on all training rows, then estimate that way of choosing on outer folds that
    it does not see.

    `X` are the counts of the n-grams in the training rows, (rows, columns); `budget_s` is CPU time,
    so that a busy machine comes to the same results. A search takes its share of the budget at
    most, the one in hand excepted: each tries one setting, and one outer fold is estimated,
    whatever the budget.
    """
    begun, share = time.process_time(), budget_s / (folds + 1)
    settings, tried = _choose(candidate, grams, X, y, folds, seed, begun + share, on_progress)
    estimates: list[Scores] = []
    for number, (seen, held_out) in enumerate(outer_folds(y, folds, seed), 2):
        chosen, _ = _choose(
            candidate, grams, X[seen], y[seen], folds, seed, begun + number * share, on_progress
        )
        fitted = fit(candidate, grams, chosen, X[seen], y[seen], seed)
        estimates.append(score(y[held_out].tolist(), fitted.predict(X[held_out]).tolist()))
        if time.process_time() > begun + budget_s:
            break
    return NestedSearchResult(tuple(estimates), settings, tried, len(settings_of(candidate, seed)))


def _choose(
    candidate: CandidateModel,
    grams: NgramColumns,
    X: sp.csr_matrix,  # noqa: N803
    y: Labels,
    folds: int,
    seed: int,
    deadline: float,
    on_progress: Callable[[], object],
) -> tuple[dict[str, Any], int]:
    """Return the best of the settings by successive halving, and how many were tried.

    A fold after the other scores the settings that are left, of which the better half (rounded up)
    goes on, until one is left or no fold (Jamieson, Talwalkar 2016, with folds for the resource).
    When the deadline (of `time.process_time`) has passed, what was scored decides; `tell` is called
    after each score.
    """
    rows = stratified_order(y, seed)[: candidate.search_rows]
    settings = settings_of(candidate, seed)
    left, scores = list(range(len(settings))), [list[float]() for _ in settings]

    def best() -> list[int]:
        return sorted(
            (one for one in left if scores[one]), key=lambda one: -float(np.mean(scores[one]))
        )

    for seen, held_out in splitter(y[rows], folds, seed).split(rows, y[rows]):
        fold = _InnerFold(candidate.pipeline(grams, seed), X, y, rows[seen], rows[held_out])
        for one in left:
            scores[one].append(fold.score(settings[one]))
            on_progress()
            if time.process_time() > deadline:
                return settings[best()[0]], sum(map(bool, scores))
        left = best()[: (len(left) + 1) // 2]
        if len(left) == 1:
            break
    return settings[best()[0]], len(settings)


@dataclass(slots=True)
class _InnerFold:
    """A fold of a search: what comes before the model (weights, selection, components) is learnt
    once, from the seen rows alone, for all settings that have it in common."""

    pipeline: Pipeline
    X: sp.csr_matrix
    y: Labels
    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    _prepared: dict[tuple[tuple[str, Any], ...], tuple[Any, Any]] = field(default_factory=dict)

    def score(self, setting: dict[str, Any]) -> float:
        """Return the macro-F1 on the held-out rows of a setting fitted on the seen ones."""
        model = clone(self.pipeline).set_params(**setting)
        shared = tuple(
            sorted(
                (name, value) for name, value in setting.items() if not name.startswith("model__")
            )
        )
        if shared not in self._prepared:
            before = model[:-1]
            learnt = before.fit_transform(self.X[self.train], self.y[self.train])
            self._prepared[shared] = learnt, before.transform(self.X[self.validation])
        learnt, asked = self._prepared[shared]
        answers = model[-1].fit(learnt, self.y[self.train]).predict(asked)
        return score(self.y[self.validation].tolist(), answers.tolist()).macro_f1


def fit(
    candidate: CandidateModel,
    grams: NgramColumns,
    settings: dict[str, Any],
    X: sp.csr_matrix,  # noqa: N803
    y: Labels,
    seed: int,
) -> Pipeline:
    """Return the candidate with settings, fitted on as many of the rows as it may use."""
    rows = np.sort(stratified_order(y, seed)[: candidate.fit_rows])
    model = clone(candidate.pipeline(grams, seed)).set_params(**settings)
    return model.fit(X[rows], y[rows])


def stratified_order(y: Labels, seed: int) -> npt.NDArray[np.int64]:
    """Return the rows in a random order of which every beginning has the labels in their
    proportions.

    Before that come `LEAST_ROWS` of each label, so that a rare one is not lost in a part.
    """
    shuffled = np.random.default_rng(seed).permutation(len(y))
    _, places, counts = np.unique(y[shuffled], return_inverse=True, return_counts=True)
    ranks = np.zeros(len(y), dtype=np.int64)
    seen = np.zeros(len(counts), dtype=np.int64)
    for number, place in enumerate(places.tolist()):
        ranks[number] = seen[place]
        seen[place] += 1
    keys = np.where(ranks < MINIMUM_ROWS, 0.0, ranks / counts[places])
    order: npt.NDArray[np.int64] = shuffled[np.argsort(keys, kind="stable")]
    return order


def folds_for(y: Labels, wanted: int) -> int:
    """Return how many folds the rows allow; raises EvaluationError where there is too little to
    choose between.
    """
    labels, counts = np.unique(y, return_counts=True)
    if len(labels) < 2:
        raise EvaluationError(
            f"all {len(y):,} training rows have the label {labels[0]!r}: a model needs two labels"
        )
    largest, second = sorted(counts.tolist())[:-3:-1]
    if second < MINIMUM_ROWS:
        raise EvaluationError(
            f"only one label has {MINIMUM_ROWS} training rows or more: cross-validation within"
            f" cross-validation needs {MINIMUM_ROWS} of two labels; label more, or evaluate with"
            " --online alone"
        )
    return int(min(wanted, largest))


def outer_folds(
    y: Labels, folds: int, seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return the rows to learn and the rows held out of each outer fold, which every model is
    estimated on alike.
    """
    with warnings.catch_warnings():
        # A label with fewer rows than folds: the comparison names all such labels.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter(y, folds, seed).split(y, y))


def splitter(y: Labels, folds: int, seed: int) -> StratifiedKFold:
    """Return the folds of rows with these labels: as many as wanted, or as the commonest label has
    rows.
    """
    largest = int(np.unique(y, return_counts=True)[1].max())
    return StratifiedKFold(min(folds, largest), shuffle=True, random_state=seed)

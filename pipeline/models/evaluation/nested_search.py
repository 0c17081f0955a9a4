"""Nested cross-validation: choose settings on inner folds, estimate them on outer folds."""

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

# Of three rows of a label an outer fold leaves two and an inner fold one, so every fitted model
# knows the label.
MINIMUM_ROWS: Final = 3

Labels = npt.NDArray[np.object_]

# Settings are compared by macro-F1, because by accuracy a setting that ignores rare labels wins if
# one label is common.
SCORER: Final = make_scorer(lambda truths, answers: score(list(truths), list(answers)).macro_f1)


@dataclass(frozen=True, slots=True)
class NestedSearchResult:
    """The result of a nested search.

    `folds` are the scores of each outer fold, with settings chosen without it. `settings` are those
    chosen on all training rows; `tried` is how many were scored for that, `planned` how many should
    have been.
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
    """Return the settings to try, in order."""
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
    """Choose settings on all training rows, and estimate that choice on outer folds.

    `X` are the n-gram counts of the training rows, (rows, columns); `budget_s` is CPU time, so that
    a busy machine reaches the same results. A search stops after the fit during which its share of
    the budget ends: whatever the budget, it tries one setting and estimates one outer fold.
    """
    begun, share = time.process_time(), budget_s / (folds + 1)
    settings, tried = _choose(candidate, grams, X, y, folds, seed, begun + share, on_progress)
    estimates: list[Scores] = []
    for number, (train, validation) in enumerate(outer_folds(y, folds, seed), 2):
        chosen, _ = _choose(
            candidate, grams, X[train], y[train], folds, seed, begun + number * share, on_progress
        )
        fitted = fit(candidate, grams, chosen, X[train], y[train], seed)
        estimates.append(score(y[validation].tolist(), fitted.predict(X[validation]).tolist()))
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
    """Return the best settings by successive halving, and how many were tried.

    Each fold scores the remaining settings, and the better half (rounded up) remains for the next
    fold, until one setting or no fold is left (Jamieson, Talwalkar 2016, with folds as the
    resource). After the deadline (of `time.process_time`) the scores so far decide; `on_progress`
    is called after each score.
    """
    rows = stratified_order(y, seed)[: candidate.search_rows]
    settings = settings_of(candidate, seed)
    remaining, scores = list(range(len(settings))), [list[float]() for _ in settings]

    def best() -> list[int]:
        return sorted(
            (index for index in remaining if scores[index]),
            key=lambda index: -float(np.mean(scores[index])),
        )

    for train, validation in splitter(y[rows], folds, seed).split(rows, y[rows]):
        fold = _InnerFold(candidate.pipeline(grams, seed), X, y, rows[train], rows[validation])
        for index in remaining:
            scores[index].append(fold.score(settings[index]))
            on_progress()
            if time.process_time() > deadline:
                return settings[best()[0]], sum(map(bool, scores))
        remaining = best()[: (len(remaining) + 1) // 2]
        if len(remaining) == 1:
            break
    return settings[best()[0]], len(settings)


@dataclass(slots=True)
class _InnerFold:
    """A fold of a search.

    The steps before the model (weights, selection, components) are fitted once, on the fold's
    training rows, for all settings that share them.
    """

    pipeline: Pipeline
    X: sp.csr_matrix
    y: Labels
    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    _prepared: dict[tuple[tuple[str, Any], ...], tuple[Any, Any]] = field(default_factory=dict)

    def score(self, setting: dict[str, Any]) -> float:
        """Return the macro-F1 on the validation rows of a setting fitted on the training rows."""
        model = clone(self.pipeline).set_params(**setting)
        shared = tuple(
            sorted(
                (name, value) for name, value in setting.items() if not name.startswith("model__")
            )
        )
        if shared not in self._prepared:
            before = model[:-1]
            train = before.fit_transform(self.X[self.train], self.y[self.train])
            self._prepared[shared] = train, before.transform(self.X[self.validation])
        train, validation = self._prepared[shared]
        answers = model[-1].fit(train, self.y[self.train]).predict(validation)
        return score(self.y[self.validation].tolist(), answers.tolist()).macro_f1


def fit(
    candidate: CandidateModel,
    grams: NgramColumns,
    settings: dict[str, Any],
    X: sp.csr_matrix,  # noqa: N803
    y: Labels,
    seed: int,
) -> Pipeline:
    """Return the candidate with these settings, fitted on as many of the rows as it may use."""
    rows = np.sort(stratified_order(y, seed)[: candidate.fit_rows])
    model = clone(candidate.pipeline(grams, seed)).set_params(**settings)
    return model.fit(X[rows], y[rows])


def stratified_order(y: Labels, seed: int) -> npt.NDArray[np.int64]:
    """Return the rows in a random order whose every prefix has the labels in their proportions.

    `MINIMUM_ROWS` of each label come first, so that a prefix has rare labels too.
    """
    shuffled = np.random.default_rng(seed).permutation(len(y))
    _, labels, counts = np.unique(y[shuffled], return_inverse=True, return_counts=True)
    ranks = np.zeros(len(y), dtype=np.int64)
    next_rank = np.zeros(len(counts), dtype=np.int64)
    for number, label in enumerate(labels.tolist()):
        ranks[number] = next_rank[label]
        next_rank[label] += 1
    keys = np.where(ranks < MINIMUM_ROWS, 0.0, ranks / counts[labels])
    order: npt.NDArray[np.int64] = shuffled[np.argsort(keys, kind="stable")]
    return order


def folds_for(y: Labels, wanted: int) -> int:
    """Return how many folds the rows allow; raises EvaluationError if they allow no comparison."""
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
    """Return the training and validation rows of each outer fold, the same for every model."""
    with warnings.catch_warnings():
        # The comparison reports labels with fewer rows than folds.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter(y, folds, seed).split(y, y))


def splitter(y: Labels, folds: int, seed: int) -> StratifiedKFold:
    """Return a splitter into `folds` folds, or fewer if the commonest label has fewer rows."""
    largest = int(np.unique(y, return_counts=True)[1].max())
    return StratifiedKFold(min(folds, largest), shuffle=True, random_state=seed)

"""The table of offline models: how each is built, what is searched, and its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.stats import loguniform, randint
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pipeline.models.evaluation.ngram_counts import NgramColumns

# The columns of linear models: on 77 intents a linear SVM reached 89.1 % with all n-grams, 88.9 %
# with 20,000, and 87.6 % with 5,000.
_MANY: Final = 20_000
# A single tree searches all its columns at each split; with 1,000 columns it lost 2 points on
# reviews and 5 on intents.
_TREE_COLUMNS: Final = 3_000
# A forest searches some columns; with 3,000 it lost 3 points on intents, in half the time.
_FOREST_COLUMNS: Final = 10_000
# Columns whose information is computed together: some MB for each array of columns × labels.
_COLUMNS_AT_ONCE: Final = 10_000
# Boosting searches each component for each tree, and fits a tree for each label in each round: with
# 150 components, a fit on 77 intents took three times as long.
_BOOSTED_COMPONENTS: Final = 50
# Dense models get texts as this many components of their TF-IDF matrix, because dense rows of text
# take too much memory and time.
_COMPONENTS: Final = 150


@dataclass(frozen=True, slots=True)
class CandidateModel:
    """An offline model.

    `build` returns the steps after TF-IDF for a seed. `space` is searched by `search`: every
    combination ("grid"), or `draws` of them ("random"). The model is fitted on at most `fit_rows`
    rows (None: all) and each setting tried on at most `search_rows`, for the reason in `bound` (""
    if all rows are used).
    """

    name: str
    title: str
    build: Callable[[int], list[tuple[str, Any]]]
    search: Literal["grid", "random"]
    space: Mapping[str, Any]
    draws: int = 0
    fit_rows: int | None = None
    search_rows: int = 4_000
    bound: str = ""

    def pipeline(self, grams: NgramColumns, seed: int) -> Pipeline:
        """Return the unfitted model from n-gram counts to labels."""
        return Pipeline([("weigh", grams.tfidf_step()), *self.build(seed)])


def presence_information(X: sp.csr_matrix, y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:  # noqa: N803
    """Return the mutual information, in nats, of each column's presence and the label, (columns,).

    It equals scikit-learn's `mutual_info_classif` of presence, but computes all columns in one
    matrix product; scikit-learn computes each column alone, which takes minutes for text.
    """
    labels, indexes = np.unique(y, return_inverse=True)
    rows = len(indexes)
    one_hot = sp.csr_matrix((np.ones(rows), (np.arange(rows), indexes)), shape=(rows, len(labels)))
    present = (sp.csc_matrix(X, dtype=np.float64, copy=True) > 0).astype(np.float64)
    of_label = np.asarray(one_hot.sum(axis=0)).ravel() / rows
    parts = [np.zeros(0)]
    for first in range(0, present.shape[1], _COLUMNS_AT_ONCE):
        both = (
            np.asarray((present[:, first : first + _COLUMNS_AT_ONCE].T @ one_hot).todense()) / rows
        )
        of_column = both.sum(axis=1, keepdims=True)
        information = _term(both, of_column * of_label) + _term(
            of_label - both, (1 - of_column) * of_label
        )
        parts.append(np.maximum(information.sum(axis=1), 0.0))
    return np.concatenate(parts)


def _term(
    joint: npt.NDArray[np.float64], product: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return p(x, y) · ln(p(x, y) / (p(x) p(y))), 0 where either is 0."""
    filled = (joint > 0) & (product > 0)
    ratio = np.divide(joint, product, out=np.ones_like(joint), where=filled)
    result: npt.NDArray[np.float64] = np.where(filled, joint * np.log(ratio), 0.0)
    return result


class Components(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """TruncatedSVD with `components` components, or as many as the texts and columns allow."""

    def __init__(self, components: int = _COMPONENTS, seed: int = 0) -> None:
        self.components = components
        self.seed = seed

    def fit(self, X: sp.csr_matrix, y: Any = None) -> Self:  # noqa: N803
        """Find the components."""
        count = max(1, min(self.components, X.shape[0] - 1, X.shape[1] - 1))
        # Two power iterations find the components of text as well as the default five, in half the
        # time.
        self.svd_ = TruncatedSVD(count, n_iter=2, random_state=self.seed).fit(X)
        return self

    def transform(self, X: sp.csr_matrix) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the texts as components, shape (texts, components)."""
        components: npt.NDArray[np.float64] = self.svd_.transform(X)
        return components


def keep_best(columns: int) -> tuple[str, SelectKBest]:
    """Return the step that keeps the columns with the highest chi² of weight and label."""
    return "select", SelectKBest(chi2, k=columns)


def _dense(
    seed: int, *scaling: tuple[str, Any], components: int = _COMPONENTS
) -> list[tuple[str, Any]]:
    return [keep_best(_MANY), ("components", Components(components, seed)), *scaling]


_SELECTORS: Final = [chi2, presence_information]


def _dense_bound(components: int = _COMPONENTS) -> str:
    return f"TF-IDF reduced to {components} components by truncated SVD, since it needs dense rows"


CANDIDATES: Final[tuple[CandidateModel, ...]] = (
    CandidateModel(
        "logistic_regression",
        "Logistic regression",
        # On 8,000 rows of 77 intents 30 steps reached 88.4 %, 60 steps 88.7 % in twice the time.
        lambda seed: [
            keep_best(_MANY),
            ("model", LogisticRegression(random_state=seed, max_iter=30)),
        ],
        "grid",
        {"model__C": [3.0, 30.0, 300.0]},
        search_rows=1_000,
        bound="its steps cost rows × labels: 30 at most",
    ),
    CandidateModel(
        "linear_svm",
        "Linear SVM",
        lambda seed: [keep_best(_MANY), ("model", LinearSVC(random_state=seed))],
        "grid",
        {"model__C": [0.1, 0.3, 1.0], "select__score_func": _SELECTORS},
    ),
    CandidateModel(
        "kernel_svm",
        "Kernel SVM (RBF)",
        lambda seed: [
            *_dense(seed, ("unit", Normalizer())),
            ("model", SVC(kernel="rbf", random_state=seed, cache_size=300)),
        ],
        "random",
        {"model__C": loguniform(1, 100), "model__gamma": loguniform(0.1, 3)},
        draws=4,
        fit_rows=2_000,
        search_rows=1_000,
        bound=f"its cost grows with the square of the rows; {_dense_bound()}",
    ),
    CandidateModel(
        "decision_tree",
        "Decision tree",
        lambda seed: [
            keep_best(_TREE_COLUMNS),
            ("model", DecisionTreeClassifier(random_state=seed)),
        ],
        "random",
        {
            "model__max_depth": [None, 30, 100],
            "model__min_samples_leaf": randint(1, 6),
            "select__score_func": _SELECTORS,
        },
        draws=4,
        search_rows=2_000,
        bound=f"looks for each split in all of {_TREE_COLUMNS:,} selected columns",
    ),
    CandidateModel(
        "random_forest",
        "Random forest",
        lambda seed: [
            keep_best(_FOREST_COLUMNS),
            ("model", RandomForestClassifier(100, random_state=seed)),
        ],
        "random",
        {
            # A tenth of the columns took five times as long and was worse on 77 intents (66 %
            # against 71 %).
            "model__max_features": ["sqrt", "log2"],
            "model__min_samples_leaf": randint(1, 4),
            "select__score_func": _SELECTORS,
        },
        draws=3,
        fit_rows=10_000,
        search_rows=1_500,
        bound=f"a hundred trees on {_FOREST_COLUMNS:,} selected columns",
    ),
    CandidateModel(
        "gradient_boosting",
        "Gradient boosting",
        lambda seed: [
            *_dense(seed, components=_BOOSTED_COMPONENTS),
            # Rounds determine the time, with a tree for every label in every round. Each of 77
            # labels has few rows: without a penalty some leaves step so far that accuracy fell from
            # 46 to 8 %. 31 bins are as good as 255 on so few rows.
            (
                "model",
                HistGradientBoostingClassifier(
                    max_iter=30,
                    max_bins=31,
                    l2_regularization=1.0,
                    early_stopping=False,
                    random_state=seed,
                ),
            ),
        ],
        "random",
        {"model__learning_rate": loguniform(0.05, 0.4), "model__max_leaf_nodes": [7, 15, 31]},
        draws=3,
        fit_rows=4_000,
        search_rows=1_000,
        bound=f"30 rounds of one tree a label; {_dense_bound(_BOOSTED_COMPONENTS)}",
    ),
    CandidateModel(
        "mlp",
        "Neural net (MLP)",
        lambda seed: [
            *_dense(seed, ("scale", StandardScaler())),
            # Smaller batches and larger steps than the defaults converge in a few epochs, even on a
            # few hundred rows.
            (
                "model",
                MLPClassifier(
                    random_state=seed,
                    batch_size=32,
                    learning_rate_init=3e-3,
                    max_iter=30,
                    tol=1e-3,
                    n_iter_no_change=3,
                ),
            ),
        ],
        "random",
        {"model__hidden_layer_sizes": [(64,), (128,), (256,)], "model__alpha": loguniform(1e-4, 3)},
        draws=3,
        fit_rows=20_000,
        search_rows=2_000,
        bound=f"30 epochs; {_dense_bound()}",
    ),
    CandidateModel(
        "naive_bayes",
        "Naive Bayes (complement)",
        lambda _seed: [keep_best(_MANY), ("model", ComplementNB())],
        "grid",
        {"model__alpha": [0.1, 0.3, 1.0], "select__score_func": _SELECTORS},
    ),
)

"""The results of a comparison: each contender's scores, costs and learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from pipeline.models.evaluation.feature_selection import FeatureSelection
from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.measures import (
    Confusion,
    LabelReport,
    Scores,
    confusion,
    label_reports,
    score,
)
from pipeline.text.normal_form import normalise

# The shares of training rows at which a learning curve has points.
CURVE: Final = (0.1, 0.25, 0.5, 1.0)
ONLINE: Final = "online"


@dataclass(frozen=True, slots=True)
class GroupScores:
    """The test rows of one language and channel ("" where unknown)."""

    language: str
    channel: str
    rows: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class Contender:
    """A model and its results.

    `folds` are the scores of the outer folds, `settings` the chosen ones; `rows` is how many
    training rows the last fit used; costs are CPU time: seconds to train, µs per text for features
    and answers. `notes` say what limits the result.
    """

    name: str
    title: str
    kind: Literal["online", "offline"]
    folds: tuple[Scores, ...]
    settings: dict[str, Any]
    rows: int
    test: Scores
    reports: tuple[LabelReport, ...]
    confusion: Confusion
    groups: tuple[GroupScores, ...]
    curve: tuple[tuple[int, Scores], ...]
    fit_s: float
    features_us: float
    predict_us: float
    notes: tuple[str, ...] = ()

    @property
    def cross_validated(self) -> float:
        """The mean macro-F1 over the outer folds, by which models are ranked."""
        return float(np.mean([fold.macro_f1 for fold in self.folds]))

    @property
    def spread(self) -> float:
        """The standard deviation of macro-F1 over the outer folds."""
        return float(np.std([fold.macro_f1 for fold in self.folds]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """All contenders, the best by cross-validation first, and the methods of feature selection."""

    contenders: tuple[Contender, ...]
    selection: tuple[FeatureSelection, ...]
    folds: int
    notes: tuple[str, ...]

    @property
    def winner(self) -> Contender:
        """The best contender by cross-validation on training rows; the test does not count."""
        return self.contenders[0]


def judge_contender(
    *, answers: Sequence[str | None], test: Sequence[LabelledRow], **known: Any
) -> Contender:
    """Return a contender from its answers to the test rows and its other fields."""
    truths = [row.label for row in test]
    return Contender(
        test=score(truths, answers),
        reports=label_reports(truths, answers),
        confusion=confusion(truths, answers),
        groups=groups_of(test, answers),
        **known,
    )


def groups_of(
    rows: Sequence[LabelledRow], answers: Sequence[str | None]
) -> tuple[GroupScores, ...]:
    """Return the scores of each language and channel, the largest group first."""
    members: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(rows):
        members.setdefault((row.language, row.channel), []).append(index)
    groups = []
    for (language, channel), indexes in members.items():
        scores = score(
            [rows[index].label for index in indexes], [answers[index] for index in indexes]
        )
        groups.append(
            GroupScores(language, channel, len(indexes), scores.accuracy, scores.macro_f1)
        )
    return tuple(sorted(groups, key=lambda group: (-group.rows, group.language, group.channel)))


def curve_sizes(rows: int) -> list[int]:
    """Return the numbers of training rows at which learning curves have points.

    >>> curve_sizes(1000)
    [100, 250, 500, 1000]
    """
    return sorted({max(1, round(share * rows)) for share in CURVE})


def count_known_texts(train: Sequence[LabelledRow], test: Sequence[LabelledRow]) -> int:
    """Return how many test texts are also training texts, in normal form."""
    known = {normalise(row.text) for row in train}
    return sum(normalise(row.text) in known for row in test)

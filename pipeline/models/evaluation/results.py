"""What is said of a model that was judged beside others, and how methods and models stand to each
other.
"""

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

# Shares of the training rows at which a learning curve is drawn.
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
    """A model and how it did.

    `folds` are the scores of the outer folds, `settings` what was chosen; `rows` is how many
    training rows the last fit used; costs are CPU time: seconds to train, µs a text for features
    and answers. `notes` say what bounds the result.
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
        """Macro-F1, the mean over the outer folds: what models are ranked by."""
        return float(np.mean([fold.macro_f1 for fold in self.folds]))

    @property
    def spread(self) -> float:
        """The standard deviation of macro-F1 over the outer folds."""
        return float(np.std([fold.macro_f1 for fold in self.folds]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """All contenders, the best first by cross-validation, and how methods of feature selection
    compare.
    """

    contenders: tuple[Contender, ...]
    selection: tuple[FeatureSelection, ...]
    folds: int
    notes: tuple[str, ...]

    @property
    def winner(self) -> Contender:
        """The best by cross-validation on training rows; the test has no say."""
        return self.contenders[0]


def judge_contender(
    *, answers: Sequence[str | None], test: Sequence[LabelledRow], **known: Any
) -> Contender:
    """Return a contender by its answers to the test rows and what else is known of it (the other
    fields).
    """
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
    for place, row in enumerate(rows):
        members.setdefault((row.language, row.channel), []).append(place)
    groups = []
    for (language, channel), places in members.items():
        found = score([rows[place].label for place in places], [answers[place] for place in places])
        groups.append(GroupScores(language, channel, len(places), found.accuracy, found.macro_f1))
    return tuple(sorted(groups, key=lambda group: (-group.rows, group.language, group.channel)))


def curve_sizes(rows: int) -> list[int]:
    """Return the numbers of training rows at which learning curves have a point."""
    return sorted({max(1, round(share * rows)) for share in CURVE})


def count_known_texts(train: Sequence[LabelledRow], test: Sequence[LabelledRow]) -> int:
    """Return how many test texts stand, in normal form, among the training texts too: on those a
    model only remembers.
    """
    known = {normalise(row.text) for row in train}
    return sum(normalise(row.text) in known for row in test)

"""Measures of answers: accuracy, macro-F1, calibration and coverage, each defined once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score

# Guo, Pleiss, Sun, Weinberger (2017), "On Calibration of Modern Neural Networks": fifteen bins of
# equal width.
CALIBRATION_BINS: Final = 15
# The model answers four of five messages and people the fifth: the share at which selective
# accuracy is reported.
COVERAGE: Final = 0.8

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Scores:
    """The share of correct answers, and F1 averaged over labels with equal weight; 0 to 1."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The expected calibration error, and the accuracy of the most certain `COVERAGE`; 0 to 1."""

    calibration_error: float
    accuracy_at_80_coverage: float


@dataclass(frozen=True, slots=True)
class LabelReport:
    """One label of a classification report; `rows` is the number of texts with that label."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix: counts of labels (rows) and answers (columns), in order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def score(truths: Sequence[str], answers: Sequence[str | None]) -> Scores:
    """Return the scores of answers; None (no answer) counts as wrong, and is no label.

    Macro-F1 is scikit-learn's, over the labels that are a truth or an answer. Raises ValueError if
    there are no rows.

    >>> score(["a", "b"], ["a", None]).accuracy
    0.5
    """
    if not truths:
        raise ValueError("there are no rows to score")
    predicted = ["" if answer is None else answer for answer in answers]
    labels = labels_of(truths, answers)
    return Scores(
        float(accuracy_score(truths, predicted)),
        float(f1_score(truths, predicted, labels=labels, average="macro", zero_division=0)),
    )


def labels_of(truths: Sequence[str], answers: Sequence[str | None]) -> list[str]:
    """Return the labels that are a truth or an answer, sorted.

    >>> labels_of(["b", "a"], ["c", None])
    ['a', 'b', 'c']
    """
    return sorted({*truths, *(answer for answer in answers if answer is not None)})


# With this many draws the floor of 450 texts is exact to about a tenth of a percentage point.
_FLOOR_DRAWS: Final = 100
_FLOOR_SEED: Final = 1


def calibration(confidences: Floats, right: npt.NDArray[np.bool_]) -> Calibration:
    """Return the calibration of the answers' probabilities; both arrays have the shape (texts,)."""
    return Calibration(
        calibration_error(confidences, right), accuracy_at_coverage(confidences, right)
    )


def calibration_error(
    confidences: Floats, right: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> float:
    """Return the expected calibration error, 0 to 1 (Guo et al. 2017).

    It is the sum over bins of share × |accuracy - mean confidence|. Bins have equal width, are open
    below and closed above; `confidences` are the probabilities of the answers.

    >>> calibration_error(np.array([0.9, 0.9]), np.array([True, False]))
    0.4
    """
    if not len(confidences):
        raise ValueError("there are no rows to score")
    values = np.asarray(confidences, dtype=np.float64)
    positions = np.clip(np.ceil(values * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(positions, minlength=bins)
    gaps = np.abs(np.bincount(positions, right, bins) - np.bincount(positions, values, bins))
    return float(gaps[counts > 0].sum() / len(values))


def calibration_floor(confidences: Floats) -> float:
    """Return the calibration error, 0 to 1, that exactly calibrated probabilities show by chance.

    It falls with the number of texts. It is a mean over simulated outcomes with a fixed seed;
    raises ValueError if there are no texts.
    """
    random = np.random.default_rng(_FLOOR_SEED)
    values = np.asarray(confidences, dtype=np.float64)
    return float(
        np.mean(
            [
                calibration_error(values, random.random(len(values)) < values)
                for _ in range(_FLOOR_DRAWS)
            ]
        )
    )


def accuracy_at_coverage(
    confidences: Floats, right: npt.NDArray[np.bool_], share: float = COVERAGE
) -> float:
    """Return the accuracy on the `share` of texts (rounded up) with the most certain answers.

    Among equally certain answers the earlier ones count.

    >>> accuracy_at_coverage(np.array([0.9, 0.5]), np.array([True, False]), share=0.5)
    1.0
    """
    if not len(confidences):
        raise ValueError("there are no rows to score")
    kept = np.argsort(-np.asarray(confidences), kind="stable")[
        : int(np.ceil(share * len(confidences)))
    ]
    return float(np.asarray(right)[kept].mean())


def label_reports(truths: Sequence[str], answers: Sequence[str | None]) -> tuple[LabelReport, ...]:
    """Return scikit-learn's classification report, one entry per label, sorted by label."""
    predicted = ["" if answer is None else answer for answer in answers]
    labels = labels_of(truths, answers)
    report = classification_report(
        truths, predicted, labels=labels, output_dict=True, zero_division=0
    )
    return tuple(
        LabelReport(
            label,
            float(report[label]["precision"]),
            float(report[label]["recall"]),
            float(report[label]["f1-score"]),
            int(report[label]["support"]),
        )
        for label in labels
    )


def confusion(truths: Sequence[str], answers: Sequence[str | None]) -> Confusion:
    """Return scikit-learn's confusion matrix over the labels that are a truth or an answer."""
    labels = labels_of(truths, answers)
    predicted = ["" if answer is None else answer for answer in answers]
    counts = confusion_matrix(truths, predicted, labels=labels)
    return Confusion(tuple(labels), tuple(tuple(int(count) for count in row) for row in counts))

"""How good answers are: accuracy, macro-F1, calibration and coverage, each with one definition."""

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
# Four messages of five answered by the model, the fifth by a person: the share at which selective
# accuracy is told.
COVERAGE: Final = 0.8

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Scores:
    """What share of answers is right, and F1 averaged over labels, each label counting the same; 0
    to 1.
    """

    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How honest probabilities are: expected calibration error, and accuracy on the most certain
    `COVERAGE`; 0 to 1.
    """

    calibration_error: float
    accuracy_at_80_coverage: float


@dataclass(frozen=True, slots=True)
class LabelReport:
    """One label of a classification report; `rows` is how many texts have it."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each label (row) got each answer (column), both in the order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def score(truths: Sequence[str], answers: Sequence[str | None]) -> Scores:
    """Return the scores of answers; None (no answer) is wrong, and no label of its own.

    Macro-F1 is scikit-learn's: over the labels that are a truth or an answer. Raises ValueError
    where there is none.
    """
    if not truths:
        raise ValueError("there is nothing to score")
    given = ["" if answer is None else answer for answer in answers]
    labels = labels_of(truths, answers)
    return Scores(
        float(accuracy_score(truths, given)),
        float(f1_score(truths, given, labels=labels, average="macro", zero_division=0)),
    )


def labels_of(truths: Sequence[str], answers: Sequence[str | None]) -> list[str]:
    """Return the labels that are a truth or an answer, sorted."""
    return sorted({*truths, *(answer for answer in answers if answer is not None)})


# So many draws give the floor to about a tenth of a point of 450 texts.
_FLOOR_DRAWS: Final = 100
_FLOOR_SEED: Final = 1


def calibration(confidences: Floats, right: npt.NDArray[np.bool_]) -> Calibration:
    """Return how honest the probabilities of the answers given are; both arrays are of shape
    (texts,).
    """
    return Calibration(
        calibration_error(confidences, right), accuracy_at_coverage(confidences, right)
    )


def calibration_error(
    confidences: Floats, right: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> float:
    """Return the expected calibration error, 0 to 1: Σ over bins of share × |accuracy - mean
    confidence| (Guo et al. 2017).

    Bins are of equal width, open below and closed above; `confidences` are the probabilities of the
    answers given.
    """
    if not len(confidences):
        raise ValueError("there is nothing to score")
    values = np.asarray(confidences, dtype=np.float64)
    places = np.clip(np.ceil(values * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    gaps = np.abs(np.bincount(places, right, bins) - np.bincount(places, values, bins))
    return float(gaps[counts > 0].sum() / len(values))


def calibration_floor(confidences: Floats) -> float:
    """Return the calibration error, 0 to 1, that probabilities show where each is exactly right:
    what the number of texts leaves to chance.

    The mean over drawn outcomes, always the same ones; raises ValueError where there are no texts.
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
    """Return the accuracy on that share of texts (rounded up) whose answers are most certain; among
    equals the earlier.
    """
    if not len(confidences):
        raise ValueError("there is nothing to score")
    kept = np.argsort(-np.asarray(confidences), kind="stable")[
        : int(np.ceil(share * len(confidences)))
    ]
    return float(np.asarray(right)[kept].mean())


def label_reports(truths: Sequence[str], answers: Sequence[str | None]) -> tuple[LabelReport, ...]:
    """Return scikit-learn's classification report, one entry a label, by label."""
    given = ["" if answer is None else answer for answer in answers]
    labels = labels_of(truths, answers)
    found = classification_report(truths, given, labels=labels, output_dict=True, zero_division=0)
    return tuple(
        LabelReport(
            label,
            float(found[label]["precision"]),
            float(found[label]["recall"]),
            float(found[label]["f1-score"]),
            int(found[label]["support"]),
        )
        for label in labels
    )


def confusion(truths: Sequence[str], answers: Sequence[str | None]) -> Confusion:
    """Return scikit-learn's confusion matrix over the labels that are a truth or an answer,
    sorted.
    """
    labels = labels_of(truths, answers)
    given = ["" if answer is None else answer for answer in answers]
    counts = confusion_matrix(truths, given, labels=labels)
    return Confusion(tuple(labels), tuple(tuple(int(count) for count in row) for row in counts))

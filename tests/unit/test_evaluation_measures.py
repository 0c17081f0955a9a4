"""Measures against scikit-learn's and against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from pipeline.models.evaluation.measures import (
    accuracy_at_coverage,
    calibration,
    calibration_error,
    calibration_floor,
    confusion,
    label_reports,
    score,
)

LABELS = st.sampled_from(["a", "b", "退款", "d"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40)
TOLD = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60)


@given(PAIRS)
def test_scores_equal_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truths, answers = map(list, zip(*pairs, strict=True))
    found = score(truths, answers)
    assert found.accuracy == pytest.approx(accuracy_score(truths, answers))
    assert found.macro_f1 == pytest.approx(
        f1_score(truths, answers, average="macro", zero_division=0)
    )


@given(PAIRS)
def test_reports_and_confusion_equal_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truths, answers = map(list, zip(*pairs, strict=True))
    matrix = confusion(truths, answers)
    assert [list(row) for row in matrix.counts] == confusion_matrix(truths, answers).tolist()
    assert list(matrix.labels) == sorted({*truths, *answers})
    reports = label_reports(truths, answers)
    expected = precision_recall_fscore_support(
        truths, answers, labels=list(matrix.labels), zero_division=0
    )
    assert np.allclose(
        [(r.precision, r.recall, r.f1, r.rows) for r in reports], np.transpose(expected)
    )


def test_missing_answer_is_wrong_and_no_label() -> None:
    found = score(["a", "b"], [None, "b"])
    assert (found.accuracy, found.macro_f1) == (0.5, 0.5)
    assert confusion(["a", "b"], [None, "b"]).labels == ("a", "b")


@given(TOLD)
def test_calibration_error_equals_its_definition(pairs: list[tuple[float, bool]]) -> None:
    expected, bins = 0.0, 15
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [(p, hit) for p, hit in pairs if low < p <= high or (number == 0 and p == 0)]
        if inside:
            mean = sum(p for p, _ in inside) / len(inside)
            right = sum(hit for _, hit in inside) / len(inside)
            expected += len(inside) / len(pairs) * abs(right - mean)
    values, hits = (
        np.array([p for p, _ in pairs], dtype=np.float64),
        np.array([hit for _, hit in pairs]),
    )
    # A probability on the border of two bins may fall to either side by rounding: it moves the sum
    # by its share at most.
    on_border = sum(abs(p * bins - round(p * bins)) < 1e-9 and p > 0 for p, _ in pairs)
    assert calibration_error(values, hits) == pytest.approx(
        expected, abs=1e-9 + 2 * on_border / len(pairs)
    )


def test_calibration_floor_falls_with_the_number_of_texts() -> None:
    values = np.linspace(0.1, 0.9, 400)
    few, many = calibration_floor(values), calibration_floor(np.tile(values, 100))
    # A bin's share of hits strays with one over the root of its texts.
    assert few / many == pytest.approx(10, rel=0.15)
    assert calibration_floor(np.ones(10)) == 0.0
    assert calibration_floor(values) == few


def test_calibration_error_of_known_cases() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0.0
    assert calibration_error(np.array([0.75] * 4), np.array([True, True, True, False])) == 0.0
    assert calibration_error(np.array([1.0, 1.0]), np.array([False, False])) == 1.0
    assert calibration_error(np.array([0.0]), np.array([False])) == 0.0


@given(TOLD)
def test_coverage_selects_the_most_certain_answers(
    pairs: list[tuple[float, bool]],
) -> None:
    values, hits = np.array([p for p, _ in pairs]), np.array([hit for _, hit in pairs])
    assert accuracy_at_coverage(values, hits, 1.0) == pytest.approx(hits.mean())
    selected = -(-4 * len(pairs) // 5)
    most_certain = sorted(range(len(pairs)), key=lambda index: -values[index])[:selected]
    assert accuracy_at_coverage(values, hits) == pytest.approx(hits[most_certain].mean())
    assert calibration(values, hits).accuracy_at_80_coverage == accuracy_at_coverage(values, hits)


def test_scoring_no_rows_is_an_error() -> None:
    nothing = np.zeros(0)
    with pytest.raises(ValueError, match="no rows to score"):
        calibration_floor(nothing)
    for measure in (calibration_error, accuracy_at_coverage):
        with pytest.raises(ValueError, match="no rows to score"):
            measure(nothing, nothing.astype(bool))
    with pytest.raises(ValueError, match="no rows to score"):
        score([], [])

"""ADWIN over the tests of a head detects a change soon, and raises no false alarm."""

from __future__ import annotations

import random

from pipeline.commands.drift_detection import HeadTest, error_rate_changes


def trials(*parts: tuple[int, float], seed: int = 1) -> list[HeadTest]:
    chance = random.Random(seed)
    errors = [chance.random() < share for count, share in parts for _ in range(count)]
    return [HeadTest(str(place), "", wrong) for place, wrong in enumerate(errors)]


def test_a_rising_error_rate_is_detected_with_the_rates_before_and_after() -> None:
    (count, at, before, after), *_ = list(error_rate_changes(trials((1_000, 0.1), (1_000, 0.5))))
    assert 1_000 < count < 1_200
    assert at.label_id == str(count - 1)
    assert before < 0.2 < after


def test_a_constant_error_rate_is_no_drift() -> None:
    noticed = [list(error_rate_changes(trials((2_000, 0.2), seed=seed))) for seed in range(5)]
    assert noticed == [[]] * 5


def test_the_same_tests_give_the_same_drifts() -> None:
    row = trials((400, 0.1), (400, 0.6), (400, 0.1))
    assert list(error_rate_changes(row)) == list(error_rate_changes(row))

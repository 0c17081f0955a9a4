"""Laws of the drift detector, and of a learner whose labels change their meaning."""

from __future__ import annotations

import random

import pytest

from pipeline.models.adapters import extract_raw
from pipeline.models.drift import DriftDetector
from pipeline.models.learner import Learner

WORDS = {
    "red": ["rose", "blood", "cherry", "brick", "tomato"],
    "blue": ["sky", "sea", "jeans", "sapphire", "berry"],
    "green": ["grass", "leaf", "lime", "moss", "olive"],
}


def errors(error: float, count: int, seed: int) -> list[bool]:
    chance = random.Random(seed)
    return [chance.random() < error for _ in range(count)]


def stream(count: int, seed: int, renamed: dict[str, str] | None = None) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    rows: list[tuple[str, str]] = []
    for _ in range(count):
        label = chance.choice(sorted(WORDS))
        text = " ".join(chance.choice(WORDS[label]) for _ in range(3))
        rows.append((text, (renamed or {}).get(label, label)))
    return rows


def taught(rows: list[tuple[str, str]]) -> tuple[Learner, list[bool]]:
    learner = Learner()
    return learner, [learner.learn(extract_raw([text]), label) == label for text, label in rows]


@pytest.mark.parametrize("error", [0.0, 0.02, 0.1, 0.4, 0.7, 1.0])
def test_steady_error_rate_raises_no_alarm(error: float) -> None:
    detector = DriftDetector()
    assert not any(detector.update(wrong) for wrong in errors(error, 20_000, seed=1))


def test_falling_error_rate_raises_no_alarm() -> None:
    detector = DriftDetector()
    falling = [wrong for step in range(60) for wrong in errors(0.9 * 0.95**step, 100, seed=step)]
    assert not any(detector.update(wrong) for wrong in falling)


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.9), (0.15, 0.98), (0.4, 0.9)])
def test_sudden_rise_is_detected_and_dated_within_tens_of_tests(
    before: float, after: float
) -> None:
    detector = DriftDetector()
    assert not any(detector.update(wrong) for wrong in errors(before, 2_000, seed=3))
    alarms = [detector.update(wrong) for wrong in errors(after, 150, seed=4)]
    assert True in alarms
    delay = alarms.index(True) + 1
    since = DriftDetector()
    for wrong in [*errors(before, 2_000, seed=3), *errors(after, 150, seed=4)[:delay]]:
        since.update(wrong)
    assert delay <= 100
    assert abs(since.suspected - delay) <= 20


def test_errors_of_a_new_model_are_no_drift() -> None:
    detector = DriftDetector()
    assert not any(detector.update(wrong) for wrong in [False] * 40 + [True] * 50)


def test_detector_state_round_trips() -> None:
    through = DriftDetector()
    for wrong in errors(0.3, 500, seed=5):
        through.update(wrong)
    restored = DriftDetector.restore(through.state())
    assert [restored.update(wrong) for wrong in errors(0.8, 50, 6)] == [
        through.update(wrong) for wrong in errors(0.8, 50, 6)
    ]
    assert restored == through


def test_learner_restarts_after_labels_change_their_meaning() -> None:
    swapped = {"red": "blue", "blue": "green", "green": "red"}
    learner, right = taught([*stream(400, 1), *stream(200, 2, swapped)])
    assert learner.drifts == 1
    assert sum(right[-100:]) >= 95
    undisturbed, _ = taught(stream(600, 1))
    assert undisturbed.drifts == 0


def test_learner_restored_during_a_drift_continues_identically() -> None:
    swapped = {"red": "blue", "blue": "green", "green": "red"}
    rows = [*stream(300, 1), *stream(120, 2, swapped)]
    for cut in (300, 306, 340):
        through, _ = taught(rows[:cut])
        restored = Learner.from_bytes(through.to_bytes())
        for text, label in rows[cut:]:
            assert restored.learn(extract_raw([text]), label) == through.learn(
                extract_raw([text]), label
            )
        assert restored.to_bytes() == through.to_bytes()
        assert restored.drifts == 1

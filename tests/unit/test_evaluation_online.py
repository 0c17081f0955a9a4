"""The online model as `evaluate` judges it: the pipeline's own learner, test before learning, the
test part never learnt.
"""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.measures import calibration, score
from pipeline.models.evaluation.online_model import (
    OnlineResult,
    answer_rows,
    judge_online,
    train_online,
)
from pipeline.models.features import extract_features
from pipeline.models.learner import Learner
from pipeline.text.normal_form import normalise
from tests.support.labelled import labelled


def told(found: OnlineResult) -> tuple[object, ...]:
    """Return everything but the times."""
    parts = [
        (part.answers.labels, part.answers.probabilities.tolist(), part.scores, part.calibration)
        for part in (found.prequential, found.test)
        if part is not None
    ]
    return (*parts, found.curve)


def test_each_row_is_answered_from_those_before_it() -> None:
    rows = labelled(60)
    found = judge_online(rows)
    learner = Learner()
    for place, row in enumerate(rows):
        features = extract_features([normalise(row.text)])
        if place:
            labels, probabilities = learner.predict_proba(features)
            assert found.prequential.answers.labels[place] == labels[probabilities.argmax()]
            assert found.prequential.answers.probabilities[place] == pytest.approx(
                probabilities.max()
            )
        learner.learn(features, row.label)
    assert found.prequential.answers.labels[0] is None
    assert found.prequential.scores == score(
        [row.label for row in rows], found.prequential.answers.labels
    )
    assert found.test is None
    assert found.curve == ()


def test_what_is_tested_on_changes_nothing_that_is_learnt() -> None:
    rows, unseen = labelled(80), labelled(30, seed=2)
    other = [replace(row, label="never met", text=f"{row.text} !") for row in unseen]
    first, second = (
        judge_online(rows, unseen, curve=[40, 80]),
        judge_online(rows, other, curve=[40, 80]),
    )
    assert told(first)[0] == told(second)[0]
    alone = judge_online(rows, unseen)
    assert alone.test is not None
    assert first.test is not None
    assert alone.test.answers.labels == first.test.answers.labels
    assert [size for size, _ in first.curve] == [40, 80]
    assert first.curve[-1][1] == first.test.scores
    assert second.test is not None
    assert second.test.scores.accuracy == 0.0


def test_the_same_rows_give_the_same_answers_and_another_order_others() -> None:
    rows, unseen = labelled(80), labelled(30, seed=2)
    assert told(judge_online(rows, unseen)) == told(judge_online(rows, unseen))
    assert told(judge_online(rows[::-1], unseen)) != told(judge_online(rows, unseen))


def test_doubt_is_that_of_the_answers_given() -> None:
    rows, unseen = labelled(80), labelled(40, seed=2)
    found = judge_online(rows, unseen)
    assert found.test is not None
    answers = answer_rows(train_online(rows), unseen)
    assert answers.labels == found.test.answers.labels
    right = np.array(
        [answer == row.label for answer, row in zip(answers.labels, unseen, strict=True)]
    )
    assert found.test.calibration == calibration(answers.probabilities, right)
    assert found.test.scores.accuracy > 0.8
    assert min(found.cost.features_us, found.cost.predict_us, found.cost.learn_us) > 0


def test_one_label_alone_and_a_text_without_words_are_answered() -> None:
    found = judge_online(
        [LabelledRow("a", "only"), LabelledRow("…", "only")],
        [LabelledRow("!", "only"), LabelledRow("b", "other")],
    )
    assert found.test is not None
    assert found.test.answers.labels == ["only", "only"]
    assert found.test.scores.accuracy == 0.5


def test_nothing_to_learn_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        judge_online([])

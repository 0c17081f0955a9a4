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
from tests.support.labelled_texts import labelled_texts


def comparable(result: OnlineResult) -> tuple[object, ...]:
    """Return everything but the times."""
    parts = [
        (part.answers.labels, part.answers.probabilities.tolist(), part.scores, part.calibration)
        for part in (result.prequential, result.test)
        if part is not None
    ]
    return (*parts, result.curve)


def test_each_row_is_predicted_from_earlier_rows() -> None:
    rows = labelled_texts(60)
    result = judge_online(rows)
    learner = Learner()
    for index, row in enumerate(rows):
        features = extract_features([normalise(row.text)])
        if index:
            labels, probabilities = learner.predict_proba(features)
            assert result.prequential.answers.labels[index] == labels[probabilities.argmax()]
            assert result.prequential.answers.probabilities[index] == pytest.approx(
                probabilities.max()
            )
        learner.learn(features, row.label)
    assert result.prequential.answers.labels[0] is None
    assert result.prequential.scores == score(
        [row.label for row in rows], result.prequential.answers.labels
    )
    assert result.test is None
    assert result.curve == ()


def test_test_rows_change_nothing_that_is_learnt() -> None:
    rows, unseen = labelled_texts(80), labelled_texts(30, seed=2)
    other = [replace(row, label="never met", text=f"{row.text} !") for row in unseen]
    first, second = (
        judge_online(rows, unseen, curve=[40, 80]),
        judge_online(rows, other, curve=[40, 80]),
    )
    assert comparable(first)[0] == comparable(second)[0]
    alone = judge_online(rows, unseen)
    assert alone.test is not None
    assert first.test is not None
    assert alone.test.answers.labels == first.test.answers.labels
    assert [size for size, _ in first.curve] == [40, 80]
    assert first.curve[-1][1] == first.test.scores
    assert second.test is not None
    assert second.test.scores.accuracy == 0.0


def test_answers_depend_on_the_order_of_rows() -> None:
    rows, unseen = labelled_texts(80), labelled_texts(30, seed=2)
    assert comparable(judge_online(rows, unseen)) == comparable(judge_online(rows, unseen))
    assert comparable(judge_online(rows[::-1], unseen)) != comparable(judge_online(rows, unseen))


def test_calibration_is_that_of_the_answers() -> None:
    rows, unseen = labelled_texts(80), labelled_texts(40, seed=2)
    result = judge_online(rows, unseen)
    assert result.test is not None
    answers = answer_rows(train_online(rows), unseen)
    assert answers.labels == result.test.answers.labels
    right = np.array(
        [answer == row.label for answer, row in zip(answers.labels, unseen, strict=True)]
    )
    assert result.test.calibration == calibration(answers.probabilities, right)
    assert result.test.scores.accuracy > 0.8
    assert min(result.cost.features_us, result.cost.predict_us, result.cost.learn_us) > 0


def test_single_label_and_text_without_words_are_answered() -> None:
    result = judge_online(
        [LabelledRow("a", "only"), LabelledRow("…", "only")],
        [LabelledRow("!", "only"), LabelledRow("b", "other")],
    )
    assert result.test is not None
    assert result.test.answers.labels == ["only", "only"]
    assert result.test.scores.accuracy == 0.5


def test_no_rows_to_learn_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows to learn"):
        judge_online([])

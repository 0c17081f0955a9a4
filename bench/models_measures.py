"""Judge our model in the models' benchmark, by the code of `switchboard evaluate --online`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from models_data import Parts, Rows

from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.measures import calibration_floor
from pipeline.models.evaluation.online_model import judge_online

NAN = float("nan")


@dataclass(frozen=True)
class Result:
    """Accuracies in percent on the stream and on unseen texts, and CPU microseconds per text.

    `calibration` (expected calibration error, in percent) and `covered` (accuracy of the most
    confident 80 %) are those of unseen texts; `alarms` is how often the learner restarted on the
    stream; `floor` is the calibration error of exact probabilities on as many texts; NaN if a peer
    has no such figure. `learn_us` includes the prediction before the label is learnt.
    """

    prequential: float
    unseen: float
    calibration: float
    covered: float
    features_us: float
    predict_us: float
    learn_us: float
    alarms: float = NAN
    floor: float = NAN


def as_rows(rows: Rows) -> list[LabelledRow]:
    """Return texts and labels as rows of an evaluation."""
    return [LabelledRow(text, label) for text, label in rows]


def run_ours(parts: Parts) -> Result:
    """Return the result of our learner, on the stream and on unseen texts after one pass."""
    unseen = as_rows(parts.unseen)
    last = judge_online(as_rows(parts.learnt), unseen)
    # With a test set by the authors, the pass before the test is the pass over the stream.
    whole = last if parts.learnt is parts.stream else judge_online(as_rows(parts.stream))
    assert last.test is not None
    return Result(
        100 * whole.prequential.scores.accuracy,
        100 * last.test.scores.accuracy,
        100 * last.test.calibration.calibration_error,
        100 * last.test.calibration.accuracy_at_80_coverage,
        whole.cost.features_us,
        last.cost.predict_us,
        whole.cost.learn_us,
        whole.drifts,
        100 * calibration_floor(last.test.answers.probabilities),
    )


def percent(right: Sequence[bool]) -> float:
    """Return the share of correct answers in percent; NaN for none."""
    return 100.0 * float(np.mean(right)) if len(right) else NAN

"""How the models' benchmark judges ours: by what `switchboard evaluate --online` runs, on a set's
parts.
"""

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
    """Accuracies in percent over the whole stream and over unseen texts, and CPU microseconds a
    text.

    `calibration` (expected calibration error, in percent) and `covered` (accuracy of the most
    confident 80 %) are those of unseen texts; `alarms` is how often the learner started anew on the
    stream; `floor` is the calibration error that probabilities without fault would show on as many
    texts; nan where a peer has no such thing. `learn_us` is test-then-train: the answer before the
    label is learnt is part of it.
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
    """Return texts and labels as the evaluation takes them."""
    return [LabelledRow(text, label) for text, label in rows]


def run_ours(parts: Parts) -> Result:
    """Return what our learner reaches: prequential over the stream; unseen after one pass over what
    is to be learnt.
    """
    unseen = as_rows(parts.unseen)
    last = judge_online(as_rows(parts.learnt), unseen)
    # Where the authors hold a part out, the pass that leads to it is the pass over the stream.
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
    """Return the share of right answers in percent; nan of none."""
    return 100.0 * float(np.mean(right)) if len(right) else NAN

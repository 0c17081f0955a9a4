"""How the models' benchmark splits, runs and measures: one pass of test-then-train over a stream, then texts never learnt."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from models_data import Rows

from pipeline.models.characters import normalise
from pipeline.models.features import Features, extract
from pipeline.models.learner import Learner

STREAM_SHARE = 0.8
BATCH = 256
# Expected calibration error over 15 bins of equal width, the number Guo et al. (2017) use.
BINS = 15
COVERED = 0.8

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """Accuracies in percent over the whole stream and over unseen texts, and CPU microseconds a text.

    `calibration` (expected calibration error, in percent) and `covered` (accuracy of the most confident 80 %) are those
    of unseen texts; nan where a peer gives no probabilities.
    """

    prequential: float
    unseen: float
    calibration: float
    covered: float
    features_us: float
    predict_us: float
    learn_us: float


@dataclass(frozen=True)
class Answers:
    """What was answered: the label (None: nothing) and its probability, one for each text."""

    labels: Sequence[str | None]
    probabilities: Floats

    def right(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which answers are right."""
        return np.array([answer == truth for answer, (_, truth) in zip(self.labels, rows, strict=True)], dtype=np.bool_)


def shuffled(rows: Rows, limit: int, seed: int) -> Rows:
    """Return rows in the order of a seed, `limit` of them at most."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order[:limit]


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Return the stream and the unseen part."""
    cut = int(len(rows) * STREAM_SHARE)
    return rows[:cut], rows[cut:]


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """Return what the action returns and its CPU seconds."""
    start = time.process_time()
    result = action()
    return result, time.process_time() - start


def features_of(rows: Rows) -> list[Features]:
    """Return the features of texts in batches, as the pipeline extracts them."""
    texts = [normalise(text) for text, _ in rows]
    return [extract(texts[first : first + BATCH]) for first in range(0, len(texts), BATCH)]


def learnt(rows: Rows, labels: Sequence[str] = ()) -> tuple[Learner, list[str | None], float, float]:
    """Return a learner after one pass, what it answered before each label, and CPU seconds for features and learning."""
    learner = Learner(labels)
    batches, features_s = timed(lambda: features_of(rows))

    def learn_all() -> list[str | None]:
        return [
            learner.learn(batch, rows[number * BATCH + row][1], row=row)
            for number, batch in enumerate(batches)
            for row in range(len(batch))
        ]

    guesses, learn_s = timed(learn_all)
    return learner, guesses, features_s, learn_s


def answered(learner: Learner, batches: Sequence[Features]) -> Answers:
    """Return the most probable label of each text."""
    labels: list[str | None] = []
    tops: list[Floats] = []
    for batch in batches:
        names, probabilities = learner.predict_proba(batch)
        labels += [names[place] for place in probabilities.argmax(axis=1)]
        tops.append(probabilities.max(axis=1).astype(np.float64))
    return Answers(labels, np.concatenate(tops) if tops else np.zeros(0))


def run_ours(rows: Rows) -> Result:
    """Return what our learner reaches: prequential over all rows; unseen after another pass over the first 80 %."""
    _, guesses, features_s, learn_s = learnt(rows)
    stream, unseen = split(rows)
    learner = learnt(stream)[0]
    held_out = features_of(unseen)
    answers, predict_s = timed(lambda: answered(learner, held_out))
    right = answers.right(unseen)
    per_text = 1e6 / len(rows)
    return Result(
        percent(Answers(guesses, np.zeros(0)).right(rows)),
        percent(right),
        calibration_error(answers.probabilities, right),
        accuracy_at_coverage(answers.probabilities, right),
        features_s * per_text,
        predict_s * 1e6 / len(unseen),
        learn_s * per_text,
    )


def percent(right: npt.NDArray[np.bool_]) -> float:
    """Return the share of right answers in percent."""
    return 100.0 * float(right.mean()) if len(right) else float("nan")


def calibration_error(probabilities: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Return the expected calibration error in percent: how far confidence and accuracy are apart, bin by bin."""
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    apart = np.bincount(bins, probabilities - right, BINS)
    return 100.0 * float(np.abs(apart).sum()) / max(1, len(right))


def accuracy_at_coverage(probabilities: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Return the accuracy in percent of the most confident 80 %: what is answered where the rest abstain."""
    order = np.argsort(-probabilities, kind="stable")[: int(COVERED * len(right))]
    return percent(right[order])

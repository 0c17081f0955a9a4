"""The online model judged as it runs: one pass in the order of the rows, each tested before it is
learnt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.measures import Calibration, Scores, calibration, score
from pipeline.models.features import Features, extract_features
from pipeline.models.inference import InferenceModel
from pipeline.models.learner import Learner, warm_up
from pipeline.text.normal_form import normalise

# What enrich takes at a time when it is busy; features and answers are worked out for so many texts
# together.
BATCH: Final = 256
# Cost of answers is measured on so many texts at least, if need be on the same ones again: one
# batch alone says little.
_TIMED_TEXTS: Final = 2_048


@dataclass(frozen=True, slots=True)
class RowAnswers:
    """An answer to each text (None: none could be given), and its probability, float32 of shape
    (texts,).
    """

    labels: list[str | None]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OnlineCost:
    """CPU time of this process a text, in µs: to bring it into normal form and extract its
    features, to answer, and to learn its label, the answer before it included."""

    features_us: float
    predict_us: float
    learn_us: float


@dataclass(frozen=True, slots=True)
class JudgedAnswers:
    """What was answered on a part, and how good it is."""

    answers: RowAnswers
    scores: Scores
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """The online model on a stream and on texts it never learns (None where there are none).

    `curve` holds how many rows were learnt and the scores on the unseen texts then; `drifts` is how
    often the errors jumped on the stream, so that the learner started anew (docs/adr/0013).
    """

    prequential: JudgedAnswers
    test: JudgedAnswers | None
    cost: OnlineCost
    curve: tuple[tuple[int, Scores], ...]
    drifts: int


def judge_online(
    train: Sequence[LabelledRow],
    test: Sequence[LabelledRow] = (),
    *,
    labels: Sequence[str] = (),
    curve: Sequence[int] = (),
    on_progress: Callable[[int], object] = lambda _learnt: None,
) -> OnlineResult:
    """Learn `train` once in its order, with the pipeline's features and the learner's default
    setting; answer `test`.

    `labels` are a head's, which a learner knows from the start; without them it meets them on its
    way. `curve` names numbers of learnt rows at which the unseen texts are answered; `tell` is
    called with the rows learnt so far. Raises ValueError where `train` is empty.
    """
    if not train:
        raise ValueError("there is nothing to learn")
    warm_up()
    learner = Learner(tuple(labels))
    stops, points = set(curve) if test else set(), []
    guesses: list[str | None] = []
    features_s = learn_s = 0.0
    for rows in _batches(train):
        start = time.process_time()
        texts = [normalise(row.text) for row in rows]
        extract_features(texts)
        features_s += time.process_time() - start
        for text, row in zip(texts, rows, strict=True):
            features = extract_features([text])
            start = time.process_time()
            guess = learner.learn(features, row.label, row.weight)
            learn_s += time.process_time() - start
            guesses.append(guess)
            if len(guesses) in stops:
                points.append(
                    (
                        len(guesses),
                        _judge(test, answer_rows(learner.inference_model(), test)).scores,
                    )
                )
        on_progress(len(guesses))
    frozen = learner.inference_model()
    confidences = _prequential_confidences(train, labels)
    unseen = _judge(test, answer_rows(frozen, test)) if test else None
    return OnlineResult(
        _judge(train, RowAnswers(guesses, confidences)),
        unseen,
        OnlineCost(
            1e6 * features_s / len(train),
            _predict_us(frozen, test or train),
            1e6 * learn_s / len(train),
        ),
        tuple(points),
        learner.drifts,
    )


def train_online(rows: Sequence[LabelledRow], labels: Sequence[str] = ()) -> InferenceModel:
    """Return the online model after one pass over rows in their order."""
    learner = Learner(tuple(labels))
    for row in rows:
        learner.learn(extract_features([normalise(row.text)]), row.label, row.weight)
    return learner.inference_model()


def answer_rows(model: InferenceModel, rows: Sequence[LabelledRow]) -> RowAnswers:
    """Return a model's most probable label of each text, with its probability."""
    labels: list[str | None] = []
    probabilities = [np.zeros(0, dtype=np.float32)]
    for batch in _batches(rows):
        found = model.predict_proba(_features(batch))
        probabilities.append(found.max(axis=1))
        labels += [
            model.labels[place] if top > 0 else None
            for place, top in zip(
                found.argmax(axis=1).tolist(), probabilities[-1].tolist(), strict=True
            )
        ]
    return RowAnswers(labels, np.concatenate(probabilities))


def _prequential_confidences(
    train: Sequence[LabelledRow], labels: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the probability of each answer that was given before its row was learnt.

    It is a second pass of the same fold: asking between two rows brings their weights into the
    processor's caches, so one pass could not tell what learning costs.
    """
    learner = Learner(tuple(labels))
    confidences = np.zeros(len(train), dtype=np.float32)
    for place, row in enumerate(train):
        features = extract_features([normalise(row.text)])
        _, found = learner.predict_proba(features)
        confidences[place] = found.max(initial=0.0)
        learner.learn(features, row.label, row.weight)
    return confidences


def _judge(rows: Sequence[LabelledRow], answers: RowAnswers) -> JudgedAnswers:
    truths = [row.label for row in rows]
    right = np.array(
        [answer == truth for answer, truth in zip(answers.labels, truths, strict=True)]
    )
    return JudgedAnswers(
        answers, score(truths, answers.labels), calibration(answers.probabilities, right)
    )


def _predict_us(model: InferenceModel, rows: Sequence[LabelledRow]) -> float:
    texts, seconds = 0, 0.0
    while texts < _TIMED_TEXTS:
        for batch in _batches(rows):
            features = _features(batch)
            start = time.process_time()
            model.predict_proba(features)
            seconds += time.process_time() - start
            texts += len(batch)
            if texts >= _TIMED_TEXTS:
                break
    return 1e6 * seconds / texts


def _batches(rows: Sequence[LabelledRow]) -> Iterator[Sequence[LabelledRow]]:
    for first in range(0, len(rows), BATCH):
        yield rows[first : first + BATCH]


def _features(rows: Sequence[LabelledRow]) -> Features:
    return extract_features([normalise(row.text) for row in rows])

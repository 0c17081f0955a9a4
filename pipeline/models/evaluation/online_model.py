"""Judge the online model as it runs: one pass over the rows, each tested before it is learnt."""

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

# The batch size of a busy enrich stage; features and answers are computed for a batch of texts.
BATCH: Final = 256
# The cost of answers is measured on at least this many texts, repeating them if needed, because one
# batch says little.
_TIMED_TEXTS: Final = 2_048


@dataclass(frozen=True, slots=True)
class RowAnswers:
    """The answer to each text (None: no answer), and its probability (float32, shape (texts,))."""

    labels: list[str | None]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OnlineCost:
    """CPU µs per text: for normal form and features, to answer, and to test and learn its label."""

    features_us: float
    predict_us: float
    learn_us: float


@dataclass(frozen=True, slots=True)
class JudgedAnswers:
    """The answers to some rows, and how good they are."""

    answers: RowAnswers
    scores: Scores
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """The results of the online model on a stream, and on a test set (None without one).

    `curve` is the number of learnt rows and the test scores at that time; `drifts` is how often the
    error rate jumped on the stream, so that the learner restarted (docs/adr/0013).
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
    """Learn `train` once in its order with the default settings, and answer `test`.

    `labels` are those of a head, which the learner knows from the start; without them new labels
    come with the rows. `curve` are numbers of learnt rows at which to answer the test;
    `on_progress` is called with the number of rows learnt so far. Raises ValueError if `train` is
    empty.
    """
    if not train:
        raise ValueError("there are no rows to learn")
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
    model = learner.inference_model()
    confidences = _prequential_confidences(train, labels)
    on_test = _judge(test, answer_rows(model, test)) if test else None
    return OnlineResult(
        _judge(train, RowAnswers(guesses, confidences)),
        on_test,
        OnlineCost(
            1e6 * features_s / len(train),
            _predict_us(model, test or train),
            1e6 * learn_s / len(train),
        ),
        tuple(points),
        learner.drifts,
    )


def train_online(rows: Sequence[LabelledRow], labels: Sequence[str] = ()) -> InferenceModel:
    """Return the online model after one pass over the rows in their order."""
    learner = Learner(tuple(labels))
    for row in rows:
        learner.learn(extract_features([normalise(row.text)]), row.label, row.weight)
    return learner.inference_model()


def answer_rows(model: InferenceModel, rows: Sequence[LabelledRow]) -> RowAnswers:
    """Return a model's most probable label for each text, with its probability."""
    labels: list[str | None] = []
    probabilities = [np.zeros(0, dtype=np.float32)]
    for batch in _batches(rows):
        predicted = model.predict_proba(_features(batch))
        probabilities.append(predicted.max(axis=1))
        labels += [
            model.labels[column] if top > 0 else None
            for column, top in zip(
                predicted.argmax(axis=1).tolist(), probabilities[-1].tolist(), strict=True
            )
        ]
    return RowAnswers(labels, np.concatenate(probabilities))


def _prequential_confidences(
    train: Sequence[LabelledRow], labels: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the probability of each answer before its row was learnt.

    It is a second pass of the same fold, because predicting between two rows loads their weights
    into the processor's caches, and one pass could not measure the cost of learning.
    """
    learner = Learner(tuple(labels))
    confidences = np.zeros(len(train), dtype=np.float32)
    for index, row in enumerate(train):
        features = extract_features([normalise(row.text)])
        _, probabilities = learner.predict_proba(features)
        confidences[index] = probabilities.max(initial=0.0)
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

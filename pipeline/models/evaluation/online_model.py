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

from pipeline.models.evaluation.labelled_rows import Row
from pipeline.models.evaluation.measures import Doubt, Scores, doubt, score
from pipeline.models.features import Features, extract
from pipeline.models.inference import FrozenLearner
from pipeline.models.learner import Learner, warm_up
from pipeline.text.normal_form import normalise

# What enrich takes at a time when it is busy; features and answers are worked out for so many texts
# together.
BATCH: Final = 256
# Cost of answers is measured on so many texts at least, if need be on the same ones again: one
# batch alone says little.
_TIMED_TEXTS: Final = 2_048


@dataclass(frozen=True, slots=True)
class Answers:
    """An answer to each text (None: none could be given), and its probability, float32 of shape
    (texts,).
    """

    labels: list[str | None]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time of this process a text, in µs: to bring it into normal form and extract its
    features, to answer, and to learn its label, the answer before it included."""

    features_us: float
    predict_us: float
    learn_us: float


@dataclass(frozen=True, slots=True)
class Part:
    """What was answered on a part, and how good it is."""

    answers: Answers
    scores: Scores
    doubt: Doubt


@dataclass(frozen=True, slots=True)
class Online:
    """The online model on a stream and on texts it never learns (None where there are none).

    `curve` holds how many rows were learnt and the scores on the unseen texts then; `drifts` is how
    often the errors jumped on the stream, so that the learner started anew (docs/adr/0013).
    """

    prequential: Part
    test: Part | None
    cost: Cost
    curve: tuple[tuple[int, Scores], ...]
    drifts: int


def judge_online(
    train: Sequence[Row],
    test: Sequence[Row] = (),
    *,
    labels: Sequence[str] = (),
    curve: Sequence[int] = (),
    tell: Callable[[int], object] = lambda _learnt: None,
) -> Online:
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
        extract(texts)
        features_s += time.process_time() - start
        for text, row in zip(texts, rows, strict=True):
            features = extract([text])
            start = time.process_time()
            guess = learner.learn(features, row.label, row.weight)
            learn_s += time.process_time() - start
            guesses.append(guess)
            if len(guesses) in stops:
                points.append((len(guesses), _part(test, answered(learner.freeze(), test)).scores))
        tell(len(guesses))
    frozen = learner.freeze()
    confidences = _prequential_confidences(train, labels)
    unseen = _part(test, answered(frozen, test)) if test else None
    return Online(
        _part(train, Answers(guesses, confidences)),
        unseen,
        Cost(
            1e6 * features_s / len(train),
            _predict_us(frozen, test or train),
            1e6 * learn_s / len(train),
        ),
        tuple(points),
        learner.drifts,
    )


def learnt(rows: Sequence[Row], labels: Sequence[str] = ()) -> FrozenLearner:
    """Return the online model after one pass over rows in their order."""
    learner = Learner(tuple(labels))
    for row in rows:
        learner.learn(extract([normalise(row.text)]), row.label, row.weight)
    return learner.freeze()


def answered(model: FrozenLearner, rows: Sequence[Row]) -> Answers:
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
    return Answers(labels, np.concatenate(probabilities))


def _prequential_confidences(
    train: Sequence[Row], labels: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the probability of each answer that was given before its row was learnt.

    It is a second pass of the same fold: asking between two rows brings their weights into the
    processor's caches, so one pass could not tell what learning costs.
    """
    learner = Learner(tuple(labels))
    confidences = np.zeros(len(train), dtype=np.float32)
    for place, row in enumerate(train):
        features = extract([normalise(row.text)])
        _, found = learner.predict_proba(features)
        confidences[place] = found.max(initial=0.0)
        learner.learn(features, row.label, row.weight)
    return confidences


def _part(rows: Sequence[Row], answers: Answers) -> Part:
    truths = [row.label for row in rows]
    right = np.array(
        [answer == truth for answer, truth in zip(answers.labels, truths, strict=True)]
    )
    return Part(answers, score(truths, answers.labels), doubt(answers.probabilities, right))


def _predict_us(model: FrozenLearner, rows: Sequence[Row]) -> float:
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


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for first in range(0, len(rows), BATCH):
        yield rows[first : first + BATCH]


def _features(rows: Sequence[Row]) -> Features:
    return extract([normalise(row.text) for row in rows])

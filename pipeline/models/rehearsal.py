"""The last examples, kept to be learnt again while a learner is young: after its start, and after a
drift.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.kernels import Example
from pipeline.models.state_format import Arrays, StateError
from pipeline.models.word_vectors import DIMENSIONS

# More did no better on the streams of bench/models_quality.py, and a snapshot carries them all.
_KEPT: Final = 1_000
# Knuth's MMIX multiplier and increment; the high bits of the state are used.
_MULTIPLIER: Final = 6364136223846793005
_INCREMENT: Final = 1442695040888963407
_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
_HIGH_BITS: Final = 33


class Lesson(NamedTuple):
    """An example with its label's index and importance."""

    example: Example
    truth: int
    importance: float


class Rehearsal:
    """The last lessons, drawn from at random; the same lessons in the same order give the same
    draws.
    """

    def __init__(self) -> None:
        self._lessons: deque[Lesson] = deque(maxlen=_KEPT)
        self._random = 0

    def __len__(self) -> int:
        """Return how many lessons are kept."""
        return len(self._lessons)

    def add(self, lesson: Lesson) -> None:
        """Keep a lesson; its arrays are copied, and the oldest lesson is dropped where there are
        too many.
        """
        example = lesson.example
        own = example._replace(
            buckets=example.buckets.copy(),
            tf=example.tf.copy(),
            families=example.families.copy(),
            meaning=example.meaning.copy(),
        )
        self._lessons.append(lesson._replace(example=own))

    def keep_last(self, count: int) -> None:
        """Forget all but the last `count` lessons."""
        while len(self._lessons) > count:
            self._lessons.popleft()

    def drawn(self, count: int) -> Iterator[Lesson]:
        """Yield `count` lessons drawn with replacement; none where none is kept."""
        for _ in range(count if self._lessons else 0):
            self._random = (self._random * _MULTIPLIER + _INCREMENT) & _WORD
            yield self._lessons[(self._random >> _HIGH_BITS) % len(self._lessons)]

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what `restore` needs: a header for JSON, and arrays."""
        examples = [lesson.example for lesson in self._lessons]
        header = {
            "random": self._random,
            "lessons": [
                [
                    lesson.truth,
                    lesson.importance,
                    int(lesson.example.hint),
                    float(lesson.example.strength),
                ]
                for lesson in self._lessons
            ],
        }
        sizes = [len(example.buckets) for example in examples]
        arrays: dict[str, npt.NDArray[Any]] = {
            "lesson_starts": np.cumsum([0, *sizes], dtype=np.int64),
            "lesson_buckets": np.concatenate(
                [np.zeros(0, np.int32), *(one.buckets for one in examples)]
            ),
            "lesson_tf": np.concatenate([np.zeros(0, np.float32), *(one.tf for one in examples)]),
            "lesson_families": np.concatenate(
                [np.zeros(0, np.uint8), *(one.families for one in examples)]
            ),
            "lesson_meanings": np.array(
                [one.meaning for one in examples], dtype=np.float32
            ).reshape(-1, DIMENSIONS),
        }
        return header, arrays

    def restore(self, header: dict[str, Any], arrays: Arrays) -> None:
        """Take over a `state`. Raises StateError where its parts do not fit each other."""
        starts, meanings = arrays["lesson_starts"], arrays["lesson_meanings"]
        lessons = header["lessons"]
        sizes = {len(arrays[f"lesson_{name}"]) for name in ("buckets", "tf", "families")}
        if (
            meanings.shape != (len(lessons), DIMENSIONS)
            or len(starts) != len(lessons) + 1
            or sizes != {int(starts[-1])}
        ):
            raise StateError("the learner's lessons do not fit each other")
        self._random = int(header["random"])
        for row, (truth, importance, hint, strength) in enumerate(lessons):
            part = slice(int(starts[row]), int(starts[row + 1]))
            example = Example(
                arrays["lesson_buckets"][part],
                arrays["lesson_tf"][part],
                arrays["lesson_families"][part],
                meanings[row],
                int(hint),
                float(strength),
            )
            self.add(Lesson(example, int(truth), float(importance)))

"""The most recent examples, which a young learner learns again (experience replay).

A learner is young after its start and after a drift.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.kernels import EncodedText
from pipeline.models.state_format import Arrays, StateError
from pipeline.models.word_vectors import DIMENSIONS

# More examples did no better on the streams of bench/models_quality.py, and a snapshot stores them
# all.
_CAPACITY: Final = 1_000
# The multiplier and increment of Knuth's MMIX; the high bits of the state are used.
_MULTIPLIER: Final = 6364136223846793005
_INCREMENT: Final = 1442695040888963407
_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
_HIGH_BITS: Final = 33


class TrainingExample(NamedTuple):
    """An encoded text with the index of its label and its importance (the example's weight)."""

    text: EncodedText
    truth: int
    importance: float


class RehearsalBuffer:
    """The most recent examples, sampled by a deterministic random number generator.

    The same examples in the same order give the same samples.
    """

    def __init__(self) -> None:
        self._examples: deque[TrainingExample] = deque(maxlen=_CAPACITY)
        self._random_state = 0

    def __len__(self) -> int:
        """Return the number of buffered examples."""
        return len(self._examples)

    def add(self, example: TrainingExample) -> None:
        """Add a copy of an example; a full buffer drops its oldest one."""
        text = example.text
        own = text._replace(
            buckets=text.buckets.copy(),
            tf=text.tf.copy(),
            families=text.families.copy(),
            embedding=text.embedding.copy(),
        )
        self._examples.append(example._replace(text=own))

    def keep_last(self, count: int) -> None:
        """Drop all but the last `count` examples."""
        while len(self._examples) > count:
            self._examples.popleft()

    def sample(self, count: int) -> Iterator[TrainingExample]:
        """Yield `count` examples drawn with replacement; none if the buffer is empty."""
        for _ in range(count if self._examples else 0):
            self._random_state = (self._random_state * _MULTIPLIER + _INCREMENT) & _WORD
            yield self._examples[(self._random_state >> _HIGH_BITS) % len(self._examples)]

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what `restore` needs: a header for JSON, and arrays."""
        texts = [example.text for example in self._examples]
        header = {
            "random": self._random_state,
            "lessons": [
                [
                    example.truth,
                    example.importance,
                    int(example.text.hint),
                    float(example.text.strength),
                ]
                for example in self._examples
            ],
        }
        sizes = [len(text.buckets) for text in texts]
        arrays: dict[str, npt.NDArray[Any]] = {
            "lesson_starts": np.cumsum([0, *sizes], dtype=np.int64),
            "lesson_buckets": np.concatenate(
                [np.zeros(0, np.int32), *(text.buckets for text in texts)]
            ),
            "lesson_tf": np.concatenate([np.zeros(0, np.float32), *(text.tf for text in texts)]),
            "lesson_families": np.concatenate(
                [np.zeros(0, np.uint8), *(text.families for text in texts)]
            ),
            "lesson_meanings": np.array(
                [text.embedding for text in texts], dtype=np.float32
            ).reshape(-1, DIMENSIONS),
        }
        return header, arrays

    def restore(self, header: dict[str, Any], arrays: Arrays) -> None:
        """Load a `state`. Raises StateError if its parts do not fit together."""
        starts, embeddings = arrays["lesson_starts"], arrays["lesson_meanings"]
        rows = header["lessons"]
        sizes = {len(arrays[f"lesson_{name}"]) for name in ("buckets", "tf", "families")}
        if (
            embeddings.shape != (len(rows), DIMENSIONS)
            or len(starts) != len(rows) + 1
            or sizes != {int(starts[-1])}
        ):
            raise StateError("the arrays of the rehearsal buffer do not fit together")
        self._random_state = int(header["random"])
        for row, (truth, importance, hint, strength) in enumerate(rows):
            part = slice(int(starts[row]), int(starts[row + 1]))
            text = EncodedText(
                arrays["lesson_buckets"][part],
                arrays["lesson_tf"][part],
                arrays["lesson_families"][part],
                embeddings[row],
                int(hint),
                float(strength),
            )
            self.add(TrainingExample(text, int(truth), float(importance)))

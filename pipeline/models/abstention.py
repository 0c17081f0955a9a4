"""When a head abstains: the confidence from which on its answers are right often enough, learnt
from the examples as they come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Confidences are counted in steps of a hundredth: finer than thresholds need to be, coarse enough
# that each soon holds some.
_STEPS: Final = 100
# How many examples back still count (each is worth a thousandth less with every one that follows):
# a model that has learnt more, or whose stream has turned, is not judged by what it was. 3,000 gave
# the same shares on eleven sets.
_WINDOW: Final = 1_000
# Fewer answers at or above a confidence show nothing: with 30, a share of 0.9 is known to a
# twentieth.
_LEAST: Final = 30
# Before so many examples the table's own threshold holds: after 100, two of eleven sets had shown a
# share of 0.9 anywhere, after 500 seven had, and kept it (0.93 of the answers that followed).
_COLD: Final = 200
# Half a standard error: of a hundred possible thresholds the luckiest is taken, and that much is
# luck.
_CAUTION: Final = 0.5
# Above every probability: nothing is sure enough.
NEVER: Final = 1.01


@dataclass(slots=True)
class Doubt:
    """What the model answered before it learnt each example, by its confidence: how often, and how
    often rightly.

    A fold like the models': the same examples in the same order give the same counts, bit by bit.
    `counts` and `right` have the shape (100,), float64.
    """

    counts: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_STEPS))
    right: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_STEPS))
    examples: int = 0

    def learn(self, confidence: float, correct: bool) -> None:
        """Count one answer that was given with a confidence (0 to 1) before its example was
        learnt.
        """
        keep = 1.0 - 1.0 / _WINDOW
        self.counts *= keep
        self.right *= keep
        step = min(int(confidence * _STEPS), _STEPS - 1)
        self.counts[step] += 1.0
        self.right[step] += correct
        self.examples += 1

    def threshold(self, precision: float, least: float) -> float:
        """Return the confidence from which on the share `precision` of the answers was right;
        `NEVER` where there is none.

        It is `least` while there are few examples, and never lower: examples are not all that will
        be asked, and a head that was right about all of them is still not to answer what it has no
        favourite for. The share is lowered by half a standard error.
        """
        if self.examples < _COLD:
            return least
        answers = np.cumsum(self.counts[::-1])[::-1]
        right = np.cumsum(self.right[::-1])[::-1]
        for step in range(_STEPS):
            if answers[step] < _LEAST:
                break
            share = right[step] / answers[step]
            if share - _CAUTION * math.sqrt(share * (1.0 - share) / answers[step]) >= precision:
                return max(step / _STEPS, least)
        return NEVER

    def state(self) -> dict[str, Any]:
        """Return everything, for JSON, which keeps a float64 to its last bit; see `restore`."""
        return {
            "counts": self.counts.tolist(),
            "right": self.right.tolist(),
            "examples": self.examples,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Doubt:
        """Return the doubt of a `state`; raises KeyError or ValueError where it is none."""
        counts, right = (np.array(state[name], dtype=np.float64) for name in ("counts", "right"))
        if counts.shape != (_STEPS,) or right.shape != (_STEPS,):
            raise ValueError(
                f"the counts of confidences have the shapes {counts.shape}, {right.shape}"
            )
        return cls(counts, right, int(state["examples"]))


def recipe() -> list[float]:
    """Return what thresholds depend on besides the examples and the head."""
    return [_STEPS, _WINDOW, _LEAST, _COLD, _CAUTION]

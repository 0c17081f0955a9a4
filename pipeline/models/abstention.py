"""When a head abstains: a confidence threshold learnt from prequential tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Bins one hundredth wide: finer than thresholds need to be, and coarse enough to fill soon.
_BINS: Final = 100
# Counts decay by one part in this many with every example, so that a model that has learnt more, or
# whose stream has changed, is not judged by its past. 3,000 gave the same shares on eleven data
# sets.
_WINDOW: Final = 1_000
# Fewer answers at or above a confidence prove nothing: with 30, the standard error of a share of
# 0.9 is 0.05.
_MINIMUM_ANSWERS: Final = 30
# With fewer examples the threshold in the table of heads applies: after 100 examples two of eleven
# data sets had reached a share of 0.9 at any confidence; after 500 seven had, and kept it (0.93 of
# the answers that followed).
_MINIMUM_EXAMPLES: Final = 200
# The share is lowered by this many standard errors, because the best of a hundred possible
# thresholds is chosen, and part of its lead is chance.
_STANDARD_ERRORS: Final = 0.5
# Greater than any probability: the head always abstains.
NEVER: Final = 1.01


@dataclass(slots=True)
class ConfidenceHistogram:
    """How many of a model's answers had each confidence, and how many of those were right.

    Each answer is given before its example is learnt. Like the models this is a fold: the same
    examples in the same order give the same counts, bit by bit. `counts` and `right` are float64
    arrays of shape (100,).
    """

    counts: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    right: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))
    examples: int = 0

    def add(self, confidence: float, correct: bool) -> None:
        """Count one answer with its confidence (0 to 1)."""
        decay = 1.0 - 1.0 / _WINDOW
        self.counts *= decay
        self.right *= decay
        position = min(int(confidence * _BINS), _BINS - 1)
        self.counts[position] += 1.0
        self.right[position] += correct
        self.examples += 1

    def threshold(self, precision: float, minimum: float) -> float:
        """Return the lowest confidence at which answers reach `precision`; `NEVER` if none does.

        The result is `minimum` while there are few examples, and never lower: future texts differ
        from the examples, and even a head that was always right should not answer without a clear
        favourite. The measured share is lowered by half a standard error.

        >>> ConfidenceHistogram().threshold(precision=0.9, minimum=0.35)
        0.35
        """
        if self.examples < _MINIMUM_EXAMPLES:
            return minimum
        answers = np.cumsum(self.counts[::-1])[::-1]
        right = np.cumsum(self.right[::-1])[::-1]
        for position in range(_BINS):
            if answers[position] < _MINIMUM_ANSWERS:
                break
            share = right[position] / answers[position]
            standard_error = math.sqrt(share * (1.0 - share) / answers[position])
            if share - _STANDARD_ERRORS * standard_error >= precision:
                return max(position / _BINS, minimum)
        return NEVER

    def state(self) -> dict[str, Any]:
        """Return the state for JSON, which keeps every bit of a float64; see `restore`."""
        return {
            "counts": self.counts.tolist(),
            "right": self.right.tolist(),
            "examples": self.examples,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> ConfidenceHistogram:
        """Return the histogram of a `state`; raises KeyError or ValueError if it is malformed."""
        counts, right = (np.array(state[name], dtype=np.float64) for name in ("counts", "right"))
        if counts.shape != (_BINS,) or right.shape != (_BINS,):
            raise ValueError(f"confidence counts have the shapes {counts.shape} and {right.shape}")
        return cls(counts, right, int(state["examples"]))


def recipe() -> list[float]:
    """Return the constants that thresholds depend on besides the examples and the head."""
    return [_BINS, _WINDOW, _MINIMUM_ANSWERS, _MINIMUM_EXAMPLES, _STANDARD_ERRORS]

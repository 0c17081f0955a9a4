"""Concept drift: detect a sudden rise of the error rate by Page's CUSUM of likelihood ratios."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

# At least e^14, about a million, tests pass between false alarms on average (Lorden 1971).
_ALARM_THRESHOLD: Final = 14.0
# The usual error rate is a mean over about the last 500 tests, which a rise within tens of tests
# has hardly changed yet.
_HORIZON: Final = 500.0
# A model with fewer tests has no usual error rate yet: errors of a new model are no drift.
_MINIMUM_TESTS: Final = 100
# The rise to detect: this share of the answers that were right becomes wrong.
_LOST_SHARE: Final = 0.5
# With error rates closer to 0 or 1 a single error would raise an alarm, or nothing could.
_MINIMUM_RATE: Final = 0.02
_MAXIMUM_RATE: Final = 0.98


@dataclass(slots=True)
class DriftDetector:
    """Detects a sudden rise of a model's error rate, as when labels change their meaning.

    It needs tens of tests where river's ADWIN needs hundreds, and it estimates after which test the
    change began (docs/adr/0019). Gradual change raises no alarm: the learner's gradient steps
    follow it.
    """

    rate: float = 0.5
    evidence: float = 0.0
    # Tests since the evidence was last zero: the most likely begin of the change.
    suspected: int = 0
    tests: int = 0

    def update(self, wrong: bool) -> bool:
        """Count one test; return whether the error rate has risen.

        After an alarm `suspected` is the number of tests since the rise began.

        >>> detector = DriftDetector()
        >>> any([detector.update(wrong=False) for _ in range(200)])
        False
        >>> [detector.update(wrong=True) for _ in range(6)]
        [False, False, False, False, True, True]
        """
        usual = min(_MAXIMUM_RATE, max(_MINIMUM_RATE, self.rate))
        risen = usual + _LOST_SHARE * (1.0 - usual)
        self.evidence += (
            math.log(risen / usual) if wrong else math.log((1.0 - risen) / (1.0 - usual))
        )
        self.suspected += 1
        # If nearly all answers are wrong anyway, the error rate cannot rise.
        if self.evidence <= 0.0 or self.rate > _MAXIMUM_RATE:
            self.evidence, self.suspected = 0.0, 0
        self.tests += 1
        self.rate += (float(wrong) - self.rate) / min(_HORIZON, self.tests + 1.0)
        return self.tests > _MINIMUM_TESTS and self.evidence > _ALARM_THRESHOLD

    def state(self) -> dict[str, Any]:
        """Return the state for JSON, which keeps floats exactly; see `restore`."""

        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the detector of a `state`."""
        return cls(**state)

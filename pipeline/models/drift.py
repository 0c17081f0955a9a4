"""A sudden rise of the errors of a stream of tests: Page's cumulative sum of likelihood ratios."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

# The mean number of tests between false alarms is at least e^14, a million (Lorden 1971).
_ALARM: Final = 14.0
# The usual rate of errors is that of some last 500 tests: a rise within tens of them has not moved
# it much yet.
_HORIZON: Final = 500.0
# A model that has learnt less has no usual rate of errors yet; a new model's first errors are no
# drift.
_SETTLED: Final = 100
# The rise looked for: half of what was right becomes wrong.
_LOST: Final = 0.5
# Rates nearer to 0 or 1 would make a single error an alarm, or none possible.
_LEAST_RATE: Final = 0.02
_GREATEST_RATE: Final = 0.98


@dataclass(slots=True)
class DriftDetector:
    """Tells when a model's errors rise at once: its labels have changed their meaning, or its texts
    their kind.

    Against river's ADWIN, which is kept for the reported quality, it needs tens of tests and not
    hundreds, and knows after which test the change began. Gradual change raises no alarm: the
    learner's steps follow that.
    """

    rate: float = 0.5
    evidence: float = 0.0
    # Tests since the evidence was last zero: where the change most likely began.
    suspected: int = 0
    tests: int = 0

    def alarm(self, wrong: bool) -> bool:
        """Take in one test; return whether the errors have risen. `suspected` then counts the tests
        since they did.
        """
        usual = min(_GREATEST_RATE, max(_LEAST_RATE, self.rate))
        risen = usual + _LOST * (1.0 - usual)
        self.evidence += (
            math.log(risen / usual) if wrong else math.log((1.0 - risen) / (1.0 - usual))
        )
        self.suspected += 1
        # Where nearly all is wrong anyway there is no rise to find.
        if self.evidence <= 0.0 or self.rate > _GREATEST_RATE:
            self.evidence, self.suspected = 0.0, 0
        self.tests += 1
        self.rate += (float(wrong) - self.rate) / min(_HORIZON, self.tests + 1.0)
        return self.tests > _SETTLED and self.evidence > _ALARM

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, for JSON, which keeps a float exactly."""
        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the detector of a `state`."""
        return cls(**state)

"""The hyperparameters of the online learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self


@dataclass(frozen=True, slots=True)
class Expert:
    """The hyperparameters of one of the mixed learners.

    `rate` and `accumulator` are AdaGrad's; the accumulator is the initial value of every sum of
    squared gradients, and bounds the first steps of a rare feature. `meaning_rate` and
    `meaning_accumulator` are those of the embedding, whose dimensions occur in every text. `margin`
    is added to the scores of wrong labels while learning, so that correct answers with a small lead
    still teach.
    """

    rate: float
    accumulator: float
    margin: float
    meaning_rate: float
    meaning_accumulator: float


# Small even steps suit noisy labels; large first steps suit many labels with few examples.
_EXPERTS: Final = (Expert(0.4, 3e-2, 1.0, 0.2, 1e-3), Expert(1.0, 1e-2, 0.0, 0.3, 1e-3))


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """The hyperparameters of the learner, tuned one at a time on eleven data sets (docs/adr/0013).

    Names of fields are part of stored states and of the recipe hash.
    """

    # Increase this whenever the code changes what is learnt from the same examples.
    version: int = 2
    experts: tuple[Expert, ...] = _EXPERTS
    # The AdaGrad rate of the experts' shares.
    share_rate: float = 0.1
    # Smaller gradients have no visible effect and are skipped, which are those of most labels of a
    # large label set.
    least_gradient: float = 5e-3
    # Character n-grams repeat the information of tokens, so they count half.
    token_weight: float = 1.0
    character_weight: float = 0.5
    # The weight of a rule's hint before anything is learnt (a logit, at full confidence).
    hint_weight: float = 2.0
    # While fewer examples than `young` were learnt since the start or the last drift, each is
    # followed by `rehearsed` earlier ones.
    young: int = 1_500
    rehearsed: int = 4

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> Self:
        """Return the settings from the output of `dataclasses.asdict`."""
        return cls(**{**stored, "experts": tuple(Expert(**expert) for expert in stored["experts"])})

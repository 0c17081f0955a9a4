"""The step `classify`: every head's answer about a batch of records, from the models as they
stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.outcomes import Answer, Context, Outcome, emit
from pipeline.processors.draft import Judged, Redacted
from schemas.communications import MessageData
from schemas.records import Prediction
from schemas.types import Direction
from schemas.unchecked import construct


@dataclass(frozen=True, slots=True)
class Classify:
    """The step; it has no settings, the models come with the context."""

    name: str = "classify"

    def __call__(self, batch: Sequence[Redacted], ctx: Context) -> Sequence[Outcome[Judged]]:
        answers = ctx.models.classify(
            [item.text for item in batch], [_direction(item) for item in batch]
        )
        # The lists say the same of many texts, and silence is silence: such answers are made once a
        # batch.
        made_before: dict[Answer, Prediction] = {}
        return [
            emit(
                Judged(
                    item, {head: _prediction(answer, made_before) for head, answer in heads.items()}
                )
            )
            for item, heads in zip(batch, answers, strict=True)
        ]


def _direction(item: Redacted) -> str:
    """Return the direction by which heads tell whether they apply; what a platform says by itself
    is nobody's need.
    """
    data = item.identified.cleaned.data
    if isinstance(data, MessageData) and data.kind != "message":
        return Direction.INTERNAL
    return item.identified.direction


def _prediction(answer: Answer, made_before: dict[Answer, Prediction]) -> Prediction:
    if (known := made_before.get(answer)) is not None:
        return known
    made_before[answer] = one = construct(
        Prediction,
        label=answer.label,
        p=answer.probability,
        abstained=answer.abstained,
        version=answer.version,
        also=answer.also,
    )
    return one

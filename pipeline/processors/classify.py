"""The step `classify`: every head's answer about a batch of records, from one model snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.outcomes import Answer, Context, Outcome, emit
from pipeline.processors.draft import Draft
from schemas.communications import MessageData
from schemas.records import Prediction
from schemas.types import Direction
from schemas.unchecked import construct


@dataclass(frozen=True, slots=True)
class Classify:
    """The step `classify`; sets `draft.predictions`. The models come with the context."""

    name: str = "classify"

    def __call__(self, batch: Sequence[Draft], ctx: Context) -> Sequence[Outcome[Draft]]:
        answers = ctx.models.classify(
            [draft.redacted_text for draft in batch], [_direction(draft) for draft in batch]
        )
        # Many texts have the same answer: a lexicon's, or none. Such a prediction is built once a
        # batch.
        known: dict[Answer, Prediction] = {}
        for draft, heads in zip(batch, answers, strict=True):
            draft.predictions = {head: _prediction(answer, known) for head, answer in heads.items()}
        return [emit(draft) for draft in batch]


def _direction(draft: Draft) -> str:
    """Return the direction by which heads decide whether they apply.

    A line that the platform wrote by itself is internal: it is nobody's request.
    """
    data = draft.cleaned.data
    if isinstance(data, MessageData) and data.kind != "message":
        return Direction.INTERNAL
    return draft.identified.direction


def _prediction(answer: Answer, known: dict[Answer, Prediction]) -> Prediction:
    prediction = known.get(answer)
    if prediction is None:
        prediction = known[answer] = construct(
            Prediction,
            label=answer.label,
            p=answer.probability,
            abstained=answer.abstained,
            version=answer.version,
            also=answer.also,
        )
    return prediction

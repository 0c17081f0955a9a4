"""One evaluation: its rows, what is judged on them, and everything that was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.models.evaluation.comparison import EvaluationPlan, Progress, check, compare
from pipeline.models.evaluation.labelled_rows import BadLine, LabelledRow
from pipeline.models.evaluation.measures import Scores, score
from pipeline.models.evaluation.online_model import OnlineResult, judge_online
from pipeline.models.evaluation.results import Comparison, curve_sizes
from pipeline.models.heads import Head
from pipeline.models.replica import LearntExample, Replica


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """The rows of an evaluation, where they come from in words, and the lines that are none."""

    train: tuple[LabelledRow, ...]
    test: tuple[LabelledRow, ...]
    train_source: str
    test_source: str
    head: Head | None = None
    refused: tuple[BadLine, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that a learner knows from the start: a head's, else none."""
        return tuple(self.head.labels) if self.head else ()


@dataclass(frozen=True, slots=True)
class ServedQuality:
    """What readers would have been told of a head: by its rule until the model may answer, then by
    the model with the rule's hint. Accuracies, 0 to 1: on the stream before each row was learnt
    (the rule alone beside), and on the test."""

    prequential_accuracy: float
    rule_accuracy: float
    test: Scores | None


@dataclass(frozen=True, slots=True)
class PromotionResult:
    """What a promotion did: the event that records it ("" where nothing was new), examples added,
    and those there before.
    """

    promotion_id: str
    head: str
    model: str
    added: int
    already: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was found; None for what was not asked for."""

    data: EvaluationData
    plan: EvaluationPlan
    online: OnlineResult | None = None
    served: ServedQuality | None = None
    comparison: Comparison | None = None
    promoted: PromotionResult | None = None


def evaluate(
    data: EvaluationData,
    plan: EvaluationPlan,
    *,
    online: bool,
    offline: bool,
    on_progress: Progress,
) -> Evaluation:
    """Judge what is asked for. Raises EvaluationError where the rows do not allow it."""
    if offline:
        check(data.train, data.test, plan)
    judged = None
    if online:
        of = len(data.train)
        judged = judge_online(
            data.train,
            data.test,
            labels=data.labels,
            curve=curve_sizes(of),
            on_progress=lambda done: on_progress("online model", done, of),
        )
    served = judge_served(data) if online and data.head else None
    comparison = (
        compare(
            data.train, data.test, plan, labels=data.labels, online=judged, on_progress=on_progress
        )
        if offline
        else None
    )
    return Evaluation(data, plan, judged, served, comparison)


def judge_served(data: EvaluationData) -> ServedQuality:
    """Fold the training rows as a worker does, and answer the test as it would. Raises ValueError
    where there is no head.
    """
    if data.head is None:
        raise ValueError("only a head is served")
    replica = Replica(heads=(data.head,))
    applied = [
        replica.apply(
            {
                "kind": "example",
                "head": data.head.name,
                "value": row.label,
                "text": row.text,
                "weight": row.weight,
            },
            offset,
        )
        for offset, row in enumerate(data.train)
    ]
    tally = replica.quality(data.head.name)
    learnt = max(1, sum(isinstance(one, LearntExample) for one in applied))
    return ServedQuality(
        tally.served_correct / learnt,
        tally.rule_correct / learnt,
        _served_test(replica, data.head, data.test),
    )


def _served_test(replica: Replica, head: Head, rows: Sequence[LabelledRow]) -> Scores | None:
    asked = [row for row in rows if head.applies_to(row.direction)]
    if not asked:
        return None
    found = replica.classifier().classify(
        [row.text for row in asked], [row.direction for row in asked]
    )
    return score(
        [row.label for row in asked], [answers[head.name].label or None for answers in found]
    )

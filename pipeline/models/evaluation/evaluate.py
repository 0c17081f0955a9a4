"""Run one evaluation: judge the online model, the served answers and the offline models."""

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
    """The rows of an evaluation, descriptions of their sources, and the refused lines."""

    train: tuple[LabelledRow, ...]
    test: tuple[LabelledRow, ...]
    train_source: str
    test_source: str
    head: Head | None = None
    refused: tuple[BadLine, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that a learner knows from the start: those of the head, else none."""
        return tuple(self.head.labels) if self.head else ()


@dataclass(frozen=True, slots=True)
class ServedQuality:
    """The quality of a head's answers as readers get them.

    The rule answers until the model is ready, then the model with the rule's hint. Accuracies are 0
    to 1: on the stream before each row was learnt (also of the rule alone), and on the test.
    """

    prequential_accuracy: float
    rule_accuracy: float
    test: Scores | None


@dataclass(frozen=True, slots=True)
class PromotionResult:
    """The result of a promotion: examples added, and those that existed already.

    `promotion_id` is the id of the event that records it, "" if no example was new.
    """

    promotion_id: str
    head: str
    model: str
    added: int
    already: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All results of an evaluation; None for what was not requested."""

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
    """Judge what is requested. Raises EvaluationError if the rows do not allow it."""
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
    """Fold the training rows and answer the test as a worker does.

    Raises ValueError if there is no head.
    """
    if data.head is None:
        raise ValueError("served answers can be judged for a head only")
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
    quality = replica.quality(data.head.name)
    learnt = max(1, sum(isinstance(outcome, LearntExample) for outcome in applied))
    return ServedQuality(
        quality.served_correct / learnt,
        quality.rule_correct / learnt,
        _served_test(replica, data.head, data.test),
    )


def _served_test(replica: Replica, head: Head, rows: Sequence[LabelledRow]) -> Scores | None:
    applicable = [row for row in rows if head.applies_to(row.direction)]
    if not applicable:
        return None
    predictions = replica.classifier().classify(
        [row.text for row in applicable], [row.direction for row in applicable]
    )
    return score(
        [row.label for row in applicable],
        [by_head[head.name].label or None for by_head in predictions],
    )

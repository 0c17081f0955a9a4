"""An evaluation as JSON: accuracies, F1 and errors from 0 to 1, costs in µs or s of CPU time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.models.evaluation.comparison import EvaluationPlan
from pipeline.models.evaluation.evaluate import Evaluation, EvaluationData
from pipeline.models.evaluation.labelled_rows import LabelledRow
from pipeline.models.evaluation.measures import Scores
from pipeline.models.evaluation.online_model import JudgedAnswers, OnlineResult
from pipeline.models.evaluation.results import Comparison, Contender, count_known_texts, groups_of


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as a dict of JSON values."""
    data = evaluation.data
    labels = sorted({row.label for row in data.train})
    figures: dict[str, Any] = {
        "data": {
            "train": data.train_source,
            "test": data.test_source,
            "head": data.head.name if data.head else "",
            "train_rows": len(data.train),
            "test_rows": len(data.test),
            "labels": labels,
            "test_rows_seen_in_training": count_known_texts(data.train, data.test),
            "test_labels_not_in_training": sorted({row.label for row in data.test} - set(labels)),
            "refused": len(data.refused),
            "refused_lines": [asdict(line) for line in data.refused],
        },
        "seed": evaluation.plan.seed,
    }
    if evaluation.online:
        figures["online"] = _online(evaluation.online, data)
    if evaluation.served:
        figures["served"] = asdict(evaluation.served)
    if evaluation.comparison:
        figures["offline"] = _comparison(evaluation.comparison, evaluation.plan)
    if evaluation.promoted:
        figures["promoted"] = asdict(evaluation.promoted)
    return figures


def _online(online: OnlineResult, data: EvaluationData) -> dict[str, Any]:
    """Return the figures as a flat dict; calibration is of the test if any, else of the stream."""
    prequential = online.prequential
    last = online.test or online.prequential
    figures: dict[str, Any] = {
        "prequential_accuracy": prequential.scores.accuracy,
        "prequential_macro_f1": prequential.scores.macro_f1,
        "test_accuracy": online.test.scores.accuracy if online.test else None,
        "test_macro_f1": online.test.scores.macro_f1 if online.test else None,
        "calibration_error": last.calibration.calibration_error,
        "accuracy_at_80_coverage": last.calibration.accuracy_at_80_coverage,
        "prequential_calibration_error": prequential.calibration.calibration_error,
        "prequential_accuracy_at_80_coverage": prequential.calibration.accuracy_at_80_coverage,
        **asdict(online.cost),
        "drifts": online.drifts,
        "prequential_groups": _groups(data.train, prequential),
        "curve": _curve(online.curve),
    }
    if online.test:
        figures["test_groups"] = _groups(data.test, online.test)
    return figures


def _groups(rows: Sequence[LabelledRow], part: JudgedAnswers) -> list[dict[str, Any]]:
    return [asdict(group) for group in groups_of(rows, part.answers.labels)]


def _curve(curve: Iterable[tuple[int, Scores]]) -> list[dict[str, Any]]:
    return [{"rows": rows, **asdict(scores)} for rows, scores in curve]


def _comparison(comparison: Comparison, plan: EvaluationPlan) -> dict[str, Any]:
    return {
        "winner": comparison.winner.name,
        "folds": comparison.folds,
        "budget_s": plan.budget_s,
        "notes": comparison.notes,
        "models": [_contender(contender) for contender in comparison.contenders],
        "feature_selection": [asdict(method) for method in comparison.selection],
    }


def _contender(contender: Contender) -> dict[str, Any]:
    return {
        **asdict(contender),
        "cross_validated_macro_f1": contender.cross_validated,
        "cross_validated_spread": contender.spread,
        "curve": _curve(contender.curve),
    }

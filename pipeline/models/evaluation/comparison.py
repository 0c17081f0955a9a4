"""Compare offline models and the online model on the same rows, tuned on training rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.models.evaluation.candidates import CANDIDATES, CandidateModel
from pipeline.models.evaluation.labelled_rows import EvaluationError, LabelledRow
from pipeline.models.evaluation.measures import score
from pipeline.models.evaluation.nested_search import Labels, folds_for, outer_folds
from pipeline.models.evaluation.offline_models import OfflineBench
from pipeline.models.evaluation.online_model import (
    OnlineResult,
    answer_rows,
    judge_online,
    train_online,
)
from pipeline.models.evaluation.results import (
    ONLINE,
    Comparison,
    Contender,
    curve_sizes,
    judge_contender,
)

# Called with the current task, the number of models done, and the number of all models.
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """How to compare: offline models, outer and inner folds, random seed, CPU seconds per model."""

    models: tuple[str, ...] = tuple(candidate.name for candidate in CANDIDATES)
    folds: int = 3
    seed: int = 7
    budget_s: float = 120.0


def compare(
    train: Sequence[LabelledRow],
    test: Sequence[LabelledRow],
    plan: EvaluationPlan,
    *,
    labels: Sequence[str] = (),
    online: OnlineResult | None = None,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> Comparison:
    """Train, tune and judge every model of the plan and the online model.

    No model learns from `test`. `labels` are those of a head, which the online model knows from the
    start; `online` is its result if it was judged before. Raises EvaluationError if the rows allow
    no comparison or the plan names an unknown model.
    """
    chosen, folds = check(train, test, plan)
    y: Labels = np.array([row.label for row in train], dtype=object)
    total = len(chosen) + 2
    on_progress("online model", 0, total)
    contenders = [_judge_online(train, test, y, folds, plan.seed, labels, online)]
    on_progress("features", 1, total)
    # One thread, because costs are CPU times, and on a busy machine threads use most of the CPU
    # waiting for each other.
    with threadpool_limits(1):
        bench = OfflineBench.of(train, test, folds, plan.seed, plan.budget_s)
        selection = bench.selection(lambda title: on_progress(f"selection: {title}", 1, total))
        for number, candidate in enumerate(chosen, 2):
            contenders.append(bench.judge(candidate, _steps(on_progress, candidate, number, total)))
    contenders.sort(key=lambda contender: -contender.cross_validated)
    return Comparison(tuple(contenders), selection, folds, tuple(_notes(y, folds, plan)))


def check(
    train: Sequence[LabelledRow], test: Sequence[LabelledRow], plan: EvaluationPlan
) -> tuple[list[CandidateModel], int]:
    """Return the models of a plan and how many folds the rows allow.

    Raises EvaluationError if nothing can be compared.
    """
    chosen = _candidates(plan.models)
    folds = folds_for(np.array([row.label for row in train], dtype=object), plan.folds)
    if not test:
        raise EvaluationError(
            "there are no test rows: name a file with --test, or provide more rows"
        )
    return chosen, folds


def _steps(
    on_progress: Progress, candidate: CandidateModel, done: int, total: int
) -> Callable[[], object]:
    numbers = count(1)
    return lambda: on_progress(f"{candidate.title}: {next(numbers)} settings tried", done, total)


def _candidates(names: Sequence[str]) -> list[CandidateModel]:
    table = {candidate.name: candidate for candidate in CANDIDATES}
    unknown = [name for name in names if name not in table]
    if unknown:
        raise EvaluationError(f"unknown model {', '.join(unknown)}: choose of {', '.join(table)}")
    return [table[name] for name in dict.fromkeys(names)]


def _notes(y: Labels, folds: int, plan: EvaluationPlan) -> Iterator[str]:
    if folds < plan.folds:
        yield f"{folds} folds instead of {plan.folds}, because no label has more training rows"
    names, counts = np.unique(y, return_counts=True)
    rare = [str(name) for name, count in zip(names, counts.tolist(), strict=True) if count < folds]
    if rare:
        yield (
            f"labels with fewer than {folds} training rows, missing from some folds:"
            f" {', '.join(rare)}"
        )


def _judge_online(
    train: Sequence[LabelledRow],
    test: Sequence[LabelledRow],
    y: Labels,
    folds: int,
    seed: int,
    labels: Sequence[str],
    online: OnlineResult | None,
) -> Contender:
    sizes = curve_sizes(len(train))
    judged = online or judge_online(train, test, labels=labels, curve=sizes)
    assert judged.test is not None
    estimates = []
    for fitted, validation in outer_folds(y, folds, seed):
        model = train_online([train[index] for index in np.sort(fitted).tolist()], labels)
        rows = [train[index] for index in validation.tolist()]
        estimates.append(score([row.label for row in rows], answer_rows(model, rows).labels))
    answers = judged.test.answers.labels
    return judge_contender(
        name=ONLINE,
        title="Online model",
        kind="online",
        folds=tuple(estimates),
        settings={},
        rows=len(train),
        answers=answers,
        test=test,
        curve=judged.curve,
        fit_s=(judged.cost.features_us + judged.cost.learn_us) * len(train) / 1e6,
        features_us=judged.cost.features_us,
        predict_us=judged.cost.predict_us,
        notes=("one pass in the order of the rows, with the same settings for all data",),
    )

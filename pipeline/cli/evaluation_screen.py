"""Tables of an evaluation on a terminal: the online model, all models, the best one in detail."""

from __future__ import annotations

from pipeline.cli.console import note, out, safe_text, table
from pipeline.models.evaluation.evaluate import Evaluation
from pipeline.models.evaluation.online_model import OnlineResult
from pipeline.models.evaluation.results import Comparison, Contender
from pipeline.reporting.evaluation_page import mistakes_of, notes_of, settings_of
from pipeline.text.counts import count_of

# A terminal shows the labels with the most rows in a classification report.
_REPORT_LABELS = 30


def show_evaluation(evaluation: Evaluation) -> None:
    """Print all results of an evaluation; shares in percent."""
    data = evaluation.data
    tested = (
        f"; tested on {data.test_source}: {count_of(len(data.test), 'row')}" if data.test else ""
    )
    out.print(
        safe_text(f"trained on {data.train_source}: {count_of(len(data.train), 'row')}{tested}")
    )
    for line in notes_of(evaluation):
        note(f"note: {line}")
    if evaluation.online:
        out.print()
        _show_online(evaluation.online)
    if served := evaluation.served:
        rows = [("before learning, rule only", _percent(served.rule_accuracy))]
        rows.append(("before learning, with the rule", _percent(served.prequential_accuracy)))
        if served.test:
            rows.append(("test, with the rule", _percent(served.test.accuracy)))
        out.print()
        table(
            "As in production, with the rule of the head",
            ("part", "accuracy %"),
            rows,
            numbers=("accuracy %",),
        )
    if evaluation.comparison:
        _show_comparison(evaluation.comparison)
    if promoted := evaluation.promoted:
        note(
            f"{count_of(promoted.added, 'example')} of {promoted.head} added to the examples log,"
            f" there before: {promoted.already:,}; every worker learns them with its next batch"
        )


def _show_online(online: OnlineResult) -> None:
    parts = {"prequential": online.prequential} | ({"test": online.test} if online.test else {})
    columns = (
        "part",
        "accuracy %",
        "macro-F1 %",
        "calibration error",
        "accuracy % at 80 % coverage",
    )
    rows = [
        (
            name,
            _percent(part.scores.accuracy),
            _percent(part.scores.macro_f1),
            f"{part.calibration.calibration_error:.3f}",
            _percent(part.calibration.accuracy_at_80_coverage),
        )
        for name, part in parts.items()
    ]
    table("Online model, one pass in the order of the rows", columns, rows, numbers=columns[1:])
    cost = online.cost
    words = (
        f"features {cost.features_us:.0f} µs, predict {cost.predict_us:.0f} µs, learn"
        f" {cost.learn_us:.0f} µs"
    )
    out.print(safe_text(f"{words} of CPU per text"))


def _show_comparison(comparison: Comparison) -> None:
    out.print()
    _show_models(comparison)
    out.print()
    _show_curves(comparison)
    out.print()
    _show_selection(comparison)
    out.print()
    _show_detail(comparison.winner)
    for row in comparison.contenders:
        if row.notes:
            note(f"{row.title}: {'; '.join(row.notes)}")


def _show_models(comparison: Comparison) -> None:
    numbers = (
        "CV macro-F1 %",
        "test accuracy %",
        "test macro-F1 %",
        "rows",
        "training s",
        "features µs",
        "answer µs",
    )
    rows = [
        (
            row.title,
            f"{_percent(row.cross_validated)} ± {_percent(row.spread)}",
            _percent(row.test.accuracy),
            _percent(row.test.macro_f1),
            f"{row.rows:,}",
            f"{row.fit_s:.1f}",
            f"{row.features_us:.0f}",
            f"{row.predict_us:.0f}",
            settings_of(row),
        )
        for row in comparison.contenders
    ]
    title = f"All models, the best by {comparison.folds}-fold cross-validation first"
    table(title, ("model", *numbers, "settings"), rows, numbers=numbers)


def _show_curves(comparison: Comparison) -> None:
    sizes = sorted({size for row in comparison.contenders for size, _ in row.curve})
    points = {row.title: dict(row.curve) for row in comparison.contenders}
    rows = [
        (title, *(_percent(curve[size].macro_f1) if size in curve else "" for size in sizes))
        for title, curve in points.items()
    ]
    numbers = tuple(f"{size:,}" for size in sizes)
    table("Test macro-F1 % by training rows", ("model", *numbers), rows, numbers=numbers)


def _show_selection(comparison: Comparison) -> None:
    numbers = ("columns", "CV macro-F1 %", "fit s")
    rows = [
        (
            method.title,
            f"{method.columns:,}",
            f"{_percent(method.macro_f1)} ± {_percent(method.spread)}",
            f"{method.fit_s:.2f}",
            " | ".join(method.terms),
        )
        for method in comparison.selection
    ]
    table(
        "Feature selection, by a linear SVM",
        ("method", *numbers, "most valued terms"),
        rows,
        numbers=numbers,
    )


def _show_detail(winner: Contender) -> None:
    out.print(safe_text(f"The best model, {winner.title}:"))
    reports = sorted(winner.reports, key=lambda report: -report.rows)[:_REPORT_LABELS]
    columns = ("label", "precision %", "recall %", "F1 %", "rows")
    rows = [
        (r.label, _percent(r.precision), _percent(r.recall), _percent(r.f1), f"{r.rows:,}")
        for r in reports
    ]
    table("Classification report", columns, rows, numbers=columns[1:])
    if mistakes := mistakes_of(winner.confusion):
        out.print()
        table("Most frequent mistakes", ("truth", "answer", "times"), mistakes, numbers=("times",))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"

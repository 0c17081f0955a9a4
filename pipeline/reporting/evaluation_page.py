"""Writes an evaluation as an HTML page; the terminal shows some of its texts too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.models.evaluation.evaluate import Evaluation
from pipeline.models.evaluation.measures import Confusion
from pipeline.models.evaluation.results import Contender, count_known_texts
from pipeline.reporting.charts import PALETTE, lines
from pipeline.reporting.html_pages import render
from pipeline.text.counts import count_of

# There are nine models, so grey is added to the palette.
_COLOURS = (*PALETTE, "#999999")
# A matrix with more labels is unreadable; then the most frequent mistakes are listed.
_MATRIX_LABELS = 16
_MISTAKES = 20
# Readable names of hyperparameters whose own names are unclear.
_SETTINGS = {"select__score_func": "selection by", "model__hidden_layer_sizes": "hidden layers"}
# Labels that a note lists; of the others it has only the number.
_MAX_LISTED = 10


class Mistake(NamedTuple):
    """A wrong prediction and its count."""

    truth: str
    answer: str
    times: int


def write_page(evaluation: Evaluation, out: Path, now: datetime) -> Path:
    """Write a self-contained page and return its absolute path; raises OSError if it cannot."""
    contenders = evaluation.comparison.contenders if evaluation.comparison else ()
    colours = {row.title: _COLOURS[index % len(_COLOURS)] for index, row in enumerate(contenders)}
    online = evaluation.online
    page = render(
        "evaluation.html",
        data=evaluation.data,
        plan=evaluation.plan,
        labels=len({row.label for row in evaluation.data.train}),
        notes=notes_of(evaluation),
        online=online,
        last=(online.test or online.prequential) if online else None,
        served=evaluation.served,
        comparison=evaluation.comparison,
        settings={row.name: settings_of(row) for row in contenders},
        legend=list(colours.items()),
        curves=lines(
            {
                row.title: [(rows, scores.macro_f1) for rows, scores in row.curve]
                for row in contenders
            },
            colours,
            bold=next((row.title for row in contenders if row.kind == "online"), ""),
        ),
        matrices={row.name: _matrix(row.confusion) for row in contenders},
        mistakes={row.name: mistakes_of(row.confusion) for row in contenders},
        written_at=now,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, "utf-8")
    return out.resolve()


def notes_of(evaluation: Evaluation) -> list[str]:
    """Return warnings about the data: rejected lines, repeated texts, unknown labels."""
    data = evaluation.data
    notes = []
    if data.refused:
        notes.append(
            f"{count_of(len(data.refused), 'line')} rejected; the first: {data.refused[0]}"
        )
    if repeated := count_known_texts(data.train, data.test):
        notes.append(f"{repeated:,} of {len(data.test):,} test texts are also training texts")
    known = {row.label for row in data.train}
    if unknown := sorted({row.label for row in data.test} - known):
        notes.append(f"test labels that no training row has: {_listed(unknown)}")
    if len(known) == 1:
        notes.append(
            f"all training rows have the label {next(iter(known))}: a model needs two or more"
        )
    return notes + list(evaluation.comparison.notes if evaluation.comparison else ())


def settings_of(contender: Contender) -> str:
    """Return the chosen hyperparameters as text."""
    return ", ".join(
        f"{_SETTINGS.get(name, name.split('__')[-1])} {_short(value)}"
        for name, value in sorted(contender.settings.items())
    )


def mistakes_of(confusion: Confusion) -> list[Mistake]:
    """Return the most frequent wrong predictions, the most frequent first."""
    mistakes = [
        Mistake(truth, answer, count)
        for truth, row in zip(confusion.labels, confusion.counts, strict=True)
        for answer, count in zip(confusion.labels, row, strict=True)
        if count and truth != answer
    ]
    return sorted(mistakes, key=lambda mistake: (-mistake.times, mistake.truth, mistake.answer))[
        :_MISTAKES
    ]


def _matrix(confusion: Confusion) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return the rows of a confusion matrix, each count with its share of the row.

    The result is empty if there are too many labels.
    """
    if len(confusion.labels) > _MATRIX_LABELS:
        return []
    return [
        (label, [(count, count / max(1, sum(row))) for count in row])
        for label, row in zip(confusion.labels, confusion.counts, strict=True)
    ]


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)

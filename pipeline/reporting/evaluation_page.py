"""An evaluation as a page of HTML, and what the page and the terminal say alike."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.models.evaluation.evaluate import Evaluation
from pipeline.models.evaluation.measures import Confusion
from pipeline.models.evaluation.results import Contender, count_known_texts
from pipeline.reporting.charts import PALETTE, lines
from pipeline.reporting.html_pages import render

# Nine models: the palette and a grey.
_COLOURS = (*PALETTE, "#999999")
# A matrix of more labels is no longer read; the commonest mistakes are.
_MATRIX_LABELS = 16
_MISTAKES = 20
# How settings are called where their own names tell too little.
_SETTINGS = {"select__score_func": "selection by", "model__hidden_layer_sizes": "hidden layers"}
# Names of labels that a note lists before it says how many more there are.
_NAMED = 10


class Mistake(NamedTuple):
    """An answer that was wrong, and how often."""

    truth: str
    answer: str
    times: int


def write_page(evaluation: Evaluation, out: Path, now: datetime) -> Path:
    """Write the evaluation as one self-contained page and return its absolute path; raises OSError
    where it can't.
    """
    contenders = evaluation.comparison.contenders if evaluation.comparison else ()
    colours = {row.title: _COLOURS[place % len(_COLOURS)] for place, row in enumerate(contenders)}
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
        made=now,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, "utf-8")
    return out.resolve()


def notes_of(evaluation: Evaluation) -> list[str]:
    """Return what a reader must know before the figures: refused lines, repeated texts, labels that
    were never learnt.
    """
    data = evaluation.data
    notes = []
    if data.refused:
        notes.append(f"{len(data.refused)} lines were refused, the first {data.refused[0]}")
    if again := count_known_texts(data.train, data.test):
        notes.append(
            f"{again:,} of {len(data.test):,} test texts stand among the training texts too"
        )
    known = {row.label for row in data.train}
    if strange := sorted({row.label for row in data.test} - known):
        notes.append(f"labels of the test that no training row has: {_listed(strange)}")
    if len(known) == 1:
        notes.append(
            f"all training rows have the label {next(iter(known))}: there is nothing to tell apart"
        )
    return notes + list(evaluation.comparison.notes if evaluation.comparison else ())


def settings_of(contender: Contender) -> str:
    """Return the settings that were chosen, in words."""
    return ", ".join(
        f"{_SETTINGS.get(name, name.split('__')[-1])} {_short(value)}"
        for name, value in sorted(contender.settings.items())
    )


def mistakes_of(confusion: Confusion) -> list[Mistake]:
    """Return the commonest wrong answers, the most frequent first."""
    found = [
        Mistake(truth, answer, count)
        for truth, row in zip(confusion.labels, confusion.counts, strict=True)
        for answer, count in zip(confusion.labels, row, strict=True)
        if count and truth != answer
    ]
    return sorted(found, key=lambda mistake: (-mistake.times, mistake.truth, mistake.answer))[
        :_MISTAKES
    ]


def _matrix(confusion: Confusion) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return the rows of a matrix that can be read, each count with its share of the row; nothing
    of a larger one.
    """
    if len(confusion.labels) > _MATRIX_LABELS:
        return []
    return [
        (label, [(count, count / max(1, sum(row))) for count in row])
        for label, row in zip(confusion.labels, confusion.counts, strict=True)
    ]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)

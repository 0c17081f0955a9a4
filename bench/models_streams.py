"""Streams of the models' benchmark: cold start, concept drift, and out-of-scope texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from models_bars import Verdicts
from models_data import Rows, clinc_inside, clinc_outside, clinc_train, load, shuffled
from models_measures import as_rows, percent

from pipeline.models.evaluation.online_model import judge_online

FIRST_LABELS = (50, 200, 500, 1_000)
FIRST_SETS = ("banking77", "waimai", "sms")
COLD_UNSEEN = 1_500
DRIFT_SETS = ("banking77", "waimai", "smp2017")
# A model has recovered if its accuracy over the last 300 texts is 90 % of the former one.
WINDOW = 300
RECOVERED = 0.9
IN_SCOPE = 0.91


def report_first_labels(data: Path, seeds: Sequence[int], verdicts: Verdicts) -> None:
    """Print the accuracy on unseen texts after the first labels, a mean over orders of rows."""
    print(
        f"\n{'accuracy after so many labels':<32}"
        + "".join(f"{count:>8,}" for count in FIRST_LABELS)
    )
    for name in FIRST_SETS:
        curves: list[list[float]] = []
        for seed in seeds:
            rows = as_rows(shuffled(load(data, name), FIRST_LABELS[-1] + COLD_UNSEEN, seed))
            judged = judge_online(
                rows[: FIRST_LABELS[-1]], rows[FIRST_LABELS[-1] :], curve=FIRST_LABELS
            )
            curves.append([100 * scores.accuracy for _, scores in judged.curve])
        means = np.mean(curves, axis=0).tolist()
        print(f"  {name:<30}" + "".join(f"{value:>8.1f}" for value in means), flush=True)
        verdicts.note(f"after 200 labels %, {name}", means[FIRST_LABELS.index(200)])


def report_drift(data: Path, limit: int, seeds: Sequence[int], verdicts: Verdicts) -> None:
    """Print how many texts it takes to recover after every label changes its meaning."""
    print(
        "\nlabels permuted half-way: texts until 90 % of the former accuracy over 300 texts is"
        " back, and for good"
    )
    for name in DRIFT_SETS:
        needed: list[float] = []
        for seed in seeds:
            rows = permuted(shuffled(load(data, name), limit, seed), seed)
            if len(rows) // 2 < WINDOW:
                print(
                    f"  {name:<16}{len(rows):,} texts are too few: {WINDOW:,} before the change are"
                    " needed"
                )
                break
            judged = judge_online(as_rows(rows))
            guesses = judged.prequential.answers.labels
            right = np.array(
                [guess == truth for guess, (_, truth) in zip(guesses, rows, strict=True)]
            )
            first, last = recovery(right, len(rows) // 2)
            print(
                f"  {name:<16}{first or 'never':>8}{last or 'never':>8}   alarms {judged.drifts}",
                flush=True,
            )
            needed.append(first or float("inf"))
        if needed:
            verdicts.note(f"texts to recover, {name}", float(np.mean(needed)))


def permuted(rows: Rows, seed: int) -> Rows:
    """Return rows whose labels are permuted in the second half."""
    labels = sorted({label for _, label in rows})
    random.Random(seed).shuffle(labels)
    other = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    half = len(rows) // 2
    return [*rows[:half], *((text, other[label]) for text, label in rows[half:])]


def recovery(right: npt.NDArray[np.bool_], half: int) -> tuple[int | None, int | None]:
    """Return after how many texts the rolling accuracy first recovers, and after how many for good.

    None means never.
    """
    counted = np.concatenate([[0], np.cumsum(right)])
    rolling = (counted[WINDOW:] - counted[:-WINDOW]) / WINDOW
    level = RECOVERED * rolling[half - WINDOW]
    after = rolling[half - WINDOW + 1 :]
    fallen = np.flatnonzero(after < level)
    if not len(fallen):
        return 1, 1
    back = np.flatnonzero(after[fallen[0] :] >= level)
    first = int(fallen[0] + back[0] + 1) if len(back) else None
    last = int(fallen[-1]) + 2
    return first, last if last <= len(after) else None


def report_scope(data: Path, verdicts: Verdicts) -> None:
    """Print how many out-of-scope texts a threshold detects at an in-scope accuracy of 91 %."""
    train = clinc_train(data)
    inside, outside = clinc_inside(data), clinc_outside(data)
    judged = judge_online(as_rows(shuffled(train, None, 7)), as_rows([*inside, *outside]))
    assert judged.test is not None
    labels, probabilities = judged.test.answers.labels, judged.test.answers.probabilities
    of_inside, of_outside = probabilities[: len(inside)], probabilities[len(inside) :]
    right = np.array([label == truth for label, (_, truth) in zip(labels, inside, strict=False)])
    # A text counts as out of scope if its probability is below the threshold, or its label says so.
    order = np.sort(np.where(right, of_inside, np.inf))
    threshold = float(order[max(0, int(right.sum()) - int(np.ceil(IN_SCOPE * len(right))))])
    kept = percent((right & (of_inside >= threshold)).tolist())
    named = np.array([label == "oos" for label in labels[len(inside) :]])
    detected = percent((named | (of_outside < threshold)).tolist())
    print(
        f"\nclinc, outside every intent: {detected:.1f} % of {len(outside)} detected at an in-scope"
        f" accuracy of {kept:.1f} % (all answered: {percent(right.tolist()):.1f} %), threshold"
        f" {threshold:.3f}"
    )
    verdicts.note("clinc out of scope detected %", detected)
    verdicts.note("clinc in scope right %", kept)

"""Cost of the examples log: folding it, starting from a snapshot, and the effect of corrections.

Corrections: ten of a hundred labels of a shuffled data set are wrong, and corrected within 400
examples; accuracy is on 1,500 unseen texts. Times are CPU seconds of this process.

    python bench/models_examples.py --data ../shared/data [--labels 100000] [--tasks
    banking77,waimai,sms]
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from models_bars import Verdicts
from models_data import TASKS, Rows, load, shuffled

from pipeline.models.examples_fold import ExamplesFold, ReplayPlan
from pipeline.models.features import Features, extract_features
from pipeline.models.heads import HEADS
from pipeline.models.learner import Learner, warm_up
from pipeline.models.replica import Replica
from pipeline.models.snapshot import dump_fold, load_fold
from pipeline.text.normal_form import normalise

ORDERS = 3
UNSEEN, STREAM = 1_500, 4_000
WRONG_SHARE, LONGEST_DELAY = 0.1, 400


def corrected(
    stream: Sequence[tuple[Features, str]], labels: list[str], weight: float | None, seed: int
) -> Learner:
    """Return a learner of a stream with wrong labels, which are corrected later with a weight.

    Weight None corrects nothing, and weight 0 makes no label wrong.
    """
    learner, chance = Learner(labels), random.Random(seed)
    pending: list[tuple[int, Features, str]] = []
    for index, (features, label) in enumerate(stream):
        wrong, other, delay = (
            chance.random() < WRONG_SHARE,
            chance.choice(labels),
            chance.randrange(1, LONGEST_DELAY),
        )
        if wrong and weight != 0:
            learner.learn(features, other)
            pending.append((index + delay, features, label))
        else:
            learner.learn(features, label)
        if weight:
            for due, late, right in pending:
                if due <= index:
                    learner.learn(late, right, weight)
            pending = [correction for correction in pending if correction[0] > index]
    return learner


def report_corrections(data: Path, tasks: Sequence[str]) -> None:
    """Print the accuracy without wrong labels, with corrections by weight, and uncorrected."""
    print(
        f"{'task':12} {'never wrong':>12} {'own weight':>11} {'twice':>7} {'three times':>12}"
        f" {'uncorrected':>12}"
    )
    for task in tasks:
        scores: list[list[float]] = [[] for _ in range(5)]
        for seed in range(ORDERS):
            rows = shuffled(load(data, task), None, seed)
            stream = [
                (extract_features([normalise(text)]), label)
                for text, label in rows[: min(STREAM, len(rows) - UNSEEN)]
            ]
            unseen, labels = rows[-UNSEEN:], sorted({label for _, label in rows})
            texts = extract_features([normalise(text) for text, _ in unseen])
            for column, weight in enumerate((0.0, 1.0, 2.0, 3.0, None)):
                names, probabilities = corrected(stream, labels, weight, seed + 1).predict_proba(
                    texts
                )
                best = probabilities.argmax(axis=1)
                right = sum(
                    names[index] == label for index, (_, label) in zip(best, unseen, strict=True)
                )
                scores[column].append(100 * right / len(unseen))
        means = [sum(column) / len(column) for column in scores]
        print(
            f"{task:12} {means[0]:12.1f} {means[1]:11.1f} {means[2]:7.1f} {means[3]:12.1f}"
            f" {means[4]:12.1f}",
            flush=True,
        )


def examples(rows: Rows, count: int) -> Iterator[dict[str, Any]]:
    """Yield examples of all heads over the texts, each of its own record."""
    for index in range(count):
        head = HEADS[index % len(HEADS)]
        yield {
            "kind": "example",
            "label_id": str(UUID(int=2 * index + 1)),
            "record_id": str(UUID(int=2 * index)),
            "head": head.name,
            "value": list(head.labels)[index // len(HEADS) % len(head.labels)],
            "text": rows[index % len(rows)][0],
            "source": "person",
            "weight": 1.0,
            "direction": "inbound",
            "labelled_at": "2026-01-05T09:00:00Z",
        }


def no_replay(_plan: ReplayPlan) -> Replica:
    """Raise AssertionError, because no event of this benchmark needs a replay."""
    raise AssertionError


def resident_mb() -> float:
    """Return the resident memory of this process in megabytes (Linux)."""
    return (
        int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 1e6
    )


def report_fold(data: Path, count: int, verdicts: Verdicts) -> None:
    """Print the cost of folding, memory, snapshot size, and the start time from a snapshot."""
    events = list(examples(load(data, "banking77"), count))
    before = resident_mb()
    fold, start = ExamplesFold(), time.process_time()
    for offset, event in enumerate(events):
        fold.apply(event, offset, no_replay)
    classifier, folded = fold.classifier(), time.process_time()
    grown = resident_mb() - before
    stored, dumped = dump_fold(fold), time.process_time()
    load_fold(stored).classifier()
    started = time.process_time() - dumped
    assert dump_fold(load_fold(stored)) == stored
    heads = len(classifier.heads_with_model())
    print(
        f"\n{count:,} labels over {heads} heads: fold {1e6 * (folded - start) / count:.0f} µs an"
        f" example, {folded - start:.1f} s in all; {grown:.0f} MB of memory, effective labels"
        " included"
    )
    print(
        f"snapshot {len(stored) / 1e6:.1f} MB, written in {dumped - folded:.2f} s, read until it"
        f" answers in {started:.2f} s"
    )
    verdicts.note("memory MB of all default heads", grown)
    verdicts.note("start s from a snapshot of 100,000 labels", started)


def main(arguments: Sequence[str]) -> int:
    """Run the requested reports; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--labels", type=int, default=100_000, help="examples to fold")
    parser.add_argument(
        "--tasks", default="banking77,waimai,sms", help="comma-separated; none for the fold only"
    )
    options = parser.parse_args(arguments)
    names = [name for name in options.tasks.split(",") if name and name != "none"]
    if unknown := [name for name in names if name not in TASKS]:
        parser.error(f"no such tasks: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    warm_up()
    report_fold(options.data, options.labels, Verdicts())
    if names:
        report_corrections(options.data, names)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

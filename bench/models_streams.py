"""Streams of the models' benchmark: the first labels, labels that change their meaning, texts of no label, and costs."""

from __future__ import annotations

import gzip
import json
import random
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from models_data import TASKS, Rows, load
from models_measures import BATCH, answered, features_of, learnt, percent, shuffled, timed

from pipeline.models.heads import HEADS
from pipeline.models.replica import Replica
from pipeline.models.snapshot import dump
from pipeline.models.snapshot import load as load_snapshot

FIRST_LABELS = (50, 200, 500, 1_000)
FIRST_SETS = ("banking77", "waimai", "sms")
COLD_UNSEEN = 1_500
DRIFT_SETS = ("banking77", "waimai", "smp2017")
# Recovered is who has 90 % of the former accuracy over the last 300 texts.
WINDOW = 300
RECOVERED = 0.9
IN_SCOPE = 0.91


def report_first_labels(data: Path, seeds: Sequence[int]) -> None:
    """Print the accuracy on unseen texts after the first labels, a mean over orders."""
    print(f"\n{'accuracy after so many labels':<32}" + "".join(f"{count:>8,}" for count in FIRST_LABELS))
    for name in FIRST_SETS:
        curves: list[list[float]] = []
        for seed in seeds:
            rows = shuffled(load(data, name), FIRST_LABELS[-1] + COLD_UNSEEN, seed)
            unseen = rows[FIRST_LABELS[-1] :]
            held_out = features_of(unseen)
            curves.append([percent(answered(learnt(rows[:n])[0], held_out).right(unseen)) for n in FIRST_LABELS])
        print(f"  {name:<30}" + "".join(f"{value:>8.1f}" for value in np.mean(curves, axis=0)), flush=True)


def report_drift(data: Path, names: Sequence[str], limit: int, seeds: Sequence[int]) -> None:
    """Print how long it takes to recover when every label changes its meaning, and alarms where none does."""
    print("\nlabels permuted half-way: texts until 90 % of the former accuracy over 300 texts is back, and for good")
    for name in DRIFT_SETS:
        for seed in seeds:
            rows = permuted(shuffled(load(data, name), limit, seed), seed)
            learner, guesses, _, _ = learnt(rows)
            right = np.array([guess == truth for guess, (_, truth) in zip(guesses, rows, strict=True)])
            first, last = recovery(right, len(rows) // 2)
            print(f"  {name:<16}{first or 'never':>8}{last or 'never':>8}   alarms {learner.drifts}", flush=True)
    alarms = {name: [learnt(shuffled(load(data, name), limit, seed))[0].drifts for seed in seeds] for name in names}
    print(f"  alarms on undisturbed sets: {alarms}")


def permuted(rows: Rows, seed: int) -> Rows:
    """Return rows whose labels all stand for another from the middle on."""
    labels = sorted({label for _, label in rows})
    random.Random(seed).shuffle(labels)
    other = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    half = len(rows) // 2
    return [*rows[:half], *((text, other[label]) for text, label in rows[half:])]


def recovery(right: npt.NDArray[np.bool_], half: int) -> tuple[int | None, int | None]:
    """Return after how many texts the rolling accuracy is back for the first time since its fall, and after how many it
    was last below; None for never."""
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


def report_scope(data: Path) -> None:
    """Print how many texts outside every intent are told by low probability, where in-scope accuracy stays 91 %."""
    parts = json.loads(gzip.decompress((data / "text_en/clinc_oos/data_full_train_val.json.gz").read_bytes()))
    train: Rows = [(text, label) for part in ("train", "oos_train") for text, label in parts[part]]
    learner = learnt(shuffled(train, len(train), 7))[0]
    inside = [(text, label) for text, label in parts["val"]]
    outside = [(text, "oos") for text, _ in parts["oos_val"]]
    found = [answered(learner, features_of(rows)) for rows in (inside, outside)]
    right = found[0].right(inside)
    # An answer counts while its probability is over the threshold; below it, and where the label itself says so, the
    # text is taken for outside.
    order = np.sort(np.where(right, found[0].probabilities, np.inf))
    threshold = float(order[max(0, int(right.sum()) - int(np.ceil(IN_SCOPE * len(right))))])
    kept = right & (found[0].probabilities >= threshold)
    outside_labels = np.array([label == "oos" for label in found[1].labels])
    told = outside_labels | (found[1].probabilities < threshold)
    print(
        f"\nclinc, outside every intent: {percent(told):.1f} % of {len(outside)} told at an in-scope accuracy of "
        f"{percent(kept):.1f} % (all answered: {percent(right):.1f} %), threshold {threshold:.3f}"
    )


def report_costs(data: Path) -> None:
    """Print what the fold, a snapshot after one more example, the start from a stored one, and answers cost."""
    events = _examples(data, 4_000)
    replica = Replica()
    _, apply_s = timed(lambda: [replica.apply(event, offset) for offset, event in enumerate(events)])
    snapshots: list[float] = []
    for event in events[:20]:
        replica.apply(event, replica.offset + 1)
        _, seconds = timed(replica.snapshot)
        snapshots.append(seconds)
    per_example = 1e6 * apply_s / len(events)
    print(f"\nreplica: fold {per_example:.0f} µs an example, snapshot {1e6 * np.median(snapshots):.0f} µs")
    for name in ("banking77", "waimai"):
        texts = [text for text, _ in load(data, name)[:4_096]]
        classifier = replica.snapshot()
        batches = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
        start = time.process_time()
        for batch in batches:
            classifier.classify(batch, ["inbound"] * len(batch))
        seconds = time.process_time() - start
        print(f"  all heads learnt, {name}: {1e6 * seconds / len(texts):.0f} µs a text")
    events = _examples(data, 100_000)
    before = _resident()
    many = Replica()
    for offset, event in enumerate(events):
        many.apply(event, offset)
    held = many.snapshot()
    grown = _resident() - before
    stored = dump(many)
    del held
    _, seconds = timed(lambda: load_snapshot(stored).snapshot())
    print(
        f"  100,000 labels over all heads: {grown:.0f} MB of memory, {len(stored) / 1e6:.0f} MB stored, "
        f"start {seconds:.1f} s"
    )


def _resident() -> float:
    """Return the megabytes this process has in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 1e6


def _examples(data: Path, count: int) -> list[dict[str, object]]:
    """Return examples of real texts for every head in turn; what the label is does not matter to the cost."""
    texts = [text for name in TASKS for text, _ in load(data, name) if text.strip()]
    chance = random.Random(7)
    chance.shuffle(texts)
    events: list[dict[str, object]] = []
    for number in range(count):
        head = HEADS[number % len(HEADS)]
        value = list(head.labels)[hash_of(texts[number % len(texts)]) % len(head.labels)]
        events.append({"kind": "example", "head": head.name, "value": value, "text": texts[number % len(texts)]})
    return events


def hash_of(text: str) -> int:
    """Return a number that a text's first characters make up: labels that can be learnt."""
    return sum(map(ord, text[:2]))

"""What answers of every head cost, once all have learnt: on each set, and in the classify stage alone (bench/classify.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from classify import chats, cost, parts, taught
from models_bars import Verdicts
from models_data import load

from pipeline.models.characters import normalise
from pipeline.models.features import extract

# Texts of a set, labels of a head, rounds of which the least counts, and chats for the stage: seconds each.
TEXTS, LABELS, ROUNDS, CHATS = 2_000, 400, 3, 20_000


def report_answers(data: Path, names: Sequence[str], verdicts: Verdicts) -> None:
    """Print CPU microseconds a text of all default heads, with and without what features cost, and the stage's records/s."""
    models = taught(data, LABELS)
    whole: list[float] = []
    features: list[float] = []
    for name in names:
        texts = [text for text, _ in load(data, name)[:TEXTS]]
        whole.append(cost(lambda batch: models.classify(batch, ["inbound"] * len(batch)), texts, ROUNDS))
        features.append(cost(lambda batch: extract([normalise(text) for text in batch]), texts, ROUNDS))
        print(
            f"  all heads learnt, {name:<12}{whole[-1]:>7.1f} µs a text, of it features {features[-1]:.1f}", flush=True
        )
    verdicts.note("all default heads µs, features apart, mean of the sets", float(np.mean(whole) - np.mean(features)))
    us = cost(parts(models, models)["classify, the whole step"], chats(data, CHATS), ROUNDS)
    print(
        f"  the classify stage alone, chats of at most 200 characters: {us:.1f} µs, {1e6 / us:,.0f} records/s of one core"
    )
    verdicts.note("chat records/s, the classify stage alone", 1e6 / us)

"""Cost of answers of all heads after learning: on each data set, and in the classify stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from classify import chats, cost, examples, parts, trained_classifier
from models_bars import Verdicts
from models_data import load

# Texts per data set, labels per head, rounds (the lowest counts), and chats for the stage: each
# takes seconds.
TEXTS, LABELS, ROUNDS, CHATS = 2_000, 400, 3, 20_000


def report_answers(data: Path, names: Sequence[str], verdicts: Verdicts) -> None:
    """Print CPU microseconds per text of features, models and whole answers, and records/s."""
    models = trained_classifier(examples(data, LABELS))
    timed = parts(models, models)
    columns = f"{'features':>10}{'their models':>14}{'rules and all':>15}"
    print(f"\n{'all heads learnt, µs a text':<32}{columns}")
    of_heads: list[float] = []
    for name in names:
        texts = [text for text, _ in load(data, name)[:TEXTS]]
        features = cost(timed["normal form, features"], texts, ROUNDS)
        of_models = cost(timed["... and the models"], texts, ROUNDS) - features
        whole = cost(timed["classify, the models"], texts, ROUNDS)
        of_heads.append(whole - features)
        print(f"  {name:<30}{features:>10.1f}{of_models:>14.1f}{whole:>15.1f}", flush=True)
    verdicts.note("all default heads µs, rules and all but features", float(np.mean(of_heads)))
    us = cost(timed["classify, the whole step"], chats(data, CHATS), ROUNDS)
    print(
        f"  the classify stage alone, chats of at most 200 characters: {us:.1f} µs, {1e6 / us:,.0f}"
        " records/s of one core"
    )
    verdicts.note("chat records/s, the classify stage alone", 1e6 / us)

"""The classify stage alone: chats of at most 200 characters through every default head, in batches as enrich takes them.

Texts are those under --data that a customer might write, English and Chinese. CPU microseconds a record of this process, the least of
several rounds, for others may use the machine; records/s are what one core would do at that cost.

    python bench/classify.py --data ../shared/data [--rounds 3] [--records 20000] [--labels 400] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from models_data import NEEDS, load

from pipeline.models.characters import normalise
from pipeline.models.classifier import Classifier, hints_of, rule_answer
from pipeline.models.clauses import clauses
from pipeline.models.features import extract
from pipeline.models.heads import HEADS
from pipeline.models.learner import warm_up
from pipeline.models.replica import Replica
from pipeline.models.rules import read
from pipeline.outcomes import Context
from pipeline.processors.classify import Classify

NOW = datetime(2026, 11, 20, tzinfo=UTC)
BATCH = 2_000
LONGEST = 200
SEED = 7
GOAL = 5_000
SETS = ("banking77", "bitext", "airline", "sms", "waimai", "smp2017", "shopping", "tnews")


def chats(data: Path, count: int) -> list[str]:
    """Return texts of the sets in equal parts, shuffled."""
    found: list[str] = []
    for name in SETS:
        texts = [text for text, _ in load(data, name) if len(text) <= LONGEST]
        random.Random(SEED).shuffle(texts)
        found += (texts * (count // len(SETS) // len(texts) + 1))[: count // len(SETS)]
    random.Random(SEED).shuffle(found)
    return found


def taught(data: Path, labels: int) -> Classifier:
    """Return the models after so many labels of every head."""
    sets = {
        "need": [(text, sorted(NEEDS[intent])[0]) for text, intent in load(data, "bitext") if intent in NEEDS],
        "sentiment": [(text, label) for text, label in load(data, "airline")],
        "spam": load(data, "sms"),
    }
    sets |= {
        head.name: [(text, list(head.labels)[len(text) % len(head.labels)]) for text, _ in load(data, "waimai")]
        for head in HEADS
        if head.name not in sets
    }
    replica, offset = Replica(), 0
    for head, rows in sets.items():
        random.Random(SEED).shuffle(rows)
        for text, value in rows[:labels]:
            replica.apply({"kind": "example", "head": head, "value": value, "text": text, "weight": 1.0}, offset)
            offset += 1
    return replica.snapshot()


def cost(action: Callable[[Sequence[str]], Any], texts: Sequence[str], rounds: int) -> float:
    """Return the least CPU microseconds a text of several rounds."""
    least = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for first in range(0, len(texts), BATCH):
            action(texts[first : first + BATCH])
        least = min(least, time.process_time() - start)
    return 1e6 * least / len(texts)


def parts(models: Classifier, single: Classifier) -> dict[str, Callable[[Sequence[str]], Any]]:
    """Return what the stage is made of, each timed by itself."""

    def rules(texts: Sequence[str]) -> None:
        for text in texts:
            reading = read(text)
            for head in HEADS:
                rule_answer(head, reading)

    def predict(texts: Sequence[str]) -> None:
        features = extract([normalise(text) for text in texts])
        for view in models.views:
            if view.model is not None:
                view.model.predict_proba(features, hints_of(view.head, [rule_answer(view.head, read(""))] * len(texts)))

    def stage(texts: Sequence[str]) -> None:
        # As much of an item as the step reads.
        asked = SimpleNamespace(cleaned=SimpleNamespace(data=None), direction="inbound")
        Classify()([SimpleNamespace(text=text, identified=asked) for text in texts], Context(NOW, models))

    return {
        "classify, the whole step": stage,
        "classify, the models": lambda texts: models.classify(texts, ["inbound"] * len(texts)),
        "of it: normal form": lambda texts: [normalise(text) for text in texts],
        "normal form, tokens, lists": lambda texts: [read(text) for text in texts],
        "... and the rules": rules,
        "normal form, features": lambda texts: extract([normalise(text) for text in texts]),
        "... and the models": predict,
        "clauses cut": lambda texts: [clauses(read(text)) for text in texts],
        "classify, one need only": lambda texts: single.classify(texts, ["inbound"] * len(texts)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    warm_up()
    # As in hosts, which collect cycles between batches.
    gc.disable()
    texts = chats(options.data, options.records)
    mean = sum(map(len, texts)) / len(texts)
    for name, models in (
        ("rules only", Replica().snapshot()),
        ("every head learnt", taught(options.data, options.labels)),
    ):
        single = replace(
            models, views=tuple(replace(v, head=replace(v.head, combinable=frozenset())) for v in models.views)
        )
        print(f"\n{name}: {len(texts)} texts of {mean:.0f} characters, batches of {BATCH}")
        for part, action in parts(models, single).items():
            us = cost(action, texts, options.rounds)
            told = f"   {1e6 / us:8,.0f} records/s (goal {GOAL:,})" if part.startswith("classify") else ""
            print(f"  {part:28} {us:7.1f} us{told}")
        if options.profile:
            with cProfile.Profile() as profile:
                cost(parts(models, single)["classify, the whole step"], texts, 1)
            pstats.Stats(profile).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    main()

"""Cost of the classify stage alone: chats of at most 200 characters through all default heads.

Chats come in batches, as in enrich. Texts are those under --data that a customer might write, in
English and Chinese. Figures are CPU microseconds per record, the lowest of several rounds because
other processes may use the machine; records/s is what one core would do at that cost. Then labels
arrive while chats come at the target rate, to measure the time until a label shows in an answer.

    python bench/classify.py --data ../shared/data [--rounds 3] [--records 20000] [--labels 400]
    [--seconds 20] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import orjson
from models_data import NEEDS, load

from pipeline.log.port import Message
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.answers import NO_ANSWER
from pipeline.models.classifier import Classifier, rule_answer, rule_hints
from pipeline.models.clauses import split_clauses
from pipeline.models.features import extract_features
from pipeline.models.heads import HEADS
from pipeline.models.learner import warm_up
from pipeline.models.lexicon_reading import LexiconReading, read_texts
from pipeline.models.replica import Replica
from pipeline.outcomes import Context
from pipeline.processors.classify import Classify
from pipeline.runtime.model_worker import ModelWorker
from pipeline.text.normal_form import normalise
from schemas.topics import EXAMPLES

NOW = datetime(2026, 11, 20, tzinfo=UTC)
BATCH = 2_000
LONGEST = 200
SEED = 7
GOAL = 5_000
SETS = ("banking77", "bitext", "airline", "sms", "waimai", "smp2017", "shopping", "tnews")


def chats(data: Path, count: int) -> list[str]:
    """Return texts of all data sets in equal parts, shuffled."""
    texts_of_all: list[str] = []
    for name in SETS:
        texts = [text for text, _ in load(data, name) if len(text) <= LONGEST]
        random.Random(SEED).shuffle(texts)
        texts_of_all += (texts * (count // len(SETS) // len(texts) + 1))[: count // len(SETS)]
    random.Random(SEED).shuffle(texts_of_all)
    return texts_of_all


def examples(data: Path, labels: int) -> list[dict[str, Any]]:
    """Return examples of every head, `labels` of each."""
    sets = {
        "need": [
            (text, sorted(NEEDS[intent])[0])
            for text, intent in load(data, "bitext")
            if intent in NEEDS
        ],
        "sentiment": [(text, label) for text, label in load(data, "airline")],
        "spam": load(data, "sms"),
    }
    sets |= {
        head.name: [
            (text, list(head.labels)[len(text) % len(head.labels)])
            for text, _ in load(data, "waimai")
        ]
        for head in HEADS
        if head.name not in sets
    }
    for rows in sets.values():
        random.Random(SEED).shuffle(rows)
    return [
        {"kind": "example", "head": head, "value": value, "text": text, "weight": 1.0}
        for head, rows in sets.items()
        for text, value in rows[:labels]
    ]


def trained_classifier(events: Sequence[dict[str, Any]]) -> Classifier:
    """Return the classifier after these examples."""
    replica = Replica()
    for offset, event in enumerate(events):
        replica.apply(event, offset)
    return replica.classifier()


def cost(action: Callable[[Sequence[str]], Any], texts: Sequence[str], rounds: int) -> float:
    """Return CPU microseconds per text, the lowest of several rounds."""
    lowest = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for first in range(0, len(texts), BATCH):
            action(texts[first : first + BATCH])
        lowest = min(lowest, time.process_time() - start)
    return 1e6 * lowest / len(texts)


def parts(models: Classifier, single: Classifier) -> dict[str, Callable[[Sequence[str]], Any]]:
    """Return the parts of the stage by title, to time each alone."""

    def readings(texts: Sequence[str]) -> list[LexiconReading]:
        return read_texts(texts, [normalise(text) for text in texts])

    def rules(texts: Sequence[str]) -> None:
        for reading in readings(texts):
            for head in HEADS:
                rule_answer(head, reading)

    def predict(texts: Sequence[str]) -> None:
        features = extract_features([normalise(text) for text in texts])
        for view in models.views:
            if view.model is not None:
                view.model.predict_proba(features, rule_hints(view.head, [NO_ANSWER] * len(texts)))

    def stage(texts: Sequence[str]) -> None:
        # Only the attributes that the step reads.
        cleaned, identified = SimpleNamespace(data=None), SimpleNamespace(direction="inbound")
        drafts = [
            SimpleNamespace(cleaned=cleaned, identified=identified, redacted_text=text)
            for text in texts
        ]
        Classify()(drafts, Context(NOW, models))

    return {
        "classify, the whole step": stage,
        "classify, the models": lambda texts: models.classify(texts, ["inbound"] * len(texts)),
        "of it: normal form": lambda texts: [normalise(text) for text in texts],
        "normal form, tokens, lists": readings,
        "... and the rules": rules,
        "normal form, features": lambda texts: extract_features(
            [normalise(text) for text in texts]
        ),
        "... and the models": predict,
        "clauses cut": lambda texts: split_clauses(readings(texts)),
        "classify, one need only": lambda texts: single.classify(texts, ["inbound"] * len(texts)),
    }


def report_labels(events: Sequence[dict[str, Any]], texts: Sequence[str], seconds: float) -> None:
    """Print whether the stage keeps up with the target rate, and when new labels show in answers.

    About two labels per second arrive meanwhile.
    """
    with TemporaryDirectory() as folder:
        path, sent, stop = Path(folder) / "log", dict[int, float](), threading.Event()
        log = SqliteLog(path)
        with log.transaction() as transaction:
            transaction.produce(
                [Message(EXAMPLES.name, b"label", orjson.dumps(event)) for event in events]
            )
        learner = ModelWorker(log, Path(folder) / "snapshot")

        def label() -> None:
            mine, chance, offset = SqliteLog(path), random.Random(SEED), len(events)
            while not stop.wait(chance.random()):
                with mine.transaction() as transaction:
                    transaction.produce(
                        [
                            Message(
                                EXAMPLES.name, b"label", orjson.dumps(events[offset % len(events)])
                            )
                        ]
                    )
                sent[offset] = time.perf_counter()
                offset += 1

        writer = threading.Thread(target=label)
        writer.start()
        shown, done, most_late = dict[int, float](), 0, 0.0
        start = time.perf_counter()
        while (now := time.perf_counter()) < start + seconds:
            due = min(int((now - start) * GOAL), done + BATCH)
            if due == done:
                time.sleep(1 / GOAL)
                continue
            most_late = max(most_late, now - start - done / GOAL)
            learner.catch_up()
            answers = learner.models().classify(
                [texts[n % len(texts)] for n in range(done, due)], ["inbound"] * (due - done)
            )
            known = max(
                int(answer.version.split("/")[1])
                for answer in answers[0].values()
                if answer.source == "model"
            )
            done += len(answers)
            shown |= dict.fromkeys(
                [offset for offset in list(sent) if offset <= known and offset not in shown],
                time.perf_counter(),
            )
            gc.collect(0)
        stop.set()
        writer.join()
        took = sorted(shown[offset] - sent[offset] for offset in shown)
    print(
        f"\n{done / seconds:,.0f} chats/s answered (goal {GOAL:,}), none left out, the oldest"
        f" {1e3 * most_late:.0f} ms late"
    )
    median, most = took[len(took) // 2], took[-1]
    print(
        f"{len(took)} labels meanwhile: each shows after {1e3 * median:.0f} ms at the median,"
        f" {1e3 * most:.0f} ms at most (goal 2,000)"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="how long chats and labels come"
    )
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    warm_up()
    # As in hosts, which collect cycles between batches.
    gc.disable()
    texts = chats(options.data, options.records)
    mean = sum(map(len, texts)) / len(texts)
    events = examples(options.data, options.labels)
    for name, models in (
        ("rules only", Replica().classifier()),
        ("every head learnt", trained_classifier(events)),
    ):
        single = replace(
            models,
            views=tuple(
                replace(v, head=replace(v.head, combinable=frozenset())) for v in models.views
            ),
        )
        print(f"\n{name}: {len(texts)} texts of {mean:.0f} characters, batches of {BATCH}")
        for part, action in parts(models, single).items():
            us = cost(action, texts, options.rounds)
            rate = (
                f"   {1e6 / us:8,.0f} records/s (goal {GOAL:,})"
                if part.startswith("classify")
                else ""
            )
            print(f"  {part:28} {us:7.1f} us{rate}")
        if options.profile:
            with cProfile.Profile() as profile:
                cost(parts(models, single)["classify, the whole step"], texts, 1)
            pstats.Stats(profile).sort_stats("tottime").print_stats(15)
    report_labels(events, texts, options.seconds)


if __name__ == "__main__":
    main()

"""Quality and speed of the online models on real data sets, beside scikit-learn in the same run.

Method: shuffle a set with seed 7; the first 80 % is one pass of test-then-train (prequential accuracy), the last 20 % is
never learnt (unseen accuracy). Then what the rules reach with no label at all, and how few labels the model needs on
top of them. Times are CPU microseconds of this process, a mean over all texts.

    python bench/models_quality.py --data ../shared/data [--tasks banking77,waimai] [--peers] [--limit 20000]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from models_data import NEEDS, TASKS, Rows, chinese_not_spam, load, spam_mails

from pipeline.models.characters import normalise
from pipeline.models.features import Features, extract
from pipeline.models.heads import HEADS
from pipeline.models.learner import Hints, Learner, LearnerSettings, warm_up
from pipeline.models.replica import Replica
from pipeline.models.rules import RuleAnswer, read

SEED = 7
STREAM_SHARE = 0.8
BATCH = 256
# scikit-learn copies its dense weights in each call (2^18 features × classes): one text a call would take hours.
PEER_BATCH = 32
CURVE = (10, 30, 100, 300, 1_000)


@dataclass(frozen=True)
class Result:
    """Accuracies in percent and CPU microseconds a text."""

    prequential: float
    unseen: float
    features_us: float
    predict_us: float
    learn_us: float


def split(rows: Rows, limit: int) -> tuple[Rows, Rows]:
    """Return the stream and the unseen part."""
    shuffled = list(rows)
    random.Random(SEED).shuffle(shuffled)
    shuffled = shuffled[:limit]
    cut = int(len(shuffled) * STREAM_SHARE)
    return shuffled[:cut], shuffled[cut:]


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """Return what the action returns and its CPU seconds."""
    start = time.process_time()
    result = action()
    return result, time.process_time() - start


def features_of(rows: Rows) -> list[Features]:
    """Return the features of texts in batches, as the pipeline extracts them."""
    texts = [normalise(text) for text, _ in rows]
    return [extract(texts[first : first + BATCH]) for first in range(0, len(texts), BATCH)]


def accuracy(answers: Sequence[str | None], rows: Rows) -> float:
    """Return the percentage of right answers."""
    return 100.0 * sum(answer == truth for answer, (_, truth) in zip(answers, rows, strict=True)) / max(1, len(rows))


def predicted(learner: Learner, batches: Sequence[Features]) -> list[str]:
    """Return the most probable label of each text."""
    answers: list[str] = []
    for batch in batches:
        labels, probabilities = learner.predict_proba(batch)
        answers += [labels[place] for place in probabilities.argmax(axis=1)]
    return answers


def run_ours(stream: Rows, unseen: Rows) -> Result:
    """Return what our learner reaches."""
    learner = Learner()
    batches, features_s = timed(lambda: features_of(stream))
    truths = [truth for _, truth in stream]

    def learn_all() -> list[str | None]:
        return [
            learner.learn(batch, truths[number * BATCH + row], row=row)
            for number, batch in enumerate(batches)
            for row in range(len(batch))
        ]

    guesses, learn_s = timed(learn_all)
    held_out = features_of(unseen)
    answers, predict_s = timed(lambda: predicted(learner, held_out))
    per_text = 1e6 / len(stream)
    return Result(
        accuracy(guesses, stream),
        accuracy(answers, unseen),
        features_s * per_text,
        predict_s * 1e6 / len(unseen),
        learn_s * per_text,
    )


def run_sklearn(stream: Rows, unseen: Rows, chinese: bool) -> Result:
    """Return what scikit-learn's HashingVectorizer and SGDClassifier reach in one pass, in batches of `PEER_BATCH`."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier

    grams = {"analyzer": "char", "ngram_range": (1, 3)} if chinese else {"analyzer": "word", "ngram_range": (1, 2)}
    vectorizer = HashingVectorizer(n_features=2**18, alternate_sign=False, **grams)
    # alpha 1e-4, the default, was the best of five settings tried on two sets.
    model = SGDClassifier(loss="log_loss", alpha=1e-4, random_state=SEED)
    truths = np.array([truth for _, truth in stream])
    classes = np.unique(truths)
    matrix, features_s = timed(lambda: vectorizer.transform([text for text, _ in stream]))
    answers: list[str | None] = []
    predict_s = learn_s = 0.0
    for first in range(0, len(stream), PEER_BATCH):
        part, labels = matrix[first : first + PEER_BATCH], truths[first : first + PEER_BATCH]
        start = time.process_time()
        answers += model.predict(part).tolist() if first else [None] * len(labels)
        middle = time.process_time()
        model.partial_fit(part, labels, classes)
        predict_s += middle - start
        learn_s += time.process_time() - middle
    final = model.predict(vectorizer.transform([text for text, _ in unseen])).tolist()
    per_text = 1e6 / len(stream)
    return Result(
        accuracy(answers, stream),
        accuracy(final, unseen),
        features_s * per_text,
        predict_s * per_text,
        learn_s * per_text,
    )


def report_tasks(data: Path, names: Sequence[str], limit: int, peers: bool) -> None:
    """Print one line for each task and learner, and the means."""
    print(
        f"{'task':<28}{'learner':<12}{'prequential':>12}{'unseen':>8}{'features µs':>13}{'predict µs':>12}{'test+learn µs':>15}"
    )
    results: dict[str, list[Result]] = {}
    for name in names:
        stream, unseen = split(load(data, name), limit)
        runs = {"switchboard": run_ours(stream, unseen)}
        if peers:
            runs["sklearn"] = run_sklearn(stream, unseen, TASKS[name].chinese)
        for learner, result in runs.items():
            results.setdefault(learner, []).append(result)
            print_result(f"{name} ({len({truth for _, truth in stream})})", learner, result)
    for learner, of_learner in results.items():
        columns = np.array([[r.prequential, r.unseen, r.features_us, r.predict_us, r.learn_us] for r in of_learner])
        print_result(f"mean of {len(of_learner)}", learner, Result(*columns.mean(axis=0).tolist()))


def print_result(task: str, learner: str, result: Result) -> None:
    """Print one line of the table."""
    print(
        f"{task:<28}{learner:<12}{result.prequential:>12.1f}{result.unseen:>8.1f}{result.features_us:>13.1f}"
        f"{result.predict_us:>12.1f}{result.learn_us:>15.1f}",
        flush=True,
    )


def polarity(label: str) -> str:
    """Return the label without its "very"."""
    return label.removeprefix("very_")


def rule_accuracy(head: str, rows: Rows, right: Callable[[str, str], bool]) -> str:
    """Return a line on the rules' answers to texts: accuracy, how often they abstain, and their cost."""
    row = next(entry for entry in HEADS if entry.name == head)
    if row.rule is None:
        raise ValueError(f"the head {head} has no rule")
    rule = row.rule

    def answer_all() -> list[RuleAnswer]:
        return [rule(read(text)) for text, _ in rows]

    answers, seconds = timed(answer_all)
    hits = sum(right(answer.label, truth) for answer, (_, truth) in zip(answers, rows, strict=True))
    silent = sum(answer.confidence < row.threshold for answer in answers)
    return (
        f"{100 * hits / len(rows):6.1f} % right, {100 * silent / len(rows):4.1f} % under the head's threshold, "
        f"{1e6 * seconds / len(rows):.0f} µs, {len(rows):,} texts"
    )


def all_heads_cost(rows: Rows) -> float:
    """Return the CPU microseconds to answer a text by rule for every head."""
    rules = [head.rule for head in HEADS if head.rule is not None]
    _, seconds = timed(lambda: [[rule(reading) for rule in rules] for reading in (read(text) for text, _ in rows)])
    return 1e6 * float(seconds) / len(rows)


def report_cold_start(data: Path, limit: int) -> None:
    """Print what the rules reach with no label at all."""
    print("\nrules, no label given")

    def same(label: str, truth: str) -> bool:
        return polarity(label) == truth

    sets: dict[str, tuple[str, Rows, Callable[[str, str], bool]]] = {
        "sentiment, waimai_10k (neutral counts as wrong)": ("sentiment", sentiment_rows(data, "waimai"), same),
        "sentiment, online_shopping (neutral counts as wrong)": ("sentiment", load(data, "shopping_polarity"), same),
        "sentiment, hotel reviews (neutral counts as wrong)": ("sentiment", load(data, "hotel_polarity"), same),
        "sentiment, airline_tweets (3 classes)": ("sentiment", sentiment_rows(data, "airline"), same),
        "spam, sms_spam (en)": ("spam", load(data, "sms"), same),
        "spam, SpamAssassin mails (en)": ("spam", spam_mails(data), same),
        "spam, spam_sms (zh, all spam)": ("spam", [(text, "spam") for text, _ in load(data, "spam_sms")], same),
        "spam, reviews and assistants' commands (zh, no spam)": ("spam", chinese_not_spam(data), same),
        "need, bitext (27 intents as needs)": (
            "need",
            load(data, "bitext"),
            lambda label, truth: label in NEEDS[truth],
        ),
    }
    for title, (head, rows, right) in sets.items():
        part = split(rows, limit)
        print(f"  {title:<56}{rule_accuracy(head, part[0] + part[1], right)}", flush=True)
    for name in ("banking77", "waimai"):
        print(f"  all heads by rule, {name}: {all_heads_cost(load(data, name)[:3_000]):.0f} µs a text")


def sentiment_rows(data: Path, name: str) -> Rows:
    """Return a task's rows with its labels named as the head's."""
    names = {"0": "negative", "1": "positive"}
    return [(text, names.get(truth, truth)) for text, truth in load(data, name)]


def report_few_labels(data: Path, limit: int) -> None:
    """Print accuracy on unseen texts after a few labels: the model alone, and with the rule's answer as a hint."""
    print(f"\nunseen accuracy after few labels{'':<20}" + "".join(f"{count:>8}" for count in CURVE))
    for head, title, rows in (
        ("sentiment", "waimai_10k", sentiment_rows(data, "waimai")),
        ("sentiment", "airline_tweets", sentiment_rows(data, "airline")),
        ("spam", "sms_spam", load(data, "sms")),
    ):
        stream, unseen = split(rows, min(limit, 5_000))
        print(f"  {head}, {title}, rules: {rule_accuracy(head, unseen, lambda label, truth: polarity(label) == truth)}")
        for hinted in (False, True):
            curve = few_labels(head, stream, unseen, hinted)
            name = "model with the rule's hint" if hinted else "model alone"
            print(f"    {name:<48}" + "".join(f"{value:>8.1f}" for value in curve), flush=True)


def few_labels(head: str, stream: Rows, unseen: Rows, hinted: bool) -> list[float]:
    """Return the accuracy on unseen texts after each count of `CURVE`."""
    row = next(entry for entry in HEADS if entry.name == head)
    places = {label: place for place, label in enumerate(row.labels)}
    learner = Learner(tuple(row.labels), LearnerSettings())

    def hints(rows: Rows) -> Hints:
        answers = [row.rule(read(text)) if row.rule is not None and hinted else None for text, _ in rows]
        labels = [places.get(answer.label, -1) if answer is not None else -1 for answer in answers]
        strengths = [answer.confidence if answer is not None else 0.0 for answer in answers]
        return Hints(np.array(labels, dtype=np.int64), np.array(strengths, dtype=np.float32))

    part = stream[: CURVE[-1]]
    learnt, held_out = extract([normalise(text) for text, _ in part]), extract([normalise(text) for text, _ in unseen])
    said, said_unseen = hints(part), hints(unseen)
    curve: list[float] = []
    for number, (_, truth) in enumerate(part, start=1):
        learner.learn(learnt, truth, hints=said, row=number - 1)
        if number in CURVE:
            labels, probabilities = learner.predict_proba(held_out, said_unseen)
            curve.append(accuracy([polarity(labels[place]) for place in probabilities.argmax(axis=1)], unseen))
    return curve


def report_replica(data: Path) -> None:
    """Print what the fold, a snapshot after one more example, and the answers of all heads cost, with models ready."""
    spam = split(load(data, "sms"), 2_000)[0]
    feeling = split(sentiment_rows(data, "airline"), 2_000)[0]
    events = [{"kind": "example", "head": "spam", "value": truth, "text": text} for text, truth in spam]
    events += [{"kind": "example", "head": "sentiment", "value": truth, "text": text} for text, truth in feeling]
    replica = Replica()
    _, apply_s = timed(lambda: [replica.apply(event, offset) for offset, event in enumerate(events)])
    snapshots: list[float] = []
    for event in events[:20]:
        replica.apply(event, replica.offset + 1)
        _, seconds = timed(replica.snapshot)
        snapshots.append(seconds)
    print(
        f"\nreplica: fold {1e6 * apply_s / len(events):.0f} µs an example, snapshot {1e6 * np.median(snapshots):.0f} µs"
    )
    for name in ("banking77", "waimai"):
        texts = [text for text, _ in load(data, name)[:4_096]]
        classifier = replica.snapshot()
        batches = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
        start = time.process_time()
        for batch in batches:
            classifier.classify(batch, ["inbound"] * len(batch))
        seconds = time.process_time() - start
        print(f"  all heads, two of them learnt, {name}: {1e6 * seconds / len(texts):.0f} µs a text")


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--tasks", default=",".join(TASKS), help="comma-separated; none for the rules only")
    parser.add_argument("--peers", action="store_true", help="run scikit-learn beside")
    parser.add_argument("--limit", type=int, default=20_000, help="rows of a set, at most")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"--data {options.data} is not a folder")
    names = [name for name in options.tasks.split(",") if name and name != "none"]
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        parser.error(f"no such tasks: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    warm_up()
    if names:
        report_tasks(options.data, names, options.limit, options.peers)
    report_cold_start(options.data, options.limit)
    report_few_labels(options.data, options.limit)
    report_replica(options.data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Quality and speed of the online models on real data sets, beside Vowpal Wabbit, scikit-learn and river in the same run.

Method: shuffle a set with a seed. Prequential accuracy: one pass of test-then-train over all of it. Unseen accuracy,
calibration and accuracy at 80 % coverage: another pass over the first 80 %, then the last 20 %. One setting for all sets; of
Vowpal Wabbit the best of six for each. Then cold start, drift, texts of no known label, the rules with no label at all and
what fold, snapshot and answers cost. Times are CPU microseconds of one process, a mean over all texts.

    python bench/models_quality.py --data ../shared/data [--tasks banking77,waimai] [--peers vw,sklearn,river]
        [--seeds 5] [--parts sets,cold,drift,scope,rules,replica] [--limit 20000]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from models_data import NEEDS, TASKS, Rows, chinese_not_spam, load, spam_mails
from models_measures import Result, run_ours, shuffled, split, timed
from models_peers import PEERS, PeerMissing
from models_streams import report_costs, report_drift, report_first_labels, report_scope

from pipeline.models.characters import normalise
from pipeline.models.features import extract
from pipeline.models.heads import HEADS
from pipeline.models.learner import Hints, Learner, warm_up
from pipeline.models.rules import Reading, RuleAnswer, read_all

FIRST_SEED = 7
CURVE = (10, 30, 100, 200, 300, 1_000)
PARTS = ("sets", "cold", "drift", "scope", "rules", "replica")
COLUMNS = {
    "prequential": "prequential",
    "unseen": "unseen",
    "calibration": "ECE",
    "covered": "at 80 %",
    "features_us": "features µs",
    "predict_us": "predict µs",
    "learn_us": "test+learn µs",
}


def report_sets(data: Path, names: Sequence[str], limit: int, peers: Sequence[str], seeds: Sequence[int]) -> None:
    """Print one line for each set and learner, the means, and where ours is below Vowpal Wabbit."""
    print(f"{'set':<18}{'learner':<12}" + "".join(f"{title:>14}" for title in COLUMNS.values()))
    results: dict[str, dict[str, list[Result]]] = {}
    missing: set[str] = set()
    for name in names:
        for seed in seeds:
            rows = shuffled(load(data, name), limit, seed)
            results.setdefault("switchboard", {}).setdefault(name, []).append(run_ours(rows))
            for peer in [peer for peer in peers if peer not in missing]:
                try:
                    results.setdefault(peer, {}).setdefault(name, []).append(PEERS[peer](rows, TASKS[name].chinese))
                except PeerMissing as error:
                    missing.add(peer)
                    print(error)
        for learner in [learner for learner in results if results[learner].get(name)]:
            print_result(name, learner, mean(results[learner][name]))
    for learner, of_sets in results.items():
        print_result(f"mean of {len(of_sets)}", learner, mean([mean(runs) for runs in of_sets.values() if runs]))
    if results.get("vw"):
        report_differences(results["switchboard"], results["vw"])


def report_differences(ours: dict[str, list[Result]], theirs: dict[str, list[Result]]) -> None:
    """Print each set's prequential accuracy less Vowpal Wabbit's, with the standard error of the paired seeds."""
    print("prequential accuracy less that of Vowpal Wabbit, and its standard error over the seeds")
    for name, runs in theirs.items():
        apart = np.array([one.prequential - other.prequential for one, other in zip(ours[name], runs, strict=True)])
        error = float(apart.std(ddof=1)) / len(apart) ** 0.5 if len(apart) > 1 else float("nan")
        print(f"  {name:<16}{apart.mean():>+7.2f}  ± {error:.2f}")


def mean(results: Sequence[Result]) -> Result:
    """Return the mean of each column."""
    return Result(*np.array([dataclasses.astuple(result) for result in results]).mean(axis=0).tolist())


def print_result(task: str, learner: str, result: Result) -> None:
    """Print one line of the table."""
    values = "".join(f"{getattr(result, name):>14.1f}" for name in COLUMNS)
    print(f"{task:<18}{learner:<12}{values}", flush=True)


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
        return [rule(reading) for reading in readings(rows)]

    answers, seconds = timed(answer_all)
    hits = sum(right(answer.label, truth) for answer, (_, truth) in zip(answers, rows, strict=True))
    silent = sum(answer.confidence < row.threshold for answer in answers)
    return (
        f"{100 * hits / len(rows):6.1f} % right, {100 * silent / len(rows):4.1f} % under the head's threshold, "
        f"{1e6 * seconds / len(rows):.0f} µs, {len(rows):,} texts"
    )


def readings(rows: Rows) -> list[Reading]:
    """Return texts as rules read them."""
    texts = [text for text, _ in rows]
    return read_all(texts, [normalise(text) for text in texts])


def all_heads_cost(rows: Rows) -> float:
    """Return the CPU microseconds to answer a text by rule for every head."""
    rules = [head.rule for head in HEADS if head.rule is not None]
    _, seconds = timed(lambda: [[rule(reading) for rule in rules] for reading in readings(rows)])
    return 1e6 * float(seconds) / len(rows)


def report_rules(data: Path, limit: int) -> None:
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
        print(f"  {title:<56}{rule_accuracy(head, shuffled(rows, limit, FIRST_SEED), right)}", flush=True)
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
        stream, unseen = split(shuffled(rows, min(limit, 5_000), FIRST_SEED))
        print(f"  {head}, {title}, rules: {rule_accuracy(head, unseen, lambda label, truth: polarity(label) == truth)}")
        for hinted in (False, True):
            curve = few_labels(head, stream, unseen, hinted)
            name = "model with the rule's hint" if hinted else "model alone"
            print(f"    {name:<48}" + "".join(f"{value:>8.1f}" for value in curve), flush=True)


def few_labels(head: str, stream: Rows, unseen: Rows, hinted: bool) -> list[float]:
    """Return the accuracy on unseen texts after each count of `CURVE`."""
    row = next(entry for entry in HEADS if entry.name == head)
    places = {label: place for place, label in enumerate(row.labels)}
    learner = Learner(tuple(row.labels))

    def hints(rows: Rows) -> Hints:
        answers = [row.rule(reading) if row.rule is not None and hinted else None for reading in readings(rows)]
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
            answers = [polarity(labels[place]) for place in probabilities.argmax(axis=1)]
            right = [answer == truth for answer, (_, truth) in zip(answers, unseen, strict=True)]
            curve.append(100.0 * sum(right) / len(right))
    return curve


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--tasks", default=",".join(TASKS), help="comma-separated")
    parser.add_argument("--peers", default="", help=f"comma-separated, of {', '.join(PEERS)}")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated")
    parser.add_argument("--seeds", type=int, default=1, help="how many orders of each set")
    parser.add_argument("--limit", type=int, default=20_000, help="rows of a set, at most")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"--data {options.data} is not a folder")
    chosen: dict[str, list[str]] = {}
    for option, known in (("tasks", list(TASKS)), ("peers", list(PEERS)), ("parts", list(PARTS))):
        chosen[option] = [name for name in getattr(options, option).split(",") if name]
        unknown = [name for name in chosen[option] if name not in known]
        if unknown:
            parser.error(f"--{option}: no {', '.join(unknown)}; there are {', '.join(known)}")
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    warm_up()
    reports: dict[str, Callable[[], None]] = {
        "sets": lambda: report_sets(options.data, chosen["tasks"], options.limit, chosen["peers"], seeds),
        "cold": lambda: report_first_labels(options.data, seeds),
        "drift": lambda: report_drift(options.data, chosen["tasks"], options.limit, seeds),
        "scope": lambda: report_scope(options.data),
        "rules": lambda: report_without_labels(options.data, options.limit),
        "replica": lambda: report_costs(options.data),
    }
    for part in chosen["parts"]:
        reports[part]()
    return 0


def report_without_labels(data: Path, limit: int) -> None:
    """Print what the rules reach with no label, and how few labels the model needs on top of them."""
    report_rules(data, limit)
    report_few_labels(data, limit)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Vowpal Wabbit: one pass of test-then-train for each setting; prints the best as JSON.

Reads a job from standard input: settings, ngram, classes, stream and unseen (lines of [class from
1, namespaces]) and learnt (how many lines of the stream are learnt before the unseen ones are
predicted). Costs are CPU microseconds a text; `learn_us` is that of test-then-train.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from vowpalwabbit import pyvw


def run(job: dict[str, Any], setting: str) -> dict[str, float]:
    """Return the accuracy and the costs of a setting."""

    def workspace() -> Any:
        return pyvw.Workspace(
            f"--oaa {job['classes']} -b 22 --ngram w{job['ngram']} {setting} --quiet"
        )

    model, lines = workspace(), job["stream"]
    right, parse_s, predict_s, learn_s = 0, 0.0, 0.0, 0.0
    for label, words in lines:
        start = time.process_time()
        example = model.parse(f"{label} {words}")
        parsed = time.process_time()
        right += model.predict(example) == label
        answered = time.process_time()
        model.learn(example)
        parse_s, predict_s = parse_s + parsed - start, predict_s + answered - parsed
        learn_s += time.process_time() - answered
        model.finish_example(example)
    model.finish()
    unseen = workspace()
    for label, words in lines[: job["learnt"]]:
        unseen.learn(f"{label} {words}")
    unseen_lines = job["unseen"]
    hits = sum(unseen.predict(words) == label for label, words in unseen_lines)
    unseen.finish()
    scale = 1e6 / len(lines)
    return {
        "prequential": 100.0 * right / len(lines),
        "unseen": 100.0 * hits / max(1, len(unseen_lines)),
        "parse_us": parse_s * scale,
        "predict_us": predict_s * scale,
        "learn_us": (predict_s + learn_s) * scale,
    }


def main() -> None:
    """Run every setting and print the best by prequential accuracy."""
    job = json.load(sys.stdin)
    results = [run(job, setting) for setting in job["settings"]]
    print(json.dumps(max(results, key=lambda result: result["prequential"])))


if __name__ == "__main__":
    main()

"""Where the command `evaluate` has its labelled texts from: files, or the examples that a head has
learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from pipeline.commands.effective_examples import holding, live_records
from pipeline.log.port import Scan
from pipeline.models.evaluation.evaluate import Data
from pipeline.models.evaluation.labelled_rows import EvaluationError, Row, read_rows
from pipeline.models.evaluation.nested_search import stratified_order
from pipeline.models.heads import HEADS, Head
from pipeline.models.learner import GREATEST_IMPORTANCE

# Where no test part is given, a fifth is held out: the share that is customary, and that the
# figures of the docs have.
TEST_SHARE: Final = 0.2


def head_named(name: str, heads: Sequence[Head] = HEADS) -> Head:
    """Return a head of the table; raises EvaluationError with those that there are."""
    for head in heads:
        if head.name == name:
            return head
    raise EvaluationError(
        f"there is no head {name!r}; heads are {', '.join(head.name for head in heads)}"
    )


def data_of_files(
    train: Path, test: Path | None, head: Head | None, seed: int, *, hold_out: bool
) -> Data:
    """Return the rows of files; without a test file and where `hold_out` asks for one, a fifth of
    the training file, drawn by `seed` with the labels in their proportions.

    A head's file may hold the head's labels only. Raises OSError for a file that can't be read,
    EvaluationError for one without a good line.
    """
    labels = tuple(head.labels) if head else None
    rows, bad = read_rows(train, labels)
    if test is not None:
        unseen, worse = read_rows(test, labels)
        return Data(tuple(rows), tuple(unseen), str(train), str(test), head, (*bad, *worse))
    if not hold_out:
        return Data(tuple(rows), (), str(train), "", head, tuple(bad))
    order = stratified_order(np.array([row.label for row in rows], dtype=object), seed)
    held_out = set(order[len(rows) - int(TEST_SHARE * len(rows)) :].tolist())
    return Data(
        tuple(row for place, row in enumerate(rows) if place not in held_out),
        tuple(row for place, row in enumerate(rows) if place in held_out),
        str(train),
        f"{TEST_SHARE:.0%} of {train.name}, held out by seed {seed}",
        head,
        tuple(bad),
    )


def data_of_log(log: Scan, head: Head) -> Data:
    """Return a head's examples: the earlier four fifths to learn from, the latest to test on, as
    time would have it.
    """
    rows = list(examples_of(log, head))
    if not rows:
        raise EvaluationError(
            f"the examples log holds no label of {head.name}: give some with `switchboard label` or"
            " `labels import`, run, and evaluate again; or name a file with --train"
        )
    cut = len(rows) - int(TEST_SHARE * len(rows))
    return Data(
        tuple(rows[:cut]),
        tuple(rows[cut:]),
        f"examples log, head {head.name}, the first {cut:,}",
        f"the latest {len(rows) - cut:,}" if cut < len(rows) else "",
        head,
    )


def examples_of(log: Scan, head: Head) -> Iterator[Row]:
    """Yield the head's examples that hold, in the log's order: of one record the label that counts,
    none where it was taken back, nothing that was rolled back."""
    about = [record for record in live_records(log) if _teaches(orjson.loads(record.value), head)]
    held = holding(about)
    for record in about:
        row = _row(orjson.loads(record.value), head)
        if row is not None and record.offset in held:
            yield row


def _teaches(event: dict[str, Any], head: Head) -> bool:
    """Return whether a replica of the head takes an event: a retraction, or an example that it can
    learn.
    """
    taken_back = event.get("kind") == "retraction" and event.get("head") == head.name
    return taken_back or _row(event, head) is not None


def _row(event: dict[str, Any], head: Head) -> Row | None:
    """Return what an event of the log teaches of a head; None where it teaches nothing, as a
    replica finds too.
    """
    if (
        event.get("kind") != "example"
        or event.get("head") != head.name
        or event.get("value") not in head.labels
    ):
        return None
    text, weight = event.get("text"), event.get("weight", 1.0)
    if not isinstance(text, str) or not text.strip() or not isinstance(weight, int | float):
        return None
    if not 0.0 < weight <= GREATEST_IMPORTANCE:
        return None
    language, channel, direction = (
        str(event.get(name) or "") for name in ("language", "channel", "direction")
    )
    return Row(text, event["value"], language, channel, direction, float(weight))

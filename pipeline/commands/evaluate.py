"""`evaluate`: load labelled texts from files, or from the examples that a head has learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from pipeline.commands.effective_examples import current_records, effective_offsets
from pipeline.log.port import TopicReader
from pipeline.models.evaluation.evaluate import EvaluationData
from pipeline.models.evaluation.labelled_rows import EvaluationError, LabelledRow, read_rows
from pipeline.models.evaluation.nested_search import stratified_order
from pipeline.models.heads import HEADS, Head
from pipeline.models.learner import MAX_IMPORTANCE

# The share of rows that are tested on if there is no test file: the usual one, and the one behind
# the figures in the docs.
TEST_SHARE: Final = 0.2


def head_named(name: str, heads: Sequence[Head] = HEADS) -> Head:
    """Return the head of a name; raises EvaluationError if there is none."""
    for head in heads:
        if head.name == name:
            return head
    raise EvaluationError(
        f"there is no head {name!r}; the heads are {', '.join(head.name for head in heads)}"
    )


def data_from_files(
    train: Path, test: Path | None, head: Head | None, seed: int, *, hold_out: bool
) -> EvaluationData:
    """Return the rows of files; without a test file, `hold_out` splits a fifth off the training.

    The split is stratified by label and random by `seed`. With a head, only its labels are valid.
    Raises OSError for a file that cannot be read, EvaluationError for one without a valid line.
    """
    labels = tuple(head.labels) if head else None
    rows, bad = read_rows(train, labels)
    if test is not None:
        tested, more_bad = read_rows(test, labels)
        return EvaluationData(
            tuple(rows), tuple(tested), str(train), str(test), head, (*bad, *more_bad)
        )
    if not hold_out:
        return EvaluationData(tuple(rows), (), str(train), "", head, tuple(bad))
    order = stratified_order(np.array([row.label for row in rows], dtype=object), seed)
    held_out = set(order[len(rows) - int(TEST_SHARE * len(rows)) :].tolist())
    return EvaluationData(
        tuple(row for index, row in enumerate(rows) if index not in held_out),
        tuple(row for index, row in enumerate(rows) if index in held_out),
        str(train),
        f"{TEST_SHARE:.0%} of {train.name}, effective out by seed {seed}",
        head,
        tuple(bad),
    )


def data_from_log(log: TopicReader, head: Head) -> EvaluationData:
    """Return the examples of a head: the first four fifths for training, the last for testing."""
    rows = list(effective_examples(log, head))
    if not rows:
        raise EvaluationError(
            f"the examples log contains no label of {head.name}: add some with `switchboard label`"
            " or `labels import`, run, and evaluate again; or name a file with --train"
        )
    cut = len(rows) - int(TEST_SHARE * len(rows))
    return EvaluationData(
        tuple(rows[:cut]),
        tuple(rows[cut:]),
        f"examples log, head {head.name}, the first {cut:,}",
        f"the latest {len(rows) - cut:,}" if cut < len(rows) else "",
        head,
    )


def effective_examples(log: TopicReader, head: Head) -> Iterator[LabelledRow]:
    """Yield the effective examples of a head, in the order of the log: one label per record."""
    about = [
        record for record in current_records(log) if _is_used(orjson.loads(record.value), head)
    ]
    effective = effective_offsets(about)
    for record in about:
        row = _row(orjson.loads(record.value), head)
        if row is not None and record.offset in effective:
            yield row


def _is_used(event: dict[str, Any], head: Head) -> bool:
    """Return whether a replica of the head uses an event: a retraction, or a valid example."""
    retracted = event.get("kind") == "retraction" and event.get("head") == head.name
    return retracted or _row(event, head) is not None


def _row(event: dict[str, Any], head: Head) -> LabelledRow | None:
    """Return the training row of an event, or None if a replica of the head would reject it."""
    if (
        event.get("kind") != "example"
        or event.get("head") != head.name
        or event.get("value") not in head.labels
    ):
        return None
    text, weight = event.get("text"), event.get("weight", 1.0)
    if not isinstance(text, str) or not text.strip() or not isinstance(weight, int | float):
        return None
    if not 0.0 < weight <= MAX_IMPORTANCE:
        return None
    language, channel, direction = (
        str(event.get(name) or "") for name in ("language", "channel", "direction")
    )
    return LabelledRow(text, event["value"], language, channel, direction, float(weight))

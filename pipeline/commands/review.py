"""The command `review`: which records are most worth a label, and the answers that a person
gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pipeline.models.features import extract
from pipeline.models.heads import HEADS, Head
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.text.normal_form import normalise

_BUILT_IN: Final = frozenset(head.name for head in HEADS)
# What customers write changes with the month: half as much of what was written three weeks before
# the newest record.
_DAYS: Final = 30.0
# From so many of the least sure for each that is wanted the different ones are chosen; more costs
# time, fewer leave no choice.
_CHOICE: Final = 20
_MOST: Final = 4_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that is worth a label: what a head says of it, and how much it is worth (0 to 1, of
    records of that head).
    """

    record_id: UUID
    head: str
    label: str
    probability: float
    text: str
    channel: str
    direction: str
    language: str
    occurred_at: str
    worth: float

    def as_json(self) -> dict[str, Any]:
        """Return everything for a machine, with an empty `value` to be filled in for `labels
        import`.
        """
        return {
            "record_id": str(self.record_id),
            "head": self.head,
            "value": "",
            "guess": self.label,
            "p": round(self.probability, 4),
            "worth": round(self.worth, 4),
            "occurred_at": self.occurred_at,
            "channel": self.channel,
            "direction": self.direction,
            "language": self.language,
            "text": self.text,
        }


def candidates(warehouse: Warehouse, heads: Sequence[Head], limit: int) -> list[Candidate]:
    """Return the records most worth a label, best first: unsure, recent, and unlike those before
    them in the list.

    Records that a head has a label for are left out, and so is a text that stands in the list
    already. Heads share the list.
    """
    chosen: list[Candidate] = []
    for head in heads:
        chosen += _different(_unsure(warehouse, head, min(limit * _CHOICE, _MOST)), limit)
    return sorted(chosen, key=lambda one: (-one.worth, str(one.record_id), one.head))[:limit]


def _unsure(warehouse: Warehouse, head: Head, most: int) -> list[Candidate]:
    name = head.name
    built_in = name in _BUILT_IN
    label, p = (name, f"{name}_p") if built_in else (f"answers['{name}']", f"answers_p['{name}']")
    # Of what no rule speaks p is 0: the head knows nothing of it, and that is the least sure of
    # all.
    found = rows(
        warehouse,
        f"""
        SELECT
            record_id, {label} AS label, {p} AS p, redacted_text AS text, channel, direction, language,
            toString(occurred_at) AS at,
            (1 - p) * exp2(-dateDiff('second', occurred_at, newest) / {_DAYS * 86_400}) AS worth
        FROM communications
        CROSS JOIN (SELECT max(occurred_at) AS newest FROM communications) AS last
        WHERE redacted_text != '' AND kind NOT IN ('system', 'note') AND auto_kind = ''
            AND direction IN {{directions:Array(String)}}
            AND record_id NOT IN (SELECT record_id FROM labels WHERE head = {{head:String}})
        ORDER BY worth DESC, record_id LIMIT {most}
        """,
        head=name,
        directions=sorted(head.directions),
    )
    return [
        Candidate(
            UUID(row["record_id"]),
            name,
            row["label"],
            row["p"],
            row["text"],
            row["channel"],
            row["direction"],
            row["language"],
            row["at"],
            row["worth"],
        )
        for row in found
    ]


def _different(found: Sequence[Candidate], limit: int) -> list[Candidate]:
    """Return those that are worth most when each loses as much as it is like one chosen before
    (cosine of its features).
    """
    unique = list({normalise(one.text): one for one in reversed(found)}.values())[::-1]
    if not unique:
        return []
    vectors = _vectors([normalise(one.text) for one in unique])
    worth = np.array([one.worth for one in unique])
    likest = np.zeros(len(unique))
    chosen: list[int] = []
    for _ in range(min(limit, len(unique))):
        value = worth * (1.0 - likest)
        value[chosen] = -1.0
        best = int(value.argmax())
        chosen.append(best)
        likest = np.maximum(likest, _likeness(vectors, best))
    return [unique[place] for place in chosen]


_Vectors = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64]]


def _vectors(texts: Sequence[str]) -> _Vectors:
    """Return starts, buckets and values of length 1 of each text's features."""
    features = extract(texts)
    rows_of = np.repeat(np.arange(len(texts)), np.diff(features.starts))
    values = features.tf.astype(np.float64)
    lengths = np.sqrt(np.bincount(rows_of, values * values, len(texts)))
    return features.starts, features.buckets, values / lengths[rows_of]


def _likeness(vectors: _Vectors, one: int) -> npt.NDArray[np.float64]:
    starts, buckets, values = vectors
    own = np.zeros(int(buckets.max(initial=0)) + 1)
    own[buckets[starts[one] : starts[one + 1]]] = values[starts[one] : starts[one + 1]]
    rows_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.bincount(rows_of, own[buckets] * values, len(starts) - 1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Given:
    """An answer: this record's value for its head."""

    candidate: Candidate
    value: str


HELP: Final = (
    "a number or the beginning of a label, Enter: the guess is right, s: skip, u: back, q: stop"
)


def ask(
    todo: Sequence[Candidate],
    heads: Sequence[Head],
    read: Callable[[Candidate, int, str], str | None],
) -> Iterator[Given]:
    """Yield the answers to candidates, one behind what is asked, so that the last may be taken
    back.

    `read` shows a candidate (with its place, and what was wrong with the answer before) and returns
    a line, None at the end of them. Going back to an answer that was yielded asks again; another
    answer then corrects it, skipping leaves it.
    """
    labels = {head.name: list(head.labels) for head in heads}
    last: Given | None = None
    place, wrong = 0, ""
    while place < len(todo):
        line = read(todo[place], place, wrong)
        wrong = ""
        word = None if line is None else line.strip()
        if word is None or word == "q":
            break
        if word == "u":
            place = max(place - 1, 0)
            if last is not None and last.candidate is todo[place]:
                last = None
            continue
        if word != "s":
            value = chosen(word, labels[todo[place].head], todo[place].label)
            if value is None:
                wrong = f"{word!r} is none: {HELP}"
                continue
            if last is not None:
                yield last
            last = Given(todo[place], value)
        place += 1
    if last is not None:
        yield last


def chosen(word: str, labels: Sequence[str], guess: str) -> str | None:
    """Return the label that a word means: its number from 1, its name or the only one that begins
    so, or the guess; else None.
    """
    if not word:
        return guess if guess in labels else None
    if word.isascii() and word.isdigit():
        return labels[int(word) - 1] if 1 <= int(word) <= len(labels) else None
    if word in labels:
        return word
    begun = [label for label in labels if label.startswith(word)]
    return begun[0] if len(begun) == 1 else None

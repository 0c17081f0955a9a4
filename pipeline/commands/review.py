"""`review`: select the records whose labels would help most, and parse the answers of a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pipeline.models.features import extract_features
from pipeline.models.heads import Head
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.text.normal_form import normalise

# Half-life of the value of a record: what customers write changes within months.
_HALF_LIFE_DAYS: Final = 30.0
# Uncertain candidates per wanted record, from which unlike ones are selected: more cost time, fewer
# leave no choice.
_CANDIDATES_PER_RECORD: Final = 20
_MAX_CANDIDATES: Final = 4_000


@dataclass(frozen=True, slots=True)
class ReviewCandidate:
    """A record to label: the answer of a head, and how much a label is worth (0 to 1)."""

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
        """Return a line for `labels import`, with an empty `value` to fill in."""
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


def find_candidates(
    warehouse: Warehouse, heads: Sequence[Head], limit: int
) -> list[ReviewCandidate]:
    """Return the records that are most worth a label, best first.

    They are uncertain, recent and unlike those before them in the list. Labelled records and texts
    that are already in the list are left out. All heads share the list.
    """
    selected: list[ReviewCandidate] = []
    for head in heads:
        selected += _diverse(
            _uncertain(warehouse, head, min(limit * _CANDIDATES_PER_RECORD, _MAX_CANDIDATES)), limit
        )
    return sorted(
        selected, key=lambda candidate: (-candidate.worth, str(candidate.record_id), candidate.head)
    )[:limit]


def _uncertain(warehouse: Warehouse, head: Head, most: int) -> list[ReviewCandidate]:
    name = head.name
    # p is 0 where no rule matched: the head knows nothing, and nothing is less certain.
    found = rows(
        warehouse,
        f"""
        SELECT
            record_id, answers['{name}'] AS label, answers_p['{name}'] AS p, redacted_text AS text,
            channel, direction, language, toString(occurred_at) AS at,
            (1 - p)
                * exp2(-dateDiff('second', occurred_at, newest) / {_HALF_LIFE_DAYS * 86_400})
                AS worth
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
        ReviewCandidate(
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


def _diverse(candidates: Sequence[ReviewCandidate], limit: int) -> list[ReviewCandidate]:
    """Return the candidates of the greatest worth, reduced by their similarity to earlier ones.

    The similarity is the cosine of their features.
    """
    by_text = {normalise(candidate.text): candidate for candidate in reversed(candidates)}
    unique = list(reversed(by_text.values()))
    if not unique:
        return []
    vectors = _vectors([normalise(candidate.text) for candidate in unique])
    worth = np.array([candidate.worth for candidate in unique])
    similarity = np.zeros(len(unique))
    selected: list[int] = []
    for _ in range(min(limit, len(unique))):
        value = worth * (1.0 - similarity)
        value[selected] = -1.0
        best = int(value.argmax())
        selected.append(best)
        similarity = np.maximum(similarity, _similarity(vectors, best))
    return [unique[index] for index in selected]


_Vectors = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64]]


def _vectors(texts: Sequence[str]) -> _Vectors:
    """Return the features of each text as starts, buckets and values, scaled to length 1."""
    features = extract_features(texts)
    rows_of = np.repeat(np.arange(len(texts)), np.diff(features.starts))
    values = features.tf.astype(np.float64)
    lengths = np.sqrt(np.bincount(rows_of, values * values, len(texts)))
    return features.starts, features.buckets, values / lengths[rows_of]


def _similarity(vectors: _Vectors, row: int) -> npt.NDArray[np.float64]:
    starts, buckets, values = vectors
    own = np.zeros(int(buckets.max(initial=0)) + 1)
    own[buckets[starts[row] : starts[row + 1]]] = values[starts[row] : starts[row + 1]]
    rows_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.bincount(rows_of, own[buckets] * values, len(starts) - 1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class ReviewAnswer:
    """The answer of a person: the value of a candidate for its head."""

    candidate: ReviewCandidate
    value: str


ANSWER_HELP: Final = (
    "number or prefix of a label, Enter: the guess is right, s: skip, u: undo, q: quit"
)


def collect_answers(
    todo: Sequence[ReviewCandidate],
    heads: Sequence[Head],
    read: Callable[[ReviewCandidate, int, str], str | None],
) -> Iterator[ReviewAnswer]:
    """Yield the answers, each one question late, so that the last answer can be undone.

    `read` shows a candidate, with its index and the problem of the previous answer, and returns a
    line, or None at the end of input. Undoing an answer that was yielded asks again: another answer
    corrects it, skipping keeps it.
    """
    labels = {head.name: list(head.labels) for head in heads}
    last: ReviewAnswer | None = None
    index, problem = 0, ""
    while index < len(todo):
        line = read(todo[index], index, problem)
        problem = ""
        word = None if line is None else line.strip()
        if word is None or word == "q":
            break
        if word == "u":
            index = max(index - 1, 0)
            if last is not None and last.candidate is todo[index]:
                last = None
            continue
        if word != "s":
            value = parse_answer(word, labels[todo[index].head], todo[index].label)
            if value is None:
                problem = f"{word!r} is not a label: {ANSWER_HELP}"
                continue
            if last is not None:
                yield last
            last = ReviewAnswer(todo[index], value)
        index += 1
    if last is not None:
        yield last


def parse_answer(word: str, labels: Sequence[str], guess: str) -> str | None:
    """Return the label of an answer: a number from 1, a name, a unique prefix, or "" for the guess.

    >>> parse_answer("com", ["complaint", "order"], guess="order")
    'complaint'
    """
    if not word:
        return guess if guess in labels else None
    if word.isascii() and word.isdigit():
        return labels[int(word) - 1] if 1 <= int(word) <= len(labels) else None
    if word in labels:
        return word
    matches = [label for label in labels if label.startswith(word)]
    return matches[0] if len(matches) == 1 else None

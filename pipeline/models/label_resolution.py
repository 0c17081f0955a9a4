"""Which labels hold: of several about one record and head the one that counts, whatever the order
in which they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pipeline.models.state_format import Arrays

# What somebody said outranks what a query guessed.
SOURCE_RANKS: Final = {"person": 1, "import": 1, "outcome": 0}
RETRACTED: Final = ""
_UUID_WORDS: Final = 2


class LabelKey(NamedTuple):
    """What is judged: a record (its 16 bytes) by a head."""

    head: str
    record: bytes


class LabelPrecedence(NamedTuple):
    """A label's place among those of its record and head: the greatest holds."""

    rank: int
    labelled_ms: int
    label_id: bytes


class EffectiveLabel(NamedTuple):
    """The label that holds; `value` is "" where it was taken back. `weight` is the most that it was
    given with.
    """

    precedence: LabelPrecedence
    value: str
    weight: float


LabelEffect = Literal["first", "corrects", "confirms", "retracts", "outdated", "repeated"]


class LabelDecision(NamedTuple):
    """What becomes of a label: its effect, and the weight with which its value is to be learnt (0:
    not at all).
    """

    effect: LabelEffect
    weight: float


def label_precedence(event: Mapping[str, Any]) -> LabelPrecedence | str:
    """Return the standing of an example or a retraction, or what is wrong with it, naming the
    field.
    """
    rank = SOURCE_RANKS.get(event.get("source", "person"))
    if rank is None:
        return f"source: {event.get('source')!r} is none of {', '.join(SOURCE_RANKS)}"
    try:
        label = UUID(str(event.get("label_id"))).bytes
    except ValueError:
        return f"label_id: {event.get('label_id')!r} is no UUID"
    try:
        moment = datetime.fromisoformat(str(event.get("labelled_at")))
    except ValueError:
        return f"labelled_at: {event.get('labelled_at')!r} is no instant"
    if moment.tzinfo is None:
        return f"labelled_at: {event.get('labelled_at')!r} has no zone"
    return LabelPrecedence(rank, round(moment.timestamp() * 1000), label)


def label_key(event: Mapping[str, Any]) -> LabelKey | str:
    """Return what an example or a retraction is about, or what is wrong with it, naming the
    field.
    """
    try:
        return LabelKey(str(event.get("head")), UUID(str(event.get("record_id"))).bytes)
    except ValueError:
        return f"record_id: {event.get('record_id')!r} is no UUID"


@dataclass(slots=True)
class LabelResolution:
    """The labels that hold. The greatest standing of each record and head does: the same set, in
    whatever order they came.
    """

    _labels: dict[LabelKey, EffectiveLabel] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(1 for _ in self.effective_labels())

    def add(
        self, key: LabelKey, precedence: LabelPrecedence, value: str, weight: float
    ) -> LabelDecision:
        """Take a label (value "": one taken back) and return what is to be learnt of it.

        A correction is one more example (docs/adr/0014: with the weight of what it corrects on top,
        models became no better); what it corrects leaves the weights with the next generation. What
        confirms is learnt only as far as it weighs more.
        """
        holder = self._labels.get(key)
        if holder is not None and precedence <= holder.precedence:
            return LabelDecision("repeated" if precedence == holder.precedence else "outdated", 0.0)
        ruling = _decide(holder, value, weight)
        learnt = holder.weight if holder is not None and value in ("", holder.value) else 0.0
        self._labels[key] = EffectiveLabel(precedence, value, max(weight, learnt))
        return ruling

    def effective_labels(self) -> Iterator[tuple[LabelKey, EffectiveLabel]]:
        """Yield the labels that hold and were not taken back."""
        return ((key, holder) for key, holder in self._labels.items() if holder.value)

    def state(self, labels: Mapping[str, list[str]]) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """Return the holders as arrays by head; `labels` names each head's values, by whose place
        they are stored.
        """
        heads: dict[str, list[tuple[bytes, EffectiveLabel]]] = {}
        for key, holder in self._labels.items():
            heads.setdefault(key.head, []).append((key.record, holder))
        return {head: _arrays(sorted(rows), labels[head]) for head, rows in sorted(heads.items())}

    @classmethod
    def restore(
        cls, heads: Mapping[str, Arrays], labels: Mapping[str, list[str]]
    ) -> LabelResolution:
        """Return the holders of a `state`."""
        holders: dict[LabelKey, EffectiveLabel] = {}
        for head, arrays in heads.items():
            names = [RETRACTED, *labels[head]]
            records, label_ids = arrays["records"].tobytes(), arrays["label_ids"].tobytes()
            rows = zip(
                arrays["ranks"].tolist(),
                arrays["times"].tolist(),
                arrays["values"].tolist(),
                arrays["weights"].tolist(),
                strict=True,
            )
            for row, (rank, ms, value, weight) in enumerate(rows):
                part = slice(16 * row, 16 * row + 16)
                holders[LabelKey(head, records[part])] = EffectiveLabel(
                    LabelPrecedence(rank, ms, label_ids[part]), names[value], weight
                )
        return cls(holders)


def _decide(holder: EffectiveLabel | None, value: str, weight: float) -> LabelDecision:
    if not value:
        return LabelDecision("retracts", 0.0)
    if holder is None:
        return LabelDecision("first", weight)
    if holder.value == value:
        return LabelDecision("confirms", max(weight - holder.weight, 0.0))
    return LabelDecision("corrects", weight)


def _arrays(
    rows: list[tuple[bytes, EffectiveLabel]], labels: list[str]
) -> dict[str, npt.NDArray[Any]]:
    places = {label: place for place, label in enumerate([RETRACTED, *labels])}
    standings = [holder.precedence for _, holder in rows]
    return {
        "records": _ids([record for record, _ in rows]),
        "label_ids": _ids([standing.label_id for standing in standings]),
        "ranks": np.array([standing.rank for standing in standings], dtype=np.int32),
        "times": np.array([standing.labelled_ms for standing in standings], dtype=np.int64),
        "values": np.array([places[holder.value] for _, holder in rows], dtype=np.int32),
        "weights": np.array([holder.weight for _, holder in rows], dtype=np.float32),
    }


def _ids(ids: list[bytes]) -> npt.NDArray[np.int64]:
    return np.frombuffer(b"".join(ids), dtype="<i8").reshape(len(ids), _UUID_WORDS)

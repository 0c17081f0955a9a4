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
RANKS: Final = {"person": 1, "import": 1, "outcome": 0}
TAKEN_BACK: Final = ""
_UUID_WORDS: Final = 2


class LabelKey(NamedTuple):
    """What is judged: a record (its 16 bytes) by a head."""

    head: str
    record: bytes


class Standing(NamedTuple):
    """A label's place among those of its record and head: the greatest holds."""

    rank: int
    labelled_ms: int
    label: bytes


class Holder(NamedTuple):
    """The label that holds; `value` is "" where it was taken back. `weight` is the most that it was
    given with.
    """

    standing: Standing
    value: str
    weight: float


Effect = Literal["first", "corrects", "confirms", "retracts", "outdated", "repeated"]


class Ruling(NamedTuple):
    """What becomes of a label: its effect, and the weight with which its value is to be learnt (0:
    not at all).
    """

    effect: Effect
    weight: float


def standing_of(event: Mapping[str, Any]) -> Standing | str:
    """Return the standing of an example or a retraction, or what is wrong with it, naming the
    field.
    """
    rank = RANKS.get(event.get("source", "person"))
    if rank is None:
        return f"source: {event.get('source')!r} is none of {', '.join(RANKS)}"
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
    return Standing(rank, round(moment.timestamp() * 1000), label)


def key_of(event: Mapping[str, Any]) -> LabelKey | str:
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

    _holders: dict[LabelKey, Holder] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(1 for _ in self.values())

    def take(self, key: LabelKey, standing: Standing, value: str, weight: float) -> Ruling:
        """Take a label (value "": one taken back) and return what is to be learnt of it.

        A correction is one more example (docs/adr/0014: with the weight of what it corrects on top,
        models became no better); what it corrects leaves the weights with the next generation. What
        confirms is learnt only as far as it weighs more.
        """
        holder = self._holders.get(key)
        if holder is not None and standing <= holder.standing:
            return Ruling("repeated" if standing == holder.standing else "outdated", 0.0)
        ruling = _ruling(holder, value, weight)
        learnt = holder.weight if holder is not None and value in ("", holder.value) else 0.0
        self._holders[key] = Holder(standing, value, max(weight, learnt))
        return ruling

    def values(self) -> Iterator[tuple[LabelKey, Holder]]:
        """Yield the labels that hold and were not taken back."""
        return ((key, holder) for key, holder in self._holders.items() if holder.value)

    def state(self, labels: Mapping[str, list[str]]) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """Return the holders as arrays by head; `labels` names each head's values, by whose place
        they are stored.
        """
        heads: dict[str, list[tuple[bytes, Holder]]] = {}
        for key, holder in self._holders.items():
            heads.setdefault(key.head, []).append((key.record, holder))
        return {head: _arrays(sorted(rows), labels[head]) for head, rows in sorted(heads.items())}

    @classmethod
    def restore(
        cls, heads: Mapping[str, Arrays], labels: Mapping[str, list[str]]
    ) -> LabelResolution:
        """Return the holders of a `state`."""
        holders: dict[LabelKey, Holder] = {}
        for head, arrays in heads.items():
            names = [TAKEN_BACK, *labels[head]]
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
                holders[LabelKey(head, records[part])] = Holder(
                    Standing(rank, ms, label_ids[part]), names[value], weight
                )
        return cls(holders)


def _ruling(holder: Holder | None, value: str, weight: float) -> Ruling:
    if not value:
        return Ruling("retracts", 0.0)
    if holder is None:
        return Ruling("first", weight)
    if holder.value == value:
        return Ruling("confirms", max(weight - holder.weight, 0.0))
    return Ruling("corrects", weight)


def _arrays(rows: list[tuple[bytes, Holder]], labels: list[str]) -> dict[str, npt.NDArray[Any]]:
    places = {label: place for place, label in enumerate([TAKEN_BACK, *labels])}
    standings = [holder.standing for _, holder in rows]
    return {
        "records": _ids([record for record, _ in rows]),
        "label_ids": _ids([standing.label for standing in standings]),
        "ranks": np.array([standing.rank for standing in standings], dtype=np.int32),
        "times": np.array([standing.labelled_ms for standing in standings], dtype=np.int64),
        "values": np.array([places[holder.value] for _, holder in rows], dtype=np.int32),
        "weights": np.array([holder.weight for _, holder in rows], dtype=np.float32),
    }


def _ids(ids: list[bytes]) -> npt.NDArray[np.int64]:
    return np.frombuffer(b"".join(ids), dtype="<i8").reshape(len(ids), _UUID_WORDS)

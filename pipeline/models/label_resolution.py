"""Label resolution: which of several labels about one record and head counts, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pipeline.models.state_format import Arrays

# A label by a person outranks one that a query inferred from an outcome.
SOURCE_RANKS: Final = {"person": 1, "import": 1, "outcome": 0}
RETRACTED: Final = ""
_UUID_WORDS: Final = 2


class LabelKey(NamedTuple):
    """What a label is about: a head, and a record (the 16 bytes of its id)."""

    head: str
    record: bytes


class LabelPrecedence(NamedTuple):
    """The precedence of a label among those of one record and head; the greatest is effective."""

    rank: int
    labelled_ms: int
    label_id: bytes


class EffectiveLabel(NamedTuple):
    """The label that counts for a record and head; `value` is `RETRACTED` after a retraction.

    `weight` is the greatest weight with which the value was labelled.
    """

    precedence: LabelPrecedence
    value: str
    weight: float


LabelEffect = Literal["first", "corrects", "confirms", "retracts", "outdated", "repeated"]


class LabelDecision(NamedTuple):
    """The effect of a new label, and the weight with which to learn its value (0: do not learn)."""

    effect: LabelEffect
    weight: float


def label_precedence(event: Mapping[str, Any]) -> LabelPrecedence | str:
    """Return the precedence of an example or a retraction, or what is wrong with which field."""
    source = event.get("source", "person")
    rank = SOURCE_RANKS.get(source) if isinstance(source, str) else None
    if rank is None:
        return f"source: {event.get('source')!r} is not one of {', '.join(SOURCE_RANKS)}"
    try:
        label = UUID(str(event.get("label_id"))).bytes
    except ValueError:
        return f"label_id: {event.get('label_id')!r} is not a UUID"
    try:
        moment = datetime.fromisoformat(str(event.get("labelled_at")))
    except ValueError:
        return f"labelled_at: {event.get('labelled_at')!r} is not an ISO 8601 time"
    if moment.tzinfo is None:
        return f"labelled_at: {event.get('labelled_at')!r} has no time zone"
    return LabelPrecedence(rank, round(moment.timestamp() * 1000), label)


def label_key(event: Mapping[str, Any]) -> LabelKey | str:
    """Return what an example or a retraction is about, or what is wrong with which field."""
    try:
        return LabelKey(str(event.get("head")), UUID(str(event.get("record_id"))).bytes)
    except ValueError:
        return f"record_id: {event.get('record_id')!r} is not a UUID"


@dataclass(slots=True)
class LabelResolution:
    """The effective labels: of each record and head the one of greatest precedence.

    The result depends on the set of labels added, not on their order.
    """

    _labels: dict[LabelKey, EffectiveLabel] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(1 for _ in self.effective_labels())

    def add(
        self, key: LabelKey, precedence: LabelPrecedence, value: str, weight: float
    ) -> LabelDecision:
        """Add a label (`RETRACTED` as value: a retraction) and return what to learn of it.

        A correction is one more example (docs/adr/0014: adding the weight of the corrected label to
        it made models no better); the corrected label leaves the weights with the next generation.
        A confirmation is learnt only with the weight by which it exceeds the earlier one.
        """
        current = self._labels.get(key)
        if current is not None and precedence <= current.precedence:
            return LabelDecision(
                "repeated" if precedence == current.precedence else "outdated", 0.0
            )
        decision = _decide(current, value, weight)
        learnt = current.weight if current is not None and value in ("", current.value) else 0.0
        self._labels[key] = EffectiveLabel(precedence, value, max(weight, learnt))
        return decision

    def effective_labels(self) -> Iterator[tuple[LabelKey, EffectiveLabel]]:
        """Yield the effective labels without retractions."""
        return ((key, label) for key, label in self._labels.items() if label.value)

    def state(self, labels: Mapping[str, list[str]]) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """Return the state as arrays by head, values stored as indexes in `labels` of the head."""
        heads: dict[str, list[tuple[bytes, EffectiveLabel]]] = {}
        for key, label in self._labels.items():
            heads.setdefault(key.head, []).append((key.record, label))
        return {head: _arrays(sorted(rows), labels[head]) for head, rows in sorted(heads.items())}

    @classmethod
    def restore(
        cls, heads: Mapping[str, Arrays], labels: Mapping[str, list[str]]
    ) -> LabelResolution:
        """Return the label resolution of a `state`."""
        effective: dict[LabelKey, EffectiveLabel] = {}
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
                effective[LabelKey(head, records[part])] = EffectiveLabel(
                    LabelPrecedence(rank, ms, label_ids[part]), names[value], weight
                )
        return cls(effective)


def _decide(current: EffectiveLabel | None, value: str, weight: float) -> LabelDecision:
    if not value:
        return LabelDecision("retracts", 0.0)
    if current is None:
        return LabelDecision("first", weight)
    if current.value == value:
        return LabelDecision("confirms", max(weight - current.weight, 0.0))
    return LabelDecision("corrects", weight)


def _arrays(
    rows: list[tuple[bytes, EffectiveLabel]], labels: list[str]
) -> dict[str, npt.NDArray[Any]]:
    indexes = {label: index for index, label in enumerate([RETRACTED, *labels])}
    precedences = [label.precedence for _, label in rows]
    return {
        "records": _ids([record for record, _ in rows]),
        "label_ids": _ids([precedence.label_id for precedence in precedences]),
        "ranks": np.array([precedence.rank for precedence in precedences], dtype=np.int32),
        "times": np.array([precedence.labelled_ms for precedence in precedences], dtype=np.int64),
        "values": np.array([indexes[label.value] for _, label in rows], dtype=np.int32),
        "weights": np.array([label.weight for _, label in rows], dtype=np.float32),
    }


def _ids(ids: list[bytes]) -> npt.NDArray[np.int64]:
    return np.frombuffer(b"".join(ids), dtype="<i8").reshape(len(ids), _UUID_WORDS)

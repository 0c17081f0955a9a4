"""The command `reclassify`: what the history holds is judged again by other models, and only that
(docs/adr/0015).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from pipeline.envelope import contract_message
from pipeline.errors import UserError
from pipeline.log.port import Log
from pipeline.models.classifier import Classifier, Prediction
from pipeline.models.heads import HEADS, Head
from pipeline.sinks.reclassification import text_hash
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.envelope import stable_id
from schemas.reclassified import Reclassification
from schemas.topics import RECLASSIFIED

# Ids of a page are sixteen bytes each; texts are read a batch at a time, as enrich takes them.
_PAGE, _BATCH = 100_000, 2_000
_BUILT_IN = frozenset(head.name for head in HEADS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be judged again: records of a span (instants as text in UTC, the end exclusive),
    by these heads.
    """

    start: str
    end: str
    heads: tuple[str, ...]

    @property
    def checkpoint(self) -> str:
        """The name under which the log remembers how far this has come."""
        told = "\0".join((self.start, self.end, *self.heads))
        return f"reclassify/{hashlib.sha256(told.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class Progress:
    """How far a run has come: the models' version, the last record, and what became of them; `done`
    at its end.

    `changed` counts by head, earlier and later label.
    """

    version: str
    after: str = ""
    records: int = 0
    answers: int = 0
    done: bool = False
    changed: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def to_json(self) -> bytes:
        """Return everything as JSON; see `of`."""
        changed = [[*key, count] for key, count in sorted(self.changed.items())]
        return orjson.dumps({**asdict(self), "changed": changed})

    @classmethod
    def of(cls, raw: bytes) -> Progress:
        """Return the progress of `to_json`."""
        given = orjson.loads(raw)
        changed = Counter(
            {(head, old, new): count for head, old, new, count in given.pop("changed")}
        )
        return cls(**given, changed=changed)


def wanted_heads(names: Sequence[str], heads: Sequence[Head]) -> tuple[str, ...]:
    """Return the names of heads to judge by, all of the table where none is named; raises UserError
    for one that does not exist.
    """
    known = [head.name for head in heads]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"there is no head {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(name for name in known if name in names) if names else tuple(known)


def unfinished(log: Log, wanted: Wanted) -> Progress | None:
    """Return how far an earlier run of the same has come that did not end; None where there is
    none.
    """
    raw = log.checkpoint(wanted.checkpoint)
    progress = Progress.of(raw) if raw else None
    return None if progress is None or progress.done else progress


def records_of(warehouse: Warehouse, wanted: Wanted) -> int:
    """Return how many records lie in the span."""
    return int(
        rows(
            warehouse, f"SELECT count() AS n FROM communications WHERE {_WITHIN}", **_span(wanted)
        )[0]["n"]
    )


def reclassify(
    log: Log,
    warehouse: Warehouse,
    models: Classifier,
    wanted: Wanted,
    progress: Progress,
    now: datetime,
    *,
    dry: bool,
) -> Iterator[Progress]:
    """Judge batch by batch and yield the progress after each; what is new is on the log, with the
    progress, when it is yielded.

    A head's answer that the record shows already from the same models is left alone, so a second
    run writes nothing. `dry` writes nothing at all.
    """
    models = replace(
        models, views=tuple(view for view in models.views if view.head.name in wanted.heads)
    )
    for batch in _batches(warehouse, wanted, progress.after):
        messages = []
        judged = models.classify(
            [row["text"] for row in batch], [row["direction"] for row in batch]
        )
        for row, answers in zip(batch, judged, strict=True):
            for head, answer in answers.items():
                label, version = _shown(row, head)
                if version == answer.version or not (label or answer.label):
                    continue
                progress.answers += 1
                if label != answer.label:
                    progress.changed[head, label, answer.label] += 1
                made = _reclassification(row, head, answer, now)
                messages.append(contract_message(RECLASSIFIED.name, row["record_id"], made))
        progress.records += len(batch)
        progress.after = batch[-1]["record_id"]
        _kept(log, wanted, messages, progress, dry)
        yield progress
    progress.done = True
    _kept(log, wanted, (), progress, dry)


def _kept(log: Log, wanted: Wanted, messages: Sequence[Any], progress: Progress, dry: bool) -> None:
    if dry:
        return
    with log.transaction() as transaction:
        transaction.produce(messages)
        transaction.checkpoint(wanted.checkpoint, progress.to_json())


_WITHIN = (
    "occurred_at >= toDateTime64({start:String}, 3, 'UTC') AND occurred_at <"
    " toDateTime64({end:String}, 3, 'UTC')"
)
# Ids in the order of the table's key: texts of one batch lie side by side, and so do the rows that
# load writes again. Ids of earlier versions of a row are the same, so the current version need not
# be known.
_IDS = (
    f"SELECT record_id FROM communication_rows WHERE {_WITHIN}"
    " AND ({after:String} = '' OR record_id > toUUIDOrZero({after:String}))"
    f" GROUP BY record_id ORDER BY record_id LIMIT {_PAGE}"
)


def _batches(warehouse: Warehouse, wanted: Wanted, after: str) -> Iterator[list[dict[str, Any]]]:
    texts = _texts(wanted.heads)
    while page := [row["record_id"] for row in rows(warehouse, _IDS, after=after, **_span(wanted))]:
        for first in range(0, len(page), _BATCH):
            ids = page[first : first + _BATCH]
            if found := rows(warehouse, texts, first=ids[0], last=ids[-1], **_span(wanted)):
                yield found
        after = page[-1]


def _texts(heads: Sequence[str]) -> str:
    shown = (
        (
            f"(record.{head}, record.{head}_version) AS shown_{head}"
            if head in _BUILT_IN
            else f"(record.answers['{head}'], record.answers_version['{head}']) AS shown_{head}"
        )
        for head in heads
    )
    return (
        f"SELECT record_id, tenant, redacted_text AS text, {text_hash('record')} AS text_hash,"
        f" {', '.join(shown)}, if(kind IN ('system', 'note'), 'internal', direction) AS direction"
        " FROM communications AS record WHERE record_id >= {first:UUID} AND record_id <="
        f" {{last:UUID}} AND {_WITHIN} ORDER BY record_id"
    )


def _span(wanted: Wanted) -> dict[str, str]:
    return {"start": wanted.start, "end": wanted.end}


def _shown(row: Mapping[str, Any], head: str) -> tuple[str, str]:
    """Return the label and the version that a record shows for a head, each "" where it shows
    none.
    """
    shown = row[f"shown_{head}"]
    label, version = shown.values() if isinstance(shown, dict) else shown
    return str(label), str(version)


def _reclassification(
    row: Mapping[str, Any], head: str, answer: Prediction, now: datetime
) -> Reclassification:
    return Reclassification(
        reclassification_id=stable_id("reclassification", row["record_id"], head, answer.version),
        tenant=row["tenant"],
        record_id=UUID(row["record_id"]),
        head=head,
        label=answer.label,
        also=answer.also,
        p=answer.probability,
        abstained=answer.abstained,
        model_version=answer.version,
        text_hash=row["text_hash"],
        judged_at=now,
    )

"""`reclassify`: classify records of the history again with the current models (docs/adr/0015)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from pipeline.commands.explain import current_models
from pipeline.commands.models import models_at_version
from pipeline.errors import UserError
from pipeline.log.clock import utc_now
from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import Log
from pipeline.models.classifier import Classifier, HeadPrediction
from pipeline.models.heads import Head
from pipeline.sinks.reclassification import text_hash_sql
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.workspace import Workspace
from schemas.envelope import stable_id
from schemas.reclassified import Reclassification
from schemas.topics import RECLASSIFIED

# An id has sixteen bytes, so a page is small; texts are read in batches of the size of enrich.
_PAGE, _BATCH = 100_000, 2_000


@dataclass(frozen=True, slots=True)
class ReclassificationScope:
    """The records and heads to classify again: `start` to `end` (exclusive), as text in UTC."""

    start: str
    end: str
    heads: tuple[str, ...]

    @property
    def checkpoint(self) -> str:
        """The name of the checkpoint of this scope in the log."""
        key = "\0".join((self.start, self.end, *self.heads))
        return f"reclassify/{hashlib.sha256(key.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class ReclassificationProgress:
    """The progress of a run: the version of the models, the last record, and counts.

    `changed` counts by head, earlier label and new label; `done` is true at the end of the run.
    """

    version: str
    after: str = ""
    records: int = 0
    answers: int = 0
    done: bool = False
    changed: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def to_json(self) -> bytes:
        """Return the progress as JSON, for `from_json`."""
        changed = [[*key, count] for key, count in sorted(self.changed.items())]
        return orjson.dumps({**asdict(self), "changed": changed})

    @classmethod
    def from_json(cls, raw: bytes) -> ReclassificationProgress:
        """Return the progress that `to_json` wrote."""
        fields = orjson.loads(raw)
        changed = Counter(
            {(head, old, new): count for head, old, new, count in fields.pop("changed")}
        )
        return cls(**fields, changed=changed)


@dataclass
class ReclassificationRun:
    """A run that can start: its models, its progress so far and the number of records in scope.

    `lost_version` is the version of an interrupted run whose models no longer exist, or "".
    """

    scope: ReclassificationScope
    models: Classifier
    progress: ReclassificationProgress
    total: int
    lost_version: str = ""

    def classify(
        self, log: Log, warehouse: Warehouse, *, dry: bool
    ) -> Iterator[ReclassificationProgress]:
        """Classify batch by batch; see `reclassify_records`."""
        return reclassify_records(
            log, warehouse, self.models, self.scope, self.progress, utc_now(), dry=dry
        )


def prepare_run(
    workspace: Workspace,
    log: Log,
    warehouse: Warehouse,
    scope: ReclassificationScope,
    *,
    resume: bool,
) -> ReclassificationRun:
    """Return a new run with the current models, or resume an interrupted one with its models."""
    total = count_records(warehouse, scope)
    earlier = unfinished_run(log, scope) if resume else None
    if earlier and (models := models_at_version(log, earlier.version, workspace.heads())):
        return ReclassificationRun(scope, models, earlier, total)
    models = current_models(workspace, log)
    progress = ReclassificationProgress(models.version)
    return ReclassificationRun(scope, models, progress, total, earlier.version if earlier else "")


def select_heads(names: Sequence[str], heads: Sequence[Head]) -> tuple[str, ...]:
    """Return the names that are heads, in the order of the table; all heads if no name is given.

    Raises UserError for a head that does not exist.
    """
    known = [head.name for head in heads]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"there is no head {', '.join(unknown)}; the heads are {', '.join(known)}")
    return tuple(name for name in known if name in names) if names else tuple(known)


def unfinished_run(log: Log, scope: ReclassificationScope) -> ReclassificationProgress | None:
    """Return the progress of an interrupted run of the same scope, or None."""
    raw = log.checkpoint(scope.checkpoint)
    progress = ReclassificationProgress.from_json(raw) if raw else None
    return None if progress is None or progress.done else progress


def count_records(warehouse: Warehouse, scope: ReclassificationScope) -> int:
    """Return the number of records in scope."""
    return int(
        rows(warehouse, f"SELECT count() AS n FROM communications WHERE {_WITHIN}", **_span(scope))[
            0
        ]["n"]
    )


def reclassify_records(
    log: Log,
    warehouse: Warehouse,
    models: Classifier,
    scope: ReclassificationScope,
    progress: ReclassificationProgress,
    now: datetime,
    *,
    dry: bool,
) -> Iterator[ReclassificationProgress]:
    """Classify batch by batch and yield the progress after each batch.

    New answers and the progress are durable on the log when they are yielded. Answers that the
    record has from the same models already are skipped, so a second run writes nothing. `dry`
    writes nothing at all.
    """
    models = replace(
        models, views=tuple(view for view in models.views if view.head.name in scope.heads)
    )
    for batch in _batches(warehouse, scope, progress.after):
        messages = []
        answers_by_row = models.classify(
            [row["text"] for row in batch], [row["direction"] for row in batch]
        )
        for row, answers in zip(batch, answers_by_row, strict=True):
            for head, answer in answers.items():
                label, version = _shown(row, head)
                # A record from before the head existed has no version. It gets an empty answer too,
                # as a new record does: both have the head's key.
                does_not_apply = bool(version) and not (label or answer.label)
                if version == answer.version or does_not_apply:
                    continue
                progress.answers += 1
                if label != answer.label:
                    progress.changed[head, label, answer.label] += 1
                event = _reclassification(row, head, answer, now)
                messages.append(encode_contract(RECLASSIFIED.name, row["record_id"], event))
        progress.records += len(batch)
        progress.after = batch[-1]["record_id"]
        _save(log, scope, messages, progress, dry)
        yield progress
    progress.done = True
    _save(log, scope, (), progress, dry)


def _save(
    log: Log,
    scope: ReclassificationScope,
    messages: Sequence[Any],
    progress: ReclassificationProgress,
    dry: bool,
) -> None:
    if dry:
        return
    with log.transaction() as transaction:
        transaction.produce(messages)
        transaction.checkpoint(scope.checkpoint, progress.to_json())


_WITHIN = (
    "occurred_at >= toDateTime64({start:String}, 3, 'UTC') AND occurred_at <"
    " toDateTime64({end:String}, 3, 'UTC')"
)
# In the order of the table's key, so that the texts of a batch are adjacent, and the rows that load
# writes again too. All versions of a row have the same id, so the query needs no FINAL.
_IDS = (
    f"SELECT record_id FROM communication_rows WHERE {_WITHIN}"
    " AND ({after:String} = '' OR record_id > toUUIDOrZero({after:String}))"
    f" GROUP BY record_id ORDER BY record_id LIMIT {_PAGE}"
)


def _batches(
    warehouse: Warehouse, scope: ReclassificationScope, after: str
) -> Iterator[list[dict[str, Any]]]:
    texts = _texts(scope.heads)
    while page := [row["record_id"] for row in rows(warehouse, _IDS, after=after, **_span(scope))]:
        for first in range(0, len(page), _BATCH):
            ids = page[first : first + _BATCH]
            if found := rows(warehouse, texts, first=ids[0], last=ids[-1], **_span(scope)):
                yield found
        after = page[-1]


def _texts(heads: Sequence[str]) -> str:
    shown = (
        f"(record.answers['{head}'], record.answers_version['{head}']) AS shown_{head}"
        for head in heads
    )
    return (
        f"SELECT record_id, tenant, redacted_text AS text, {text_hash_sql('record')} AS text_hash,"
        f" {', '.join(shown)}, if(kind IN ('system', 'note'), 'internal', direction) AS direction"
        " FROM communications AS record WHERE record_id >= {first:UUID} AND record_id <="
        f" {{last:UUID}} AND {_WITHIN} ORDER BY record_id"
    )


def _span(scope: ReclassificationScope) -> dict[str, str]:
    return {"start": scope.start, "end": scope.end}


def _shown(row: Mapping[str, Any], head: str) -> tuple[str, str]:
    """Return the label and version that a record has for a head, or "" and ""."""
    shown = row[f"shown_{head}"]
    label, version = shown.values() if isinstance(shown, dict) else shown
    return str(label), str(version)


def _reclassification(
    row: Mapping[str, Any], head: str, answer: HeadPrediction, now: datetime
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

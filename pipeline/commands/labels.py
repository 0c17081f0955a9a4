"""`label` and `labels import|retract`: labels that people give, one by one or in a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from pipeline.errors import UserError
from pipeline.ingest.port import ReadEvent
from pipeline.ingest.publisher import Publisher
from pipeline.log.clock import utc_now
from pipeline.models.heads import HEADS, Head
from pipeline.processors.labels import label_problem
from pipeline.runtime.stages import labelled_texts
from pipeline.workspace import Workspace
from schemas.envelope import Event, record_id_of, stable_id, tenant_problem
from schemas.registry import LABEL_ADDED, LABEL_RETRACTED
from schemas.types import in_range

SOURCE = "switchboard/label"
# The limit of the contract (schemas/labels.py: LabelData).
_MAX_WEIGHT = 100.0


class LabelError(UserError, ValueError):
    """A label is wrong; the message names the field and the declared values."""


@dataclass(frozen=True, slots=True)
class BadLabelRow:
    """A row of a label file that is not a label, and the reason."""

    line: int
    detail: str


def label_event(
    record_id: UUID,
    head: str,
    value: str,
    *,
    by: str = "",
    note: str = "",
    origin: str = "person",
    tenant: str,
    source: str = SOURCE,
    weight: float = 1.0,
    at: datetime | None = None,
    heads: Sequence[Head] = HEADS,
) -> Event:
    """Return the event of a label; raises LabelError for a head or value that is not declared.

    The same label by the same person at the same time is the same event, so a file that is imported
    twice labels once. `at` is the time of the label: of two labels of one record and head the later
    one is effective. None is the time at which the log takes it.
    """
    if problem := label_problem(head, value, heads) or _tenant_problem(tenant):
        raise LabelError(problem)
    data: dict[str, Any] = {
        "record_id": str(record_id),
        "head": head,
        "value": value,
        "origin": origin,
    }
    data |= {name: text for name, text in (("by", by), ("note", note)) if text}
    data |= {"weight": weight} if weight != 1.0 else {}
    when = "" if at is None else at.isoformat()
    identity = stable_id("label", str(record_id), head, value, by, when)
    return Event(
        id=str(identity), source=source, type=LABEL_ADDED, time=at, tenant=tenant, data=data
    )


def _tenant_problem(name: str) -> str:
    """Return why an event cannot have a tenant, as records of earlier versions may, or ""."""
    problem = tenant_problem(name)
    return problem and f"tenant: {name!r} {problem}"


def retraction_event(
    record_id: UUID,
    head: str,
    *,
    by: str = "",
    note: str = "",
    tenant: str,
    at: datetime | None = None,
    heads: Sequence[Head] = HEADS,
) -> Event:
    """Return the event that retracts a label; raises LabelError for an undeclared head."""
    if problem := label_problem(head, "", heads) or _tenant_problem(tenant):
        raise LabelError(problem)
    data = {"record_id": str(record_id), "head": head, "by": by, "note": note}
    when = "" if at is None else at.isoformat()
    return Event(
        id=str(stable_id("retraction", str(record_id), head, by, when)),
        source=SOURCE,
        type=LABEL_RETRACTED,
        time=at,
        tenant=tenant,
        data={name: text for name, text in data.items() if text},
    )


def publish_label(
    publisher: Publisher,
    record_id: UUID,
    head: str,
    value: str,
    *,
    by: str,
    tenant: str,
    at: datetime,
    heads: Sequence[Head],
) -> None:
    """Publish a person's label of a record durably; raises LabelError like `label_event`."""
    event = label_event(record_id, head, value, by=by, tenant=tenant, at=at, heads=heads)
    _publish(publisher, event, "label/1")
    publisher.flush()


def label_record(
    workspace: Workspace, record_id: UUID, head: str, value: str, *, by: str, note: str
) -> None:
    """Label a record of the history; raises UserError if the history does not contain it."""
    event = label_event(
        record_id,
        head,
        value,
        by=by,
        note=note,
        tenant=workspace.settings.tenant,
        at=utc_now(),
        heads=workspace.heads(),
    )
    with workspace.open_warehouse() as warehouse:
        if record_id not in labelled_texts(warehouse, [record_id]):
            raise UserError(
                f"the history contains no record {record_id}; list records with `switchboard query"
                " 'SELECT record_id, subject FROM communications'`"
            )
    with workspace.open_publisher() as publisher:
        _publish(publisher, event, "label/1")


def retract_label(workspace: Workspace, record_id: UUID, head: str, *, by: str, note: str) -> None:
    """Retract the label of a record; raises LabelError for a head that is not declared."""
    event = retraction_event(
        record_id,
        head,
        by=by,
        note=note,
        tenant=workspace.settings.tenant,
        at=utc_now(),
        heads=workspace.heads(),
    )
    with workspace.open_publisher() as publisher:
        _publish(publisher, event, "label/1")


def import_labels(workspace: Workspace, path: Path) -> Iterator[Event | BadLabelRow]:
    """Publish the labels of a file; yield each, and each bad row; raises as `read_labels`."""
    with workspace.open_publisher() as publisher:
        for item in read_labels(path, workspace.settings.tenant, workspace.heads()):
            if isinstance(item, Event):
                _publish(publisher, item, "labels/1")
            yield item


def _publish(publisher: Publisher, event: Event, connector: str) -> None:
    item = ReadEvent(event, event.model_dump_json().encode())
    publisher.publish(item, connector, event.tenant)


def read_labels(
    path: Path, tenant: str, heads: Sequence[Head] = HEADS
) -> Iterator[Event | BadLabelRow]:
    """Yield the labels, and the bad rows, of a CSV (with a header) or JSONL file in UTF-8.

    Required columns: head, value, and record_id, or source and event_id. Optional columns: by,
    note, weight, and labelled_at (RFC 3339 with a zone). Without labelled_at, the time of a label
    is the last change of the file, so importing a file again does not override newer labels. Raises
    OSError for a file that cannot be read, LabelError for a CSV that lacks a column.
    """
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
    for line, row in _rows(path):
        if isinstance(row, str):
            yield BadLabelRow(line, row)
            continue
        try:
            yield label_event(
                _record_id(row, tenant),
                str(row.get("head") or "").strip(),
                str(row.get("value") or "").strip(),
                by=str(row.get("by") or ""),
                note=str(row.get("note") or ""),
                origin="import",
                tenant=tenant,
                weight=_weight(row),
                at=_labelled_at(row) or written,
                heads=heads,
            )
        except (LabelError, ValueError) as error:
            yield BadLabelRow(line, str(error))


def _record_id(row: dict[str, Any], tenant: str) -> UUID:
    if row.get("record_id"):
        try:
            return UUID(str(row["record_id"]))
        except ValueError as error:
            raise LabelError(f"record_id: {row['record_id']!r} is not a record id") from error
    if row.get("source") and row.get("event_id"):
        return record_id_of(tenant, str(row["source"]), str(row["event_id"]))
    raise LabelError("the row needs a record_id, or a source and an event_id")


def _weight(row: dict[str, Any]) -> float:
    value = row.get("weight")
    if value in (None, ""):
        return 1.0
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = 0.0
    if not 0 < weight <= _MAX_WEIGHT:
        raise LabelError(f"weight: {value!r} is not a number above 0 and at most {_MAX_WEIGHT:g}")
    return weight


def _labelled_at(row: dict[str, Any]) -> datetime | None:
    value = row.get("labelled_at")
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise LabelError(
            f"labelled_at: {value!r} is not a time such as 2026-11-01T10:00:00+08:00"
        ) from error
    if moment.tzinfo is None or not in_range(moment):
        raise LabelError(
            f"labelled_at: {value!r} needs a zone, such as 2026-11-01T10:00:00+08:00, and a year"
            " from 1970 on"
        )
    return moment


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        first = file.read(1)
        file.seek(0)
        yield from _json_rows(file) if first == "{" else _csv_rows(path, file)


def _json_rows(file: Any) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            row = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, row if isinstance(row, dict) else "not a JSON object"


def _csv_rows(path: Path, file: Any) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(file)
    missing = {"head", "value"} - set(reader.fieldnames or ())
    if missing:
        raise LabelError(
            f"{path}: the header lacks {', '.join(sorted(missing))}; the columns head, value and"
            " record_id are required"
        )
    for row in reader:
        yield reader.line_num, row

"""Labels from people: one by command, many from a file; a wrong row is named and the rest goes
on.
"""

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
from pipeline.ingest.port import Found
from pipeline.ingest.publisher import Publisher
from pipeline.models.heads import HEADS, Head
from pipeline.processors.labels import label_problem
from schemas.envelope import Event, record_id_of, stable_id
from schemas.registry import LABEL_GIVEN, LABEL_RETRACTED
from schemas.types import in_range

SOURCE = "switchboard/label"
# As the contract has it (schemas/labels.py: LabelData).
_MOST_WEIGHT = 100.0


class LabelError(UserError, ValueError):
    """A label is wrong; the message names the field and what is declared."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a label file that is no label, and why."""

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

    The same judgement by the same person at the same time is the same event, so that a file
    imported twice labels once. `at`: when it was given; of two labels of one record and head the
    later holds. None: when the log takes it.
    """
    if problem := label_problem(head, value, heads):
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
        id=str(identity), source=source, type=LABEL_GIVEN, time=at, tenant=tenant, data=data
    )


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
    """Return the event that takes a label back; raises LabelError for a head that is not
    declared.
    """
    if problem := label_problem(head, "", heads):
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


def give(
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
    """Publish a person's label of a record, durably; raises LabelError as `label_event` does."""
    event = label_event(record_id, head, value, by=by, tenant=tenant, at=at, heads=heads)
    publisher.publish(Found(event, event.model_dump_json().encode()), "label/1", tenant)
    publisher.flush()


def read_labels(path: Path, tenant: str, heads: Sequence[Head] = HEADS) -> Iterator[Event | BadRow]:
    """Yield the labels of a CSV (with a header) or JSONL file in UTF-8: head, value, and record_id
    or source and event_id.

    Further columns: by, note, weight, and labelled_at (RFC 3339, with its zone), which is else when
    the file was last written: a label given since is not overruled when a file is imported again.
    Raises OSError where the file can't be read, LabelError where a CSV lacks a column.
    """
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
    for line, row in _rows(path):
        if isinstance(row, str):
            yield BadRow(line, row)
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
            yield BadRow(line, str(error))


def _record_id(row: dict[str, Any], tenant: str) -> UUID:
    if row.get("record_id"):
        try:
            return UUID(str(row["record_id"]))
        except ValueError as error:
            raise LabelError(f"record_id: {row['record_id']!r} is no record id") from error
    if row.get("source") and row.get("event_id"):
        return record_id_of(tenant, str(row["source"]), str(row["event_id"]))
    raise LabelError("needs a record_id, or source and event_id")


def _weight(row: dict[str, Any]) -> float:
    given = row.get("weight")
    if given in (None, ""):
        return 1.0
    try:
        weight = float(given)
    except (TypeError, ValueError):
        weight = 0.0
    if not 0 < weight <= _MOST_WEIGHT:
        raise LabelError(f"weight: {given!r} is no number over 0 and at most {_MOST_WEIGHT:g}")
    return weight


def _labelled_at(row: dict[str, Any]) -> datetime | None:
    given = row.get("labelled_at")
    if not given:
        return None
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError as error:
        raise LabelError(
            f"labelled_at: {given!r} is no time such as 2026-11-01T10:00:00+08:00"
        ) from error
    if moment.tzinfo is None or not in_range(moment):
        raise LabelError(
            f"labelled_at: {given!r} needs a zone, such as 2026-11-01T10:00:00+08:00, and a year"
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
            f"{path}: the header lacks {', '.join(sorted(missing))}; it needs head, value and"
            " record_id"
        )
    for row in reader:
        yield reader.line_num, row

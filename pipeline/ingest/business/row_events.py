"""A row of a CSV file becomes an event: its cells by field, validated against the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from pipeline.ingest.business.amounts import MarkEvidence, WrittenAmount
from pipeline.ingest.business.cell_times import is_clock
from pipeline.ingest.business.cell_values import CellError, CellFormat
from pipeline.ingest.business.csv_header import FileColumn
from pipeline.ingest.business.csv_tables import ACTION, OTHER, TIME, CsvTable, RowValues
from pipeline.ingest.business.order_columns import read_price
from pipeline.ingest.local_times import rfc3339
from schemas.business import BusinessData
from schemas.dead_letters import RejectCode
from schemas.envelope import stable_id
from schemas.registry import explain

# The field that takes the second column of a kind, in tables that have it.
_OVERFLOW_FIELDS = {"customer.phone": "phones", "customer.email": "emails"}
ITEM = "item."


@dataclass(frozen=True, slots=True)
class RowEvent:
    """What a row says: the event's id, type, time and data, and the data validated."""

    id: str
    type: str
    time: datetime | None
    data: dict[str, Any]
    validated: BusinessData


@dataclass(slots=True)
class RowReader:
    """Reads the rows of one file."""

    table: CsvTable
    cell_format: CellFormat
    columns: Sequence[FileColumn]
    evidence: Callable[[], MarkEvidence] = MarkEvidence
    off_scale: str = ""
    _has_field: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._has_field = frozenset(column.field for column in self.table.columns)

    def event(self, cells: Sequence[str], further: Sequence[Sequence[str]] = ()) -> RowEvent:
        """Return the event of a row; `further` rows add items to it. Raises CellError."""
        row, others = self.values(cells)
        self._check_needs(row)
        if "items" in row.values:
            # One column has all items: single columns of an item say the same again.
            for column in self.columns:
                if column.target and column.target.field.startswith(ITEM) and cells[column.index]:
                    row.values.pop(column.target.field, None)
                    others.setdefault(column.header, cells[column.index])
        items = [self._item(row)]
        items += [self._item(self.values(more, items_only=True)[0], row) for more in further]
        try:
            action = self.table.finish(row, self.cell_format)
        except CellError as error:
            raise self._named_error(error, row) from error
        if written := [item for item in items if item]:
            row.values["items"] = [*row.values.get("items", []), *written]
        moment: datetime | None = row.values.pop(TIME, None)
        row.values.pop(ACTION, None)
        data = _nested(row.values)
        # A column may be named like a field of the contract that no known column fills.
        names = _FreeNames({*data, *self.table.contract.model_fields})
        for header, cell in others.items():
            data[names.take(header)] = cell
        validated = self._validated(data, row)
        return RowEvent(
            self._id(row, action, moment, cells),
            f"{self.table.kind}.{action}",
            moment,
            data,
            validated,
        )

    def values(
        self, cells: Sequence[str], items_only: bool = False
    ) -> tuple[RowValues, dict[str, str]]:
        """Return a row's values by field, and the cells of unknown columns by header."""
        row = RowValues(evidence=self.evidence, off_scale=self.off_scale)
        others: dict[str, str] = {}
        names = _FreeNames(set())
        by_field: dict[str, list[FileColumn]] = {}
        for column in self.columns:
            if not cells[column.index]:
                continue
            if column.target:
                if not items_only or column.target.field.startswith(ITEM):
                    by_field.setdefault(column.target.field, []).append(column)
            else:
                name = names.take(column.header or f"column {column.index + 1}")
                others[name] = cells[column.index]
        # Lists first, because further numbers and addresses are appended to them.
        for name, same_field in sorted(
            by_field.items(), key=lambda entry: entry[0] not in _OVERFLOW_FIELDS.values()
        ):
            self._read_field(name, same_field, cells, row, others, names)
        return row, others

    def _read_field(
        self,
        name: str,
        same_field: Sequence[FileColumn],
        cells: Sequence[str],
        row: RowValues,
        others: dict[str, str],
        names: _FreeNames,
    ) -> None:
        first, *more = same_field
        text = cells[first.index]
        if name == TIME and more and (is_clock(text) or is_clock(cells[more[0].index])):
            # The date is in one column and the time of day in another, in either order.
            text = " ".join(sorted((text, cells[more.pop(0).index]), key=is_clock))
        assert first.target is not None
        row.written[name] = text
        try:
            row.values[name] = first.target.read(text, self.cell_format)
        except CellError as error:
            raise CellError(
                error.code, f"column {first.header!r} has {text[:80]!r}: {error}"
            ) from error
        if first.currency:
            row.currencies[name] = first.currency
        if name == "rating":
            row.scale = first.scale
        further = _OVERFLOW_FIELDS.get(name, "")
        for column in more:
            if further in self._has_field:
                listed = row.values.setdefault(further, [])
                if cells[column.index] not in (text, *listed):
                    listed.append(cells[column.index])
            elif cells[column.index] != text or name not in _OVERFLOW_FIELDS:
                others[names.take(column.header)] = cells[column.index]

    def _check_needs(self, row: RowValues) -> None:
        for group in self.table.needs:
            if any(name in row.values for name in group):
                continue
            headers = [
                repr(column.header)
                for column in self.columns
                if column.target and column.target.field in group
            ]
            what = (
                f"column {headers[0]} is empty"
                if len(headers) == 1
                else f"columns {', '.join(headers)} are all empty"
            )
            raise CellError(RejectCode.SCHEMA_MISSING_FIELD, what)

    def _item(self, row: RowValues, order: RowValues | None = None) -> dict[str, Any]:
        """Take the item's fields out of a row's values, and return the item."""
        item = {
            name.removeprefix(ITEM): row.values.pop(name)
            for name in [name for name in row.values if name.startswith(ITEM)]
        }
        if not (item.get("sku") or item.get("name")):
            return {}
        # Free articles of a shop have a name and no number.
        item.setdefault("sku", item.get("name"))
        if isinstance(price := item.get("price"), WrittenAmount):
            item["price"] = self._price(price, order or row)
        return item

    def _price(self, price: WrittenAmount, order: RowValues) -> str:
        probe = RowValues(
            values={"amount": price},
            written={"amount": price.number},
            evidence=self.evidence,
            currencies=dict(order.currencies),
        )
        if "currency" in order.values:
            probe.values["currency"] = order.values["currency"]
        return read_price(probe, self.cell_format)

    def _named_error(self, error: CellError, row: RowValues) -> CellError:
        header = next(
            (
                column.header
                for column in self.columns
                if column.target and column.target.field == error.field
            ),
            "",
        )
        written = row.written.get(error.field, "")
        return CellError(
            error.code,
            (
                f"column {header!r} has {written[:80]!r}: {error}"
                if header and written
                else str(error)
            ),
        )

    def _validated(self, data: dict[str, Any], row: RowValues) -> BusinessData:
        try:
            return self.table.contract.model_validate(data)
        except ValidationError as fault:
            code, message = explain(fault, "row")
            path = ".".join(map(str, fault.errors()[0]["loc"]))
            raise self._named_error(CellError(code, message, path), row) from fault

    def _id(
        self, row: RowValues, action: str, moment: datetime | None, cells: Sequence[str]
    ) -> str:
        values = {**row.values, ACTION: action, TIME: rfc3339(moment) if moment else ""}
        if self.table.identity and all(values.get(name) for name in self.table.identity):
            parts = [str(values[name]) for name in self.table.identity]
            if action == OTHER:
                parts.append(row.written[ACTION])
        else:
            parts = [
                f"{column.header}={cells[column.index]}"
                for column in self.columns
                if cells[column.index]
            ]
        return str(stable_id(self.table.kind, *parts))


class _FreeNames:
    """Names that are all different: a number is appended to one that is in use."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        # The last number of each name, so that a thousand columns of one name are not counted anew
        # for each of them.
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> str:
        """Return the name, or the name with the next free number; it is in use from now on."""
        free = name
        while free in self._taken:
            number = self._numbers[name] = self._numbers.get(name, 1) + 1
            free = f"{name} {number}"
        self._taken.add(free)
        return free


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {"customer": {}}
    for name, value in values.items():
        written = rfc3339(value) if isinstance(value, datetime) else value
        if name.startswith("customer."):
            data["customer"][name.removeprefix("customer.")] = written
        elif written is not None:
            data[name] = written
    _join_name(data["customer"])
    return data


def _join_name(customer: dict[str, Any]) -> None:
    first, last = customer.pop("first_name", ""), customer.pop("last_name", "")
    if first or last:
        # Chinese, Japanese and Korean names begin with the family's.
        is_eastern = any("\u3040" <= char <= "\ud7a3" for char in first + last)
        joined = f"{last}{first}" if is_eastern else f"{first} {last}".strip()
        customer.setdefault("name", joined)

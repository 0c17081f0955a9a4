"""Takes the columns of a table from contracts, as the JSON that the log carries, a batch at a time.

Which columns a table has, and of which types, is declared in `schemas/clickhouse/columns`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from pipeline.sinks.clickhouse_types import parse_type
from schemas.columns import ColumnDeclaration, DeclarationError, relations
from schemas.types import EARLIEST, LATEST, Contract
from schemas.unchecked import to_json

Body = dict[str, Any]
Bodies = Sequence[Any]


class VersionedContract(NamedTuple):
    """A contract to be loaded: its class, its JSON, and the version of its rows."""

    contract: type[Contract]
    body: Body
    version: int

    @classmethod
    def of(cls, contract: Contract, version: int) -> VersionedContract:
        """Return a contract as it would be read from the log."""
        return cls(type(contract), orjson.loads(to_json(contract)), version)


_EARLIEST_MS, _LATEST_MS = (int(end.timestamp()) * 1000 for end in (EARLIEST, LATEST))


class TimestampCache(dict[str | None, int | None]):
    """Milliseconds since 1970 by RFC 3339 text; most texts of a batch occur several times.

    >>> TimestampCache()["1970-01-01T00:00:01.500Z"]
    1500
    """

    def __init__(self) -> None:
        super().__init__({None: None})

    def __missing__(self, text: str | None) -> int | None:
        if text is None:
            raise KeyError(text)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"{text} has no zone")
        value = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
        if not _EARLIEST_MS <= value < _LATEST_MS:
            raise ValueError(f"{text} is out of range")
        self[text] = value
        return value

    def of(self, text: str) -> int:
        """Return the milliseconds of a text; raises TypeError if it is null."""
        value = self[text]
        if value is None:
            raise TypeError("a timestamp is null")
        return value


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of one table: a body per row and its version.

    A body is the JSON of a contract, or something derived from it.
    """

    bodies: Bodies
    versions: Sequence[int]
    timestamps: TimestampCache = field(default_factory=TimestampCache)

    def each(self, derive: Callable[[Body], Iterable[Any]]) -> Batch:
        """Return the batch of the bodies that `derive` returns for each body."""
        bodies, versions = [], []
        for body, version in zip(self.bodies, self.versions, strict=True):
            for derived in derive(body):
                bodies.append(derived)
                versions.append(version)
        return Batch(bodies, versions, self.timestamps)


Values = Sequence[Any]
Column = Callable[[Batch], Values]
Parents = Callable[[Bodies], Bodies]


class Field(NamedTuple):
    """A column that is a field of each body, or of an object within it (`parents`).

    `convert` changes its values. All fields of the same parents are read together, one body after
    another, while the body is in the processor's cache.
    """

    parents: Parents
    name: str | int
    convert: Callable[[Batch, Values], Values] | None = None


@dataclass(frozen=True)
class Table:
    """A table: how its columns are computed from a batch.

    `rows` derives the bodies of its rows where they are not the contracts themselves. Where
    ClickHouse aggregates rows of one key, `fold` does so first, into bodies by key; the columns are
    computed from these at the end.
    """

    name: str
    columns: Mapping[str, Column | Field]
    rows: Callable[[Batch], Batch] = lambda batch: batch
    fold: Callable[[dict[str, Body], Batch], None] | None = None

    def column_values(self, contracts: Batch) -> dict[str, Values]:
        """Return the columns of the rows that contracts become; empty if they become none."""
        batch = self.rows(contracts)
        if not batch.bodies:
            return {}
        values_by_column: dict[str, Values] = {}
        for parents, columns, read_fields in self._fields:
            values = zip(*map(read_fields, parents(batch.bodies)), strict=True)
            for (column, convert), value in zip(columns, values, strict=True):
                values_by_column[column] = value if convert is None else convert(batch, value)
        for name, compute in self._others:
            values_by_column[name] = compute(batch)
        return values_by_column

    @cached_property
    def _fields(
        self,
    ) -> list[tuple[Parents, list[tuple[str, Any]], Callable[[Any], tuple[Any, ...]]]]:
        by_parents: dict[Parents, list[tuple[str, Field]]] = defaultdict(list)
        for name, column in self.columns.items():
            if isinstance(column, Field):
                by_parents[column.parents].append((name, column))
        return [
            (
                parents,
                [(name, column.convert) for name, column in columns],
                _getter([column.name for _, column in columns]),
            )
            for parents, columns in by_parents.items()
        ]

    @cached_property
    def _others(self) -> list[tuple[str, Column]]:
        return [
            (name, column) for name, column in self.columns.items() if not isinstance(column, Field)
        ]


def _getter(names: Sequence[str | int]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    (name,) = names
    return lambda parent: (parent[name],)


def field_at(*path: str | int) -> Field:
    """Return the column of a field, or of a field of an object within each body."""
    *steps, name = path
    return Field(_parents_at(*steps), name)


@cache
def _parents_at(*steps: str | int) -> Parents:
    """Return the function from bodies to the objects at a path; equal paths give the same one."""

    def parents(bodies: Bodies) -> Bodies:
        objects: Iterable[Any] = bodies
        for step in steps:
            objects = map(itemgetter(step), objects)
        return list(objects)

    return parents if steps else lambda bodies: bodies


def computed(value: Callable[[Body], Any]) -> Column:
    """Return the column that a function computes from each body."""
    return lambda batch: [value(body) for body in batch.bodies]


def timestamp(*path: str | int) -> Field:
    """Return the column of a field that is a timestamp."""
    return field_at(*path)._replace(convert=to_timestamps)


def to_timestamps(batch: Batch, texts: Values) -> Values:
    """Return the milliseconds since 1970 of RFC 3339 texts."""
    return list(map(batch.timestamps.__getitem__, texts))


def constant(value: Any) -> Column:
    """Return a column with the same value in every row."""
    return lambda batch: [value] * len(batch.bodies)


def versions(batch: Batch) -> Values:
    """Return the versions: of rows with one key, the highest version counts."""
    return batch.versions


def declared_columns(table: str, **special: Column | Field) -> dict[str, Column | Field]:
    """Return all declared columns of a table: fields of the same name, but for `special` ones.

    Columns that the server fills by a default are left out. Raises DeclarationError for a special
    column that is not declared.
    """
    declared = {column.name: column for column in relations()[table].columns if not column.default}
    if unknown := sorted(special.keys() - declared.keys()):
        raise DeclarationError(f"{table} has no column {', '.join(unknown)}: declare it")
    return {
        name: special[name] if name in special else _column_of(column)
        for name, column in declared.items()
    }


def contract_table(
    contract: type[Contract],
    table: str,
    exclude: frozenset[str] = frozenset(),
    **special: Column | Field,
) -> Table:
    """Return a table whose columns are the fields of a contract, and the version.

    Raises DeclarationError if the contract has a field without a column, or a column no field.
    """
    fields = contract.model_fields.keys() - exclude - {"schema_version"}
    columns = declared_columns(table, **special)
    if difference := sorted(fields ^ (columns.keys() - {"version"})):
        raise DeclarationError(
            f"{table} and {contract.__name__} differ in {', '.join(difference)}: declare the"
            " column, or exclude the field"
        )
    return Table(table, columns)


def _column_of(column: ColumnDeclaration) -> Column | Field:
    if column.name == "version":
        return versions
    is_timestamp = "DateTime64" in column.type
    if not column.since:
        return timestamp(column.name) if is_timestamp else field_at(column.name)
    # Contracts that were written to the log before the column was added do not have the field.
    absent = _absent_value(column.type)

    def values_of(batch: Batch) -> Values:
        values = [body.get(column.name, absent) for body in batch.bodies]
        return to_timestamps(batch, values) if is_timestamp else values

    return values_of


def _absent_value(type_: str) -> Any:
    """Return ClickHouse's default of a type.

    >>> _absent_value("LowCardinality(String)"), _absent_value("Nullable(UUID)")
    ('', None)
    """
    kind = parse_type(type_)
    if kind.name == "LowCardinality":
        return _absent_value(kind.arguments[0])
    defaults: dict[str, Any] = {"String": "", "Array": [], "Map": {}, "Bool": False}
    return None if kind.name == "Nullable" else defaults.get(kind.name, 0)

"""How a table's columns are taken from contracts: from the JSON in which they travel, over a whole
batch at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from operator import itemgetter
from typing import Any, NamedTuple, get_args

import orjson

from schemas.types import EARLIEST, LATEST, Contract
from schemas.unchecked import to_json

Body = dict[str, Any]
Bodies = Sequence[Any]


class Loadable(NamedTuple):
    """A contract on its way to the warehouse: its kind, its JSON, and the version that its rows
    get.
    """

    contract: type[Contract]
    body: Body
    version: int

    @classmethod
    def of(cls, contract: Contract, version: int) -> Loadable:
        """Return a contract as it would come from the log."""
        return cls(type(contract), orjson.loads(to_json(contract)), version)


_EARLIEST_MS, _LATEST_MS = (int(end.timestamp()) * 1000 for end in (EARLIEST, LATEST))


class Instants(dict[str | None, int | None]):
    """Milliseconds since 1970 by the text of an instant, RFC 3339; most texts of a batch are wanted
    several times.
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
        """Return the instant of a text that is there; raises TypeError where it is null."""
        value = self[text]
        if value is None:
            raise TypeError("an instant is null")
        return value


@dataclass(frozen=True, slots=True)
class Batch:
    """What becomes rows of one table: one body a row (a contract's JSON, or what is derived from
    it), with the version of each.
    """

    bodies: Bodies
    versions: Sequence[int]
    instants: Instants = field(default_factory=Instants)

    def each(self, derive: Callable[[Body], Iterable[Any]]) -> Batch:
        """Return the batch of what is derived from each body: none, one or several."""
        bodies, versions = [], []
        for body, version in zip(self.bodies, self.versions, strict=True):
            for derived in derive(body):
                bodies.append(derived)
                versions.append(version)
        return Batch(bodies, versions, self.instants)


Values = Sequence[Any]
Column = Callable[[Batch], Values]
Holders = Callable[[Bodies], Bodies]


class Field(NamedTuple):
    """A column that is a field of each body, or of something within it or made of it (`holders`),
    converted where that is asked.

    All fields of the same holders are taken together: one body after another, while it is in the
    processor's nearest cache.
    """

    holders: Holders
    name: str | int
    convert: Callable[[Batch, Values], Values] | None = None


@dataclass(frozen=True)
class Table:
    """A table: how its columns are taken from a batch, and which rows a contract gives it where
    that is not one.

    Where ClickHouse folds rows of one key, `fold` does so first, into bodies by key from which the
    columns are taken in the end.
    """

    name: str
    columns: Mapping[str, Column | Field]
    rows: Callable[[Batch], Batch] = lambda batch: batch
    fold: Callable[[dict[str, Body], Batch], None] | None = None

    def taken(self, whole: Batch) -> dict[str, Values]:
        """Return the columns of the rows that a batch of contracts gives; empty where it gives
        none.
        """
        batch = self.rows(whole)
        if not batch.bodies:
            return {}
        taken: dict[str, Values] = {}
        for holders, columns, fields in self._fields:
            values = zip(*map(fields, holders(batch.bodies)), strict=True)
            for (column, convert), value in zip(columns, values, strict=True):
                taken[column] = value if convert is None else convert(batch, value)
        for name, values_of in self._others:
            taken[name] = values_of(batch)
        return taken

    @cached_property
    def _fields(
        self,
    ) -> list[tuple[Holders, list[tuple[str, Any]], Callable[[Any], tuple[Any, ...]]]]:
        by_holders: dict[Holders, list[tuple[str, Field]]] = defaultdict(list)
        for name, column in self.columns.items():
            if isinstance(column, Field):
                by_holders[column.holders].append((name, column))
        return [
            (
                holders,
                [(name, one.convert) for name, one in fields],
                _getter([one.name for _, one in fields]),
            )
            for holders, fields in by_holders.items()
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
    return lambda holder: (holder[name],)


def same(*names: str) -> dict[str, Column | Field]:
    """Return columns that are fields of the same name."""
    return {name: at(name) for name in names}


def at(*path: str | int) -> Field:
    """Return the column of a field, or of a field within one."""
    *way, name = path
    return Field(_within(*way), name)


@cache
def _within(*way: str | int) -> Holders:
    """Return what leads to the holders of fields; the same for the same way, by which fields are
    taken together.
    """

    def holders(bodies: Bodies) -> Bodies:
        found: Iterable[Any] = bodies
        for step in way:
            found = map(itemgetter(step), found)
        return list(found)

    return holders if way else lambda bodies: bodies


def each(value: Callable[[Body], Any]) -> Column:
    """Return the column of what a function makes of each body."""
    return lambda batch: [value(body) for body in batch.bodies]


def instants(*names: str) -> dict[str, Column | Field]:
    """Return columns that are instants of the same name."""
    return {name: instant(name) for name in names}


def instant(*path: str | int) -> Field:
    """Return the column of an instant."""
    return at(*path)._replace(convert=as_instants)


def as_instants(batch: Batch, texts: Values) -> Values:
    """Return the instants that texts are."""
    return list(map(batch.instants.__getitem__, texts))


def constant(value: Any) -> Column:
    """Return a column that is the same everywhere."""
    return lambda batch: [value] * len(batch.bodies)


def versions(batch: Batch) -> Values:
    """Return the versions, which decide what row of an id counts."""
    return batch.versions


def mirror(
    contract: type[Contract],
    table: str,
    but: frozenset[str] = frozenset(),
    **others: Column | Field,
) -> Table:
    """Return the table whose columns are the fields of a contract and its rows' version, some left
    out or made otherwise.
    """
    names = [name for name in contract.model_fields if name not in but | {"schema_version"}]
    fields = {
        name: instant(name) if _holds_instant(contract.model_fields[name].annotation) else at(name)
        for name in names
    }
    return Table(table, {**fields, "version": versions, **others})


def _holds_instant(annotation: Any) -> bool:
    return annotation is datetime or any(map(_holds_instant, get_args(annotation)))

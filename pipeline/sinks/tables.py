"""How a table's columns are taken from contracts: from the JSON in which they travel, over a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple, get_args

import orjson

from schemas.types import EARLIEST, LATEST, Contract

Body = dict[str, Any]
Bodies = Sequence[Any]


class Loadable(NamedTuple):
    """A contract on its way to the warehouse: its kind, its JSON, and the version that its rows get."""

    contract: type[Contract]
    body: Body
    version: int

    @classmethod
    def of(cls, contract: Contract, version: int) -> Loadable:
        """Return a contract as it would come from the log."""
        return cls(type(contract), orjson.loads(contract.model_dump_json()), version)


_EARLIEST_MS, _LATEST_MS = (int(end.timestamp()) * 1000 for end in (EARLIEST, LATEST))


class Instants(dict[str | None, int | None]):
    """Milliseconds since 1970 by the text of an instant, RFC 3339; most texts of a batch are wanted several times."""

    def __missing__(self, text: str | None) -> int | None:
        if text is None:
            return None
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"{text} has no zone")
        value = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
        if not _EARLIEST_MS <= value < _LATEST_MS:
            raise ValueError(f"{text} is out of range")
        self[text] = value
        return value


@dataclass(frozen=True, slots=True)
class Batch:
    """What becomes rows of one table: one body a row (a contract's JSON, or what is derived from it), with the version of each."""

    bodies: Bodies
    versions: Sequence[int]
    instants: Instants = field(default_factory=Instants)
    _made: dict[Any, list[Any]] = field(default_factory=dict)

    def once(self, make: Callable[[Bodies], list[Any]]) -> list[Any]:
        """Return what a function makes of the bodies, made at its first call: several columns may be taken from it."""
        if make not in self._made:
            self._made[make] = make(self.bodies)
        return self._made[make]

    def each(self, derive: Callable[[Body], Iterable[Any]]) -> Batch:
        """Return the batch of what is derived from each body: none, one or several."""
        bodies, versions = [], []
        for body, version in zip(self.bodies, self.versions, strict=True):
            for derived in derive(body):
                bodies.append(derived)
                versions.append(version)
        return Batch(bodies, versions, self.instants)


Column = Callable[[Batch], list[Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: how its columns are taken from a batch, and which rows a contract gives it where that is not one."""

    name: str
    columns: Mapping[str, Column]
    rows: Callable[[Batch], Batch] = lambda batch: batch


def same(*names: str) -> dict[str, Column]:
    """Return columns that are fields of the same name."""
    return {name: at(name) for name in names}


def at(*path: str | int) -> Column:
    """Return the column of a field, or of a field within one."""
    return lambda batch: _walked(batch.bodies, path)


def _walked(found: Iterable[Any], path: Iterable[str | int]) -> list[Any]:
    for step in path:
        found = map(itemgetter(step), found)
    return list(found)


def within(make: Callable[[Bodies], list[Any]], *path: str | int, absent: Any = None) -> Column:
    """Return the column of a field of what is made of the bodies once; `absent` where that is None."""

    def values(batch: Batch) -> list[Any]:
        made = batch.once(make)
        if None not in made:
            return _walked(made, path)
        if not any(made):
            return [absent] * len(made)
        steps = tuple(path)
        return [absent if one is None else _walked((one,), steps)[0] for one in made]

    return values


def each(value: Callable[[Body], Any]) -> Column:
    """Return the column of what a function makes of each body."""
    return lambda batch: [value(body) for body in batch.bodies]


def instants(*names: str) -> dict[str, Column]:
    """Return columns that are instants of the same name."""
    return {name: instant(name) for name in names}


def instant(*path: str | int) -> Column:
    """Return the column of an instant."""
    return as_instants(at(*path))


def as_instants(texts: Column) -> Column:
    """Return the column of the instants that a column's texts are."""
    return lambda batch: list(map(batch.instants.__getitem__, texts(batch)))


def constant(value: Any) -> Column:
    """Return a column that is the same everywhere."""
    return lambda batch: [value] * len(batch.bodies)


def versions(batch: Batch) -> list[Any]:
    """Return the versions, which decide what row of an id counts."""
    return list(batch.versions)


def mirror(contract: type[Contract], table: str, but: frozenset[str] = frozenset(), **others: Column) -> Table:
    """Return the table whose columns are the fields of a contract and its rows' version, some left out or made otherwise."""
    names = [name for name in contract.model_fields if name not in but | {"schema_version"}]
    fields = {
        name: instant(name) if _holds_instant(contract.model_fields[name].annotation) else at(name) for name in names
    }
    return Table(table, {**fields, "version": versions, **others})


def _holds_instant(annotation: Any) -> bool:
    return annotation is datetime or any(map(_holds_instant, get_args(annotation)))

"""Keeps a list of the parts of the embedded store beside it, so that lost ones are noticed.

ClickHouse opens a store without the parts whose folders are gone or whose files are incomplete, and
says nothing. Parts never change and merges only join neighbours, so whatever was inserted, merged,
replayed or reclassified, the numbers of the blocks of each known part are covered by a part that
exists. docs/adr/0029 has the reasons and the figures.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipeline.log.durable_files import write_durably
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.sinks.warehouse import Columns, Warehouse, rows

LEDGER = "store.parts.json"
_FORMAT = 1
# A row version is the append time in ms, shifted by this, and the lowest bits of the offset.
_VERSION_BITS = 20
# The versions of links fall with the time of their event; see `pipeline.sinks.row_mapping`.
_OTHER_VERSIONS = frozenset({"link_rows"})
# The table of migrations is filled again from the program, not from the log; its locks come and go.
_LEFT_OUT = frozenset({"schema_migrations"})
_PARTS = """
SELECT table, name, toUInt64(rows) AS rows,
    toUInt64(min_block_number) AS first, toUInt64(max_block_number) AS last
FROM system.parts WHERE database = currentDatabase() AND active ORDER BY table, first
"""
_RELATIONS = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND NOT startsWith(name, 'schema_migrations') ORDER BY name
"""
_VERSIONED = """
SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'version'
    AND type = 'UInt64'
"""


class StoredPart(NamedTuple):
    """A part of a table: its name, the numbers of its first and last block, and its rows.

    `oldest_ms` is the append time of the oldest log record in it, 0 if unknown.
    """

    name: str
    first: int
    last: int
    rows: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class LostPart:
    """A part that the store had and has no more."""

    table: str
    part: StoredPart


@dataclass
class PartLedger:
    """What the store had when it was last written: parts by table, and the names of relations.

    `newest_ms` is the append time of the newest log record in it.
    """

    parts: dict[str, list[StoredPart]] = field(default_factory=dict)
    relations: list[str] = field(default_factory=list)
    newest_ms: int = 0

    @classmethod
    def read(cls, root: Path) -> PartLedger | None:
        """Return the ledger of a data folder, None if there is none; raises FileDamagedError."""
        path = root / LEDGER
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        body, _, crc = content.rpartition(b"\n")
        if not body or b"%08x" % zlib.crc32(body) != crc:
            raise FileDamagedError(path, "it differs from its checksum")
        value = orjson.loads(body)
        if value["format"] != _FORMAT:
            raise FileDamagedError(path, "a newer release wrote it: upgrade Switchboard")
        parts = {
            table: [StoredPart(*part) for part in listed]
            for table, listed in value["parts"].items()
        }
        return cls(parts, value["relations"], value["newest_ms"])

    def write(self, root: Path) -> None:
        """Replace the ledger of a data folder, durable on return."""
        body = orjson.dumps(
            {
                "format": _FORMAT,
                "newest_ms": self.newest_ms,
                "relations": self.relations,
                "parts": {table: list(map(list, parts)) for table, parts in self.parts.items()},
            }
        )
        write_durably(root / LEDGER, body + b"\n%08x" % zlib.crc32(body))

    def lost_parts(self, store: Warehouse) -> list[LostPart]:
        """Return the parts whose blocks no part of the store covers."""
        current = _current_parts(store)
        return [
            LostPart(table, part)
            for table, known in self.parts.items()
            for part in known
            if not _is_covered(part, current.get(table, ()))
        ]

    def lost_relations(self, store: Warehouse) -> list[str]:
        """Return the tables and views that the store had and has no more."""
        current = set(_current_relations(store))
        return [name for name in self.relations if name not in current]

    def record(self, store: Warehouse, versions: VersionRange | None = None) -> bool:
        """Take over the store's parts; return whether anything changed.

        After an insert, `versions` are those of its rows. Without it, the store is asked for the
        oldest version of each new part, and for its relations. Lost parts stay in the ledger.
        """
        changed = False
        if versions is None:
            before, self.relations = self.relations, _current_relations(store)
            changed = before != self.relations
        elif versions.newest_ms > self.newest_ms:
            self.newest_ms, changed = versions.newest_ms, True
        for table, listed in _current_parts(store).items():
            known = {part.name: part for part in self.parts.get(table, ())}
            fresh = [part for part in listed if part.name not in known]
            if not fresh and len(known) == len(listed):
                continue
            changed = True
            asked = _oldest_ms(store, table, fresh) if versions is None else {}
            inserted_ms = versions.oldest_ms if versions else 0
            self.parts[table] = [
                known.get(part.name)
                or part._replace(
                    oldest_ms=asked.get(part.name)
                    or _oldest_of_merged(part, list(known.values()), inserted_ms)
                )
                for part in listed
            ] + [part for part in known.values() if not _is_covered(part, listed)]
        return changed

    def forget_lost(self, store: Warehouse) -> None:
        """Remove the parts that the store lacks, which are loaded again or given up."""
        for item in self.lost_parts(store):
            self.parts[item.table].remove(item.part)


@dataclass
class VersionRange:
    """The oldest and newest append time, in ms, of the rows of an insert; 0 if it has none."""

    oldest_ms: int = 0
    newest_ms: int = 0

    def note(self, blocks: Iterable[Mapping[str, Columns]]) -> Iterator[Mapping[str, Columns]]:
        """Yield blocks unchanged and note their versions."""
        for tables in blocks:
            for table, columns in tables.items():
                versions: Sequence[Any] = columns.get("version", ())
                if versions and table not in _OTHER_VERSIONS:
                    oldest = min(versions) >> _VERSION_BITS
                    self.oldest_ms = min(self.oldest_ms or oldest, oldest)
                    self.newest_ms = max(self.newest_ms, max(versions) >> _VERSION_BITS)
            yield tables


def verify_parts(store: Warehouse, root: Path) -> None:
    """Raise FileDamagedError if the store lacks what its ledger names; nothing without a ledger."""
    ledger = PartLedger.read(root)
    if ledger is None:
        return
    if relations := ledger.lost_relations(store):
        raise FileDamagedError(root / "store", f"it lacks {', '.join(relations[:3])}")
    if lost := ledger.lost_parts(store):
        count = sum(item.part.rows for item in lost)
        tables = sorted({item.table for item in lost})
        raise FileDamagedError(
            root / "store", f"it lacks up to {count:,} rows of {', '.join(tables)}"
        )


def verify_folder(root: Path) -> None:
    """Raise FileDamagedError if the store's folder is gone, which had parts."""
    if not (root / "store").exists():
        ledger = PartLedger.read(root)
        if ledger is not None and ledger.parts:
            raise FileDamagedError(root / "store", "the folder is gone")


def newest_loaded_ms(root: Path) -> int:
    """Return when the newest log record that the store has was appended, in ms; 0 if unknown."""
    ledger = PartLedger.read(root)
    return 0 if ledger is None else ledger.newest_ms


def _current_parts(store: Warehouse) -> dict[str, list[StoredPart]]:
    parts: dict[str, list[StoredPart]] = {}
    for row in rows(store, _PARTS):
        if row["table"] not in _LEFT_OUT:
            parts.setdefault(row["table"], []).append(
                StoredPart(row["name"], int(row["first"]), int(row["last"]), int(row["rows"]), 0)
            )
    return parts


def _current_relations(store: Warehouse) -> list[str]:
    return [row["name"] for row in rows(store, _RELATIONS)]


def _oldest_of_merged(part: StoredPart, known: Sequence[StoredPart], inserted_ms: int) -> int:
    """Return the oldest time of a new part from the parts that it replaces and the last insert."""
    times = [old.oldest_ms for old in known if part.first <= old.first and old.last <= part.last]
    if not times or part.last > max(old.last for old in known):
        times.append(inserted_ms)
    return min(times)


def _is_covered(part: StoredPart, current: Iterable[StoredPart]) -> bool:
    return any(
        other.rows == part.rows
        if other.name == part.name
        else other.first <= part.first and part.last <= other.last and other.rows > 0
        for other in current
    )


def _oldest_ms(store: Warehouse, table: str, parts: Sequence[StoredPart]) -> dict[str, int]:
    if not parts or table in _OTHER_VERSIONS:
        return {}
    if table not in {row["table"] for row in rows(store, _VERSIONED)}:
        return {}
    return {
        row["name"]: int(row["oldest"]) >> _VERSION_BITS
        for row in rows(
            store,
            f"SELECT _part AS name, min(version) AS oldest FROM {table}"
            " WHERE _part IN {parts:Array(String)} GROUP BY name",
            parts=[part.name for part in parts],
        )
    }

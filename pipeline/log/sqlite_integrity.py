"""Finds damage of the embedded log: pages, checksums, gaps, offsets and checkpoints."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.log.sqlite_file import FileDamagedError
from pipeline.log.sqlite_schema import (
    OFFSET_BITS,
    PARTITION_BITS,
    altered_offsets,
    pack_position,
    record_crc,
    state_crc,
)
from schemas.topics import TOPICS

# More findings of PRAGMA integrity_check say nothing new.
_MAX_FINDINGS = 10


@dataclass(frozen=True, slots=True)
class LogFinding:
    """One damage of the log: what is wrong, and with which part.

    `kind` is `file` (pages), `records` (rows gone or changed), `offsets` (of `group`), `state` (of
    `topic`) or `checkpoint`.
    """

    kind: Literal["file", "records", "offsets", "state", "checkpoint"]
    message: str
    topic: str = ""
    group: str = ""


def check_not_empty(path: Path) -> None:
    """Raise FileDamagedError if a log has no bytes, which SQLite takes for a new database.

    It never opens the file: closing it would release the locks that SQLite's connections of this
    process hold on it, and others would then write over what they read
    (https://www.sqlite.org/howtocorrupt.html, section 2.2). SQLite itself finds a file that is cut
    or is none of its own.
    """
    if not path.stat().st_size:
        raise FileDamagedError(path, "it is empty")


class LogInspection:
    """Reads a log beside its users, without changing it; close it by a `with` block."""

    def __init__(self, path: Path) -> None:
        check_not_empty(path)
        self._path = path
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        # One snapshot for all that is compared, for other processes commit meanwhile.
        self._db.execute("BEGIN")

    def __enter__(self) -> LogInspection:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def bounds(self) -> Iterator[LogFinding]:
        """Yield offsets that cannot be right, and partitions whose last record is gone.

        It reads a few rows of each partition, so every start can afford it.
        """
        for topic_id, name, partition, end, _first, last, _ in self._partitions():
            base = pack_position(topic_id, partition, 0)
            if last is not None and last - base != end - 1:
                yield LogFinding(
                    "records",
                    f"{name}/{partition} ends at offset {last - base + 1:,} instead of {end:,}",
                    name,
                )
            for group, offset in self._db.execute(
                'SELECT "group", "offset" FROM offsets WHERE topic_id = ? AND partition = ? AND'
                ' ("offset" > ? OR "offset" < 0)',
                (topic_id, partition, end),
            ):
                yield LogFinding(
                    "offsets",
                    f"{group} has committed offset {offset:,} of {name}/{partition}, which ends at"
                    f" {end:,}",
                    name,
                    group,
                )
        for group in altered_offsets(self._db):
            yield LogFinding("offsets", f"the offsets of {group} differ from their copy", "", group)

    def findings(self, now_ms: int, *, deep: bool) -> list[LogFinding]:
        """Return all damage; with `deep`, of every byte: `integrity_check` and all checksums."""
        try:
            pages = self._pages(deep)
            if pages:
                return pages
            found = [*self.bounds(), *self._gaps(now_ms), *self._states()]
            return found + (list(self._checksums()) if deep else [])
        except sqlite3.DatabaseError as error:
            return [LogFinding("file", str(error))]

    def _pages(self, deep: bool) -> list[LogFinding]:
        check = "integrity_check" if deep else "quick_check"
        rows = self._db.execute(f"PRAGMA {check}({_MAX_FINDINGS})").fetchall()
        return [LogFinding("file", str(text)) for (text,) in rows if text != "ok"]

    def _partitions(self) -> list[tuple[int, str, int, int, int | None, int | None, int]]:
        return self._db.execute(
            f"""
            SELECT p.topic_id, t.name, p.partition, p.next_offset,
                (SELECT min(position) FROM records WHERE position BETWEEN p.base AND p.top),
                (SELECT max(position) FROM records WHERE position BETWEEN p.base AND p.top),
                p.last_ms
            FROM (
                SELECT *, ((topic_id << {PARTITION_BITS}) | partition) << {OFFSET_BITS} AS base,
                    ((((topic_id << {PARTITION_BITS}) | partition) + 1) << {OFFSET_BITS}) - 1 AS top
                FROM partitions
            ) AS p JOIN topics AS t USING (topic_id)
            ORDER BY 1, 3
            """
        ).fetchall()

    def _gaps(self, now_ms: int) -> Iterator[LogFinding]:
        for _, name, partition, end, first, last, last_ms in self._partitions():
            topic = TOPICS.get(name)
            kept_ms = topic.retention_ms if topic else None
            if first is None or last is None:
                if end and (kept_ms is None or last_ms > now_ms - kept_ms):
                    yield LogFinding("records", f"{name}/{partition} has lost all records", name)
                continue
            (count,) = self._db.execute(
                "SELECT count(*) FROM records WHERE position BETWEEN ? AND ?", (first, last)
            ).fetchone()
            if lost := last - first + 1 - count:
                offset = first & ((1 << OFFSET_BITS) - 1)
                yield LogFinding(
                    "records",
                    f"{name}/{partition} lacks {lost:,} records between offsets {offset:,} and"
                    f" {end - 1:,}",
                    name,
                )

    def _states(self) -> Iterator[LogFinding]:
        for name, key, value, crc in self._db.execute(
            "SELECT t.name, s.key, s.value, s.crc FROM states AS s JOIN topics AS t USING"
            " (topic_id) WHERE s.crc IS NOT NULL"
        ):
            if crc != state_crc(key, value):
                yield LogFinding(
                    "state", f"a state of {name} differs from its checksum: key {key[:40]!r}", name
                )

    def _checksums(self) -> Iterator[LogFinding]:
        names = dict(self._db.execute("SELECT topic_id, name FROM topics"))
        for row in self._db.execute(
            "SELECT position, timestamp_ms, key, value, headers, crc FROM records WHERE crc IS NOT"
            " NULL ORDER BY position"
        ):
            if row[-1] != record_crc(*row[:-1]):
                slot, offset = row[0] >> OFFSET_BITS, row[0] & ((1 << OFFSET_BITS) - 1)
                name = names[slot >> PARTITION_BITS]
                partition = slot & ((1 << PARTITION_BITS) - 1)
                yield LogFinding(
                    "records",
                    f"the record {name}/{partition} at offset {offset:,} differs from its checksum",
                    name,
                )


def verify_bounds(path: Path) -> None:
    """Raise FileDamagedError for what `LogInspection.bounds` finds first."""
    with LogInspection(path) as inspection:
        for finding in inspection.bounds():
            raise FileDamagedError(path, finding.message)

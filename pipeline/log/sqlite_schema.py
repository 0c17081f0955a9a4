"""The tables of the embedded log, their versions, and what in them is kept twice to show damage.

SQLite finds pages that do not fit together, but not a changed byte or a row that is gone. So
records and states have checksums, offsets of a partition have no gaps, and the committed offsets
of each group are kept a second time, as a checkpoint.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path

import orjson

from pipeline.log.port import LogError
from pipeline.log.sqlite_file import CHECKPOINTS
from schemas.topics import Topic

_SCHEMA = (
    (
        "CREATE TABLE IF NOT EXISTS topics (topic_id INTEGER PRIMARY KEY, name TEXT NOT NULL"
        " UNIQUE, partitions INTEGER NOT NULL)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS partitions (topic_id INTEGER NOT NULL, partition INTEGER NOT"
        " NULL, next_offset INTEGER NOT NULL, last_ms INTEGER NOT NULL, PRIMARY KEY (topic_id,"
        " partition)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE IF NOT EXISTS records (position INTEGER PRIMARY KEY, timestamp_ms INTEGER NOT"
        " NULL, key BLOB, value BLOB NOT NULL, headers BLOB NOT NULL, crc INTEGER)"
    ),
    (
        'CREATE TABLE IF NOT EXISTS offsets ("group" TEXT NOT NULL, topic_id INTEGER NOT NULL,'
        ' partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, PRIMARY KEY ("group", topic_id,'
        " partition)) WITHOUT ROWID"
    ),
    CHECKPOINTS,
    # A compacted topic consists of the last value of each key.
    (
        "CREATE TABLE IF NOT EXISTS states (topic_id INTEGER NOT NULL, partition INTEGER NOT NULL,"
        " key BLOB NOT NULL, value BLOB NOT NULL, crc INTEGER, PRIMARY KEY (topic_id, partition,"
        " key))"
    ),
)
# The version of the schema above. A file of version 1 (0.2.0) gets the columns that it lacks; one
# of a later version is rejected.
_FORMAT = 2
_ADDED = ("ALTER TABLE records ADD COLUMN crc INTEGER", "ALTER TABLE states ADD COLUMN crc INTEGER")
# A record's row id packs topic, partition and offset, so that one B-tree has every partition in
# order and a read is one range of it. 40 bits of offset allow 10^12 records a partition, 12 bits
# 4,096 partitions, which leaves 2,047 topics.
OFFSET_BITS, PARTITION_BITS = 40, 12
_OFFSETS_COPY = "offsets/"


def create_tables(db: sqlite3.Connection, path: Path, topics: Mapping[str, Topic]) -> None:
    """Create the tables and partitions that a file lacks; raises LogError if it is newer."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, 1, _FORMAT):
        raise LogError(
            f"{path} has log format {version}, this program reads {_FORMAT}: upgrade Switchboard"
        )
    for statement in (*(_ADDED if version == 1 else ()), *_SCHEMA):
        db.execute(statement)
    db.execute(f"PRAGMA user_version={_FORMAT}")
    for topic in topics.values():
        db.execute(
            "INSERT OR IGNORE INTO topics (name, partitions) VALUES (?, ?)",
            (topic.name, topic.partitions),
        )
    for topic_id, partitions in db.execute("SELECT topic_id, partitions FROM topics").fetchall():
        slots = [(topic_id, partition) for partition in range(partitions)]
        db.executemany("INSERT OR IGNORE INTO partitions VALUES (?, ?, 0, 0)", slots)


def pack_position(topic_id: int, partition: int, offset: int) -> int:
    """Return the row id of a record."""
    return ((topic_id << PARTITION_BITS) | partition) << OFFSET_BITS | offset


def record_crc(
    position: int, timestamp_ms: int, key: bytes | None, value: bytes, headers: bytes
) -> int:
    """Return the checksum of a record with its place in the log; -1 if damage changed a type.

    >>> record_crc(1, 2, b"key", b"value", b"[]") == record_crc(1, 2, b"key", b"valuf", b"[]")
    False
    """
    if not (isinstance(value, bytes) and isinstance(headers, bytes)):
        return -1
    start = zlib.crc32(b"%d %d" % (position, timestamp_ms))
    return zlib.crc32(value, zlib.crc32(headers, zlib.crc32(key or b"", start)))


def state_crc(key: bytes, value: bytes) -> int:
    """Return the checksum of a state with its key; -1 if damage changed a type."""
    if not (isinstance(key, bytes) and isinstance(value, bytes)):
        return -1
    return zlib.crc32(value, zlib.crc32(key))


def keep_offsets_copy(db: sqlite3.Connection, group: str) -> None:
    """Keep a group's committed offsets a second time, in the transaction that changes them."""
    db.execute(
        "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)",
        (_OFFSETS_COPY + group, orjson.dumps(_offsets_of(db, group))),
    )


def _offsets_of(db: sqlite3.Connection, group: str) -> list[tuple[int, int, int]]:
    return db.execute(
        'SELECT topic_id, partition, "offset" FROM offsets WHERE "group" = ? ORDER BY 1, 2',
        (group,),
    ).fetchall()


def altered_offsets(db: sqlite3.Connection) -> dict[str, list[tuple[int, int, int]]]:
    """Return the groups whose offsets differ from their copy, with the copy.

    It has topic id, partition and offset. Groups of 0.2.0 that committed nothing since have none.
    """
    copies = {
        name.removeprefix(_OFFSETS_COPY): [tuple(row) for row in orjson.loads(value)]
        for name, value in db.execute(
            "SELECT name, value FROM checkpoints WHERE name >= ? AND name < ?",
            (_OFFSETS_COPY, _OFFSETS_COPY[:-1] + "0"),
        ).fetchall()
    }
    return {group: copy for group, copy in copies.items() if copy != _offsets_of(db, group)}

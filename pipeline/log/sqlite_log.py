"""The embedded log: topics, partitions, groups, offsets and retention in one SQLite file."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from pipeline.log.clock import now_ms
from pipeline.log.port import (
    GroupPosition,
    Headers,
    Lag,
    LogError,
    LogRecord,
    Message,
    OffsetRegressionError,
    TopicPartition,
    TopicSize,
)
from pipeline.log.sqlite_file import FileDamagedError, SqliteFile, read_values
from pipeline.log.sqlite_schema import (
    OFFSET_BITS,
    PARTITION_BITS,
    altered_offsets,
    create_tables,
    keep_offsets_copy,
    pack_position,
    record_crc,
    state_crc,
)
from schemas.topics import TOPICS, Topic

# 64 MiB of page cache: stages read what was written last.
_CACHE_KIB = 65_536


class SqliteLog(SqliteFile):
    """Implements `Log` in one SQLite file: commits survive kill -9 and power loss."""

    def __init__(
        self, path: Path, topics: Mapping[str, Topic] = TOPICS, clock_ms: Callable[[], int] = now_ms
    ) -> None:
        super().__init__(path)
        self._clock_ms = clock_ms
        self._declared = topics
        self._db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        with self._write_transaction():
            create_tables(self._db, path, topics)
        rows = self._db.execute("SELECT name, topic_id, partitions FROM topics")
        self._topics: dict[str, tuple[int, int]] = {
            name: (topic_id, partitions) for name, topic_id, partitions in rows
        }
        self._names = {topic_id: name for name, (topic_id, _) in self._topics.items()}
        self._compacted = {topic.name for topic in topics.values() if topic.compacted}
        self._turn = count()

    def _topic(self, name: str) -> tuple[int, int]:
        if name not in self._topics:
            raise LogError(
                f"topic {name!r} is not declared; the declared topics are"
                f" {', '.join(sorted(self._topics))}"
            )
        return self._topics[name]

    @contextmanager
    def transaction(self) -> Iterator[_SqliteTransaction]:
        """Open a write transaction, durable when the block ends and undone if the block raises."""
        with self._write_transaction():
            yield _SqliteTransaction(self)

    def read(
        self, group: str, topics: Sequence[str], limit: int, max_bytes: int
    ) -> list[LogRecord]:
        """Return the next records after a group's committed offsets, in order by partition.

        At least one record is returned if there is one, and more within both limits. Partitions
        take turns at being read first.
        """
        backlog = [
            (topic_id, partition, start)
            for topic_id, partition, start, end in self._positions(group, topics)
            if start < end
        ]
        if not backlog:
            return []
        turn = next(self._turn) % len(backlog)
        records: list[LogRecord] = []
        size = 0
        for topic_id, partition, start in backlog[turn:] + backlog[:turn]:
            for record in self._range(topic_id, partition, start, limit - len(records)):
                size += len(record.value)
                if records and size > max_bytes:
                    return records
                records.append(record)
            if len(records) >= limit:
                break
        return records

    def _positions(self, group: str, topics: Sequence[str]) -> list[tuple[int, int, int, int]]:
        ids = [self._topic(name)[0] for name in topics]
        query = (
            'SELECT p.topic_id, p.partition, coalesce(o."offset", 0), p.next_offset FROM partitions'
            " p LEFT JOIN offsets o"
            ' ON o."group" = ? AND o.topic_id = p.topic_id AND o.partition = p.partition'
            f" WHERE p.topic_id IN ({','.join('?' * len(ids))}) ORDER BY 1, 2"
        )
        return self._db.execute(query, (group, *ids)).fetchall()

    def _range(self, topic_id: int, partition: int, start: int, limit: int) -> Iterator[LogRecord]:
        base = pack_position(topic_id, partition, 0)
        rows = self._db.execute(
            "SELECT position, timestamp_ms, key, value, headers, crc FROM records"
            " WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
            (base + start, base + (1 << OFFSET_BITS), limit),
        )
        name = self._names[topic_id]
        for position, timestamp_ms, key, value, headers, crc in rows:
            # Records of 0.2.0 and earlier have no checksum.
            if crc is not None and crc != record_crc(position, timestamp_ms, key, value, headers):
                raise FileDamagedError(
                    self._path,
                    f"the record {name}/{partition} at offset {position - base} differs from its"
                    " checksum",
                )
            yield LogRecord(
                name, partition, position - base, timestamp_ms, key, value, load_headers(headers)
            )

    def scan(self, topic: str, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Return up to `limit` records of a partition from offset `start` on."""
        return list(self._range(self._topic(topic)[0], partition, start, limit))

    def read_states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the last value of each of the keys of a compacted topic; see `StateStore`."""
        topic_id, _ = self._topic(topic)
        return read_values(self._db, keys, "topic_id = ? AND partition = ?", (topic_id, partition))

    def compacted_entries(self, topic: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys and values of a compacted topic."""
        yield from self._db.execute(
            "SELECT key, value FROM states WHERE topic_id = ?", (self._topic(topic)[0],)
        )

    def state_partition(self, topic: str, key: bytes) -> int:
        """Return the partition that has a key's state; see `StateStore`."""
        return zlib.crc32(key) % self._topic(topic)[1]

    def lag(self, group: str, topics: Sequence[str], now_ms: int) -> list[Lag]:
        """Return the lag of a group on each topic, counted from the first record if it never
        committed.
        """
        records: dict[int, int] = defaultdict(int)
        seconds: dict[int, float] = defaultdict(float)
        for topic_id, partition, start, end in self._positions(group, topics):
            records[topic_id] += end - start
            for oldest in self._range(topic_id, partition, start, 1):
                seconds[topic_id] = max(seconds[topic_id], (now_ms - oldest.timestamp_ms) / 1000)
        return [
            Lag(name, group, records[self._topic(name)[0]], seconds[self._topic(name)[0]])
            for name in topics
        ]

    def unread(self, group: str, topics: Sequence[str]) -> Iterator[LogRecord]:
        """Yield the records that a group has not committed; see `Log.unread`."""
        for topic_id, partition, start, end in self._positions(group, topics):
            yield from self._range(topic_id, partition, start, end - start)

    def sizes(self) -> dict[str, TopicSize]:
        """Return the size of each topic; for a compacted topic, the number of its keys."""
        sizes = {
            self._names[topic_id]: TopicSize(partitions, total)
            for topic_id, partitions, total in self._db.execute(
                "SELECT topic_id, count(*), sum(next_offset) FROM partitions GROUP BY topic_id"
            )
        }
        compacted = self._db.execute(
            "SELECT topic_id, count(*) FROM states GROUP BY topic_id"
        ).fetchall()
        return sizes | {
            self._names[topic_id]: TopicSize(self._topics[self._names[topic_id]][1], keys)
            for topic_id, keys in compacted
        }

    def spooled(self) -> tuple[int, int]:
        """Return zero messages and bytes: a file can always be reached."""
        return 0, 0

    def positions(self, group: str, topics: Sequence[str]) -> list[GroupPosition]:
        """Return the position of a group on every partition of topics; see `Log.positions`."""
        ids = {self._topic(name)[0]: name for name in topics}
        committed = dict(
            self._db.execute(
                'SELECT (topic_id << ?) | partition, "offset" FROM offsets WHERE "group" = ?',
                (PARTITION_BITS, group),
            )
        )
        return [
            GroupPosition(
                ids[topic_id],
                partition,
                self._first(topic_id, partition, end),
                committed.get(slot),
                end,
            )
            for topic_id, partition, _, end in self._positions(group, topics)
            for slot in ((topic_id << PARTITION_BITS) | partition,)
        ]

    def _first(self, topic_id: int, partition: int, end: int) -> int:
        return next((record.offset for record in self._range(topic_id, partition, 0, 1)), end)

    def offsets_since(self, topics: Sequence[str], since_ms: int) -> dict[TopicPartition, int]:
        """Return each partition's first offset at or after an instant; see `Log.offsets_since`."""
        offsets: dict[TopicPartition, int] = {}
        for topic_id, partition, _, end in self._positions("", topics):
            base = pack_position(topic_id, partition, 0)
            row = self._db.execute(
                "SELECT position FROM records WHERE position >= ? AND position < ? AND timestamp_ms"
                " >= ? ORDER BY position LIMIT 1",
                (base, base + (1 << OFFSET_BITS), since_ms),
            ).fetchone()
            offsets[self._names[topic_id], partition] = row[0] - base if row else end
        return offsets

    def newest_ms(self) -> int:
        """Return when the last record was appended, in ms since the epoch; 0 if none ever was."""
        return int(self._db.execute("SELECT max(last_ms) FROM partitions").fetchone()[0] or 0)

    def reset_offsets(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets; see `Log.reset_offsets`.

        Whether a worker runs is known from the lock of the embedded store, not here.
        """
        with self._write_transaction():
            self._set_offsets(group, positions)

    def expire(self) -> int:
        """Delete records past their topic's retention that every group has read; return how many.

        Kafka deletes unread records, too. Here they stay, because on one machine a stage may be
        switched off for long.
        """
        now, deleted = self._clock_ms(), 0
        with self._write_transaction():
            for topic in self._declared.values():
                if topic.retention_ms is None:
                    continue
                topic_id, partitions = self._topic(topic.name)
                for partition in range(partitions):
                    row = self._db.execute(
                        'SELECT min("offset") FROM offsets WHERE topic_id = ? AND partition = ?',
                        (topic_id, partition),
                    ).fetchone()
                    base = pack_position(topic_id, partition, 0)
                    deleted += self._db.execute(
                        "DELETE FROM records WHERE position >= ? AND position < ? AND"
                        " timestamp_ms < ?",
                        (base, base + (row[0] or 0), now - topic.retention_ms),
                    ).rowcount
        return deleted

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Delete the records before an offset and overwrite their bytes; see `Log.truncate`."""
        base = pack_position(self._topic(topic)[0], partition, 0)
        self._db.execute("PRAGMA secure_delete=ON")
        with self._write_transaction():
            self._db.execute(
                "DELETE FROM records WHERE position >= ? AND position < ?", (base, base + before)
            )
        self._db.execute("PRAGMA secure_delete=OFF")
        # This empties the write-ahead file as well. While another process reads, SQLite does it at
        # the next checkpoint instead.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def restore_offsets(self) -> list[str]:
        """Set offsets that differ from their copy to it; return the groups."""
        with self._write_transaction():
            altered = altered_offsets(self._db)
            for group, rows in altered.items():
                self._db.execute('DELETE FROM offsets WHERE "group" = ?', (group,))
                self._db.executemany(
                    "INSERT INTO offsets VALUES (?, ?, ?, ?)", [(group, *row) for row in rows]
                )
        return list(altered)

    def drop_checkpoint(self, name: str) -> None:
        """Delete a checkpoint."""
        with self._write_transaction():
            self._db.execute("DELETE FROM checkpoints WHERE name = ?", (name,))

    def drop_damaged_states(self) -> list[str]:
        """Delete the states that differ from their checksum; return their topics."""
        with self._write_transaction():
            damaged = [
                (rowid, self._names[topic_id])
                for rowid, topic_id, key, value, crc in self._db.execute(
                    "SELECT rowid, topic_id, key, value, crc FROM states WHERE crc IS NOT NULL"
                )
                if crc != state_crc(key, value)
            ]
            self._db.executemany(
                "DELETE FROM states WHERE rowid = ?", [(rowid,) for rowid, _ in damaged]
            )
        return sorted({topic for _, topic in damaged})

    def _append(self, messages: Sequence[Message]) -> None:
        by_partition: dict[tuple[int, int], list[Message]] = defaultdict(list)
        for message in messages:
            topic_id, partitions = self._topic(message.topic)
            if message.topic in self._compacted:
                self._set_state(topic_id, message)
                continue
            key_hash = next(self._turn) if message.key is None else zlib.crc32(message.key)
            by_partition[topic_id, key_hash % partitions].append(message)
        now = self._clock_ms()
        for (topic_id, partition), group in by_partition.items():
            start, last_ms = self._db.execute(
                "SELECT next_offset, last_ms FROM partitions WHERE topic_id = ? AND partition = ?",
                (topic_id, partition),
            ).fetchone()
            # If the clock is set back, a later record must still get the larger row version.
            stamp = max(now, last_ms)
            base = pack_position(topic_id, partition, start)
            self._db.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (*row, record_crc(*row))
                    for i, m in enumerate(group)
                    for row in ((base + i, stamp, m.key, m.value, dump_headers(m.headers)),)
                ),
            )
            self._db.execute(
                "UPDATE partitions SET next_offset = ?, last_ms = ? WHERE topic_id = ? AND"
                " partition = ?",
                (start + len(group), stamp, topic_id, partition),
            )

    def _set_state(self, topic_id: int, message: Message) -> None:
        if message.key is None or message.partition is None:
            raise LogError(
                f"topic {message.topic} is compacted: its messages need a key and a partition"
            )
        key = (topic_id, message.partition, message.key)
        if message.value:
            self._db.execute(
                "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?)",
                (*key, message.value, state_crc(message.key, message.value)),
            )
        else:
            self._db.execute(
                "DELETE FROM states WHERE topic_id = ? AND partition = ? AND key = ?", key
            )

    def _set_offsets(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        rows = [
            (group, self._topic(topic)[0], partition, offset)
            for (topic, partition), offset in positions.items()
        ]
        self._db.executemany("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)", rows)
        keep_offsets_copy(self._db, group)

    def _advance(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        for (topic, partition), offset in positions.items():
            row = self._db.execute(
                'SELECT "offset" FROM offsets WHERE "group" = ? AND topic_id = ? AND partition = ?',
                (group, self._topic(topic)[0], partition),
            ).fetchone()
            if row is not None and offset < row[0]:
                raise OffsetRegressionError(
                    f"group {group} has committed offset {row[0]} on {topic}/{partition} and cannot"
                    f" go back to {offset}: two workers own this partition"
                )
        self._set_offsets(group, positions)

    def _set_checkpoint(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (name, value))


class _SqliteTransaction:
    """The transaction of a `SqliteLog`; valid inside its `with` block only."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log

    def produce(self, messages: Sequence[Message]) -> None:
        self._log._append(messages)

    def commit(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        self._log._advance(group, positions)

    def checkpoint(self, name: str, value: bytes) -> None:
        self._log._set_checkpoint(name, value)


def dump_headers(headers: Headers) -> bytes:
    """Return headers as bytes, for a column.

    >>> load_headers(dump_headers([("ce_id", b"m-1")]))
    (('ce_id', b'm-1'),)
    """
    # Latin-1 maps every byte to one character and back, so any header survives JSON.
    return orjson.dumps([(name, (value or b"").decode("latin-1")) for name, value in headers])


def load_headers(raw: Any) -> Headers:
    """Return the headers that `dump_headers` wrote."""
    return tuple((name, value.encode("latin-1")) for name, value in orjson.loads(raw))

"""The embedded log: order, transactions, offsets, retention, and crashes."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.log.port import LogError, Message, OffsetRegressionError, row_version
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.log.sqlite_log import SqliteLog
from schemas.topics import Topic

T = Topic("t.v1", "test", (), "any", 3, 1_000)
U = Topic("u.v1", "test", (), "any", 1, None)
TOPICS = {topic.name: topic for topic in (T, U)}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.sqlite", TOPICS, clock)
    yield log
    log.close()


def put(log: SqliteLog, *values: bytes, topic: str = "u.v1", key: bytes | None = b"k") -> None:
    with log.transaction() as transaction:
        transaction.produce([Message(topic, key, value) for value in values])


def test_records_are_read_unchanged_and_in_order(log: SqliteLog) -> None:
    headers = (("ce_id", "价格".encode()), ("raw", bytes(range(256))))
    with log.transaction() as transaction:
        transaction.produce([Message("u.v1", b"\x00\xff", bytes([n]), headers) for n in range(10)])
    read = log.read("g", ["u.v1"], 100, 1 << 20)
    assert [record.value for record in read] == [bytes([n]) for n in range(10)]
    assert [record.offset for record in read] == list(range(10))
    assert {(record.key, record.headers) for record in read} == {(b"\x00\xff", headers)}


def test_reading_commits_nothing_and_commits_are_per_group(log: SqliteLog) -> None:
    put(log, b"a", b"b", b"c")
    assert log.read("g", ["u.v1"], 2, 1 << 20) == log.read("g", ["u.v1"], 2, 1 << 20)
    with log.transaction() as transaction:
        transaction.commit("g", {("u.v1", 0): 2})
    assert [record.value for record in log.read("g", ["u.v1"], 9, 1 << 20)] == [b"c"]
    assert len(log.read("other", ["u.v1"], 9, 1 << 20)) == 3


def test_a_failed_transaction_is_rolled_back(log: SqliteLog) -> None:
    def fault() -> None:
        with log.transaction() as transaction:
            transaction.produce([Message("u.v1", None, b"x")])
            transaction.commit("g", {("u.v1", 0): 1})
            transaction.checkpoint("c", b"1")
            raise RuntimeError("fault")

    with pytest.raises(RuntimeError, match="fault"):
        fault()
    assert log.read("g", ["u.v1"], 9, 1 << 20) == []
    assert log.checkpoint("c") is None
    put(log, b"y")
    assert log.read("g", ["u.v1"], 9, 1 << 20)[0].offset == 0


def test_commits_cannot_go_back_but_resets_can(log: SqliteLog) -> None:
    put(log, b"a", b"b")
    with log.transaction() as transaction:
        transaction.commit("g", {("u.v1", 0): 2})
    with (
        pytest.raises(
            OffsetRegressionError,
            match=r"g has committed offset 2 on u\.v1/0 and cannot go back to 1",
        ),
        log.transaction() as transaction,
    ):
        transaction.commit("g", {("u.v1", 0): 1})
    log.reset_offsets("g", {("u.v1", 0): 0})
    assert len(log.read("g", ["u.v1"], 9, 1 << 20)) == 2


def test_an_undeclared_topic_raises_with_its_name(log: SqliteLog) -> None:
    with pytest.raises(
        LogError, match=r"'nope' is not declared; the declared topics are t\.v1, u\.v1"
    ):
        put(log, b"x", topic="nope")


@given(
    keys=st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=60),
    limit=st.integers(1, 20),
    max_bytes=st.integers(1, 64),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_record_is_read_once_in_the_order_of_its_key(
    tmp_path_factory: pytest.TempPathFactory, keys: list[bytes], limit: int, max_bytes: int
) -> None:
    log = SqliteLog(tmp_path_factory.mktemp("log") / "log.sqlite", TOPICS, Clock())
    with log.transaction() as transaction:
        transaction.produce(
            [Message("t.v1", key, str(index).encode()) for index, key in enumerate(keys)]
        )
    read: list[tuple[bytes | None, int]] = []
    while records := log.read("g", ["t.v1"], limit, max_bytes):
        assert len(records) <= limit
        assert len(records) == 1 or sum(len(record.value) for record in records) <= max_bytes
        read.extend((record.key, int(record.value)) for record in records)
        with log.transaction() as transaction:
            transaction.commit("g", {(r.topic, r.partition): r.offset + 1 for r in records})
    assert sorted(index for _, index in read) == list(range(len(keys)))
    for key in set(keys):
        indices = [index for read_key, index in read if read_key == key]
        assert indices == sorted(indices)
    log.close()


def test_partitions_take_turns(log: SqliteLog) -> None:
    for key in (b"a", b"b", b"c", b"d", b"e"):
        put(log, *[key] * 5, topic="t.v1", key=key)
    first = {log.read("g", ["t.v1"], 1, 1 << 20)[0].partition for _ in range(6)}
    assert len(first) == len({record.partition for record in log.read("g", ["t.v1"], 99, 1 << 20)})


def test_lag_has_records_and_seconds(log: SqliteLog, clock: Clock) -> None:
    put(log, b"a")
    clock.ms += 2_500
    put(log, b"b")
    lag = log.lag("g", ["u.v1", "t.v1"], clock.ms)
    assert [(item.topic, item.records, item.seconds) for item in lag] == [
        ("u.v1", 2, 2.5),
        ("t.v1", 0, 0.0),
    ]
    with log.transaction() as transaction:
        transaction.commit("g", {("u.v1", 0): 2})
    assert log.lag("g", ["u.v1"], clock.ms)[0].records == 0


def test_only_old_records_read_by_all_groups_expire(log: SqliteLog, clock: Clock) -> None:
    put(log, b"old", topic="t.v1", key=b"k")
    partition = log.read("g", ["t.v1"], 1, 1 << 20)[0].partition
    clock.ms += 5_000
    assert log.expire() == 0  # nobody has read it
    put(log, b"new", topic="t.v1", key=b"k")
    put(log, b"kept for ever")
    with log.transaction() as transaction:
        transaction.commit("g", {("t.v1", partition): 2, ("u.v1", 0): 1})
        transaction.commit("slow", {("t.v1", partition): 0})
    assert log.expire() == 0  # one group has not
    with log.transaction() as transaction:
        transaction.commit("slow", {("t.v1", partition): 2})
    assert log.expire() == 1
    assert [record.value for record in log.scan("t.v1", partition, 0, 9)] == [b"new"]
    assert len(log.scan("u.v1", 0, 0, 9)) == 1


def test_row_versions_grow_when_the_clock_is_set_back(log: SqliteLog, clock: Clock) -> None:
    put(log, b"a")
    clock.ms -= 10_000
    put(log, b"b")
    first, second = log.scan("u.v1", 0, 0, 9)
    assert row_version(second) > row_version(first)


def test_checkpoints_are_listed_by_prefix(log: SqliteLog) -> None:
    with log.transaction() as transaction:
        for name in ("ingest/a", "ingest/b_%", "other"):
            transaction.checkpoint(name, name.encode())
    assert dict(log.checkpoints("ingest/")) == {
        "ingest/a": b"ingest/a",
        "ingest/b_%": b"ingest/b_%",
    }


def test_the_file_is_private_and_other_formats_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    SqliteLog(path, TOPICS).close()
    assert path.stat().st_mode & 0o077 == 0
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(LogError, match="log format 99"):
        SqliteLog(path, TOPICS)


_WRITER = """
import sys
from pathlib import Path
from pipeline.log.port import Message
from pipeline.log.sqlite_log import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
n = 0
while True:
    with log.transaction() as transaction:
        transaction.produce([Message("examples.v1", None, str(n + i).encode()) for i in range(100)])
        transaction.commit("g", {("examples.v1", 0): n + 100})
    n += 100
    print(n, flush=True)
"""


def test_kill_9_keeps_committed_transactions_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    reported = [int(process.stdout.readline()) for _ in range(5)][-1]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    log = SqliteLog(path)
    values = [int(record.value) for record in log.scan("examples.v1", 0, 0, 1_000_000)]
    assert values == list(range(len(values)))
    assert len(values) >= reported
    assert len(values) % 100 == 0
    assert log.lag("g", ["examples.v1"], 0)[0].records == 0
    log.close()


def test_a_log_of_version_1_gets_checksums_for_new_records_only(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = SqliteLog(path)
    with log.transaction() as transaction:
        transaction.produce([Message("examples.v1", None, b"old")])
    log.close()
    db = sqlite3.connect(path)
    for statement in (
        "ALTER TABLE records DROP COLUMN crc",
        "ALTER TABLE states DROP COLUMN crc",
        "PRAGMA user_version=1",
    ):
        db.execute(statement)
    db.close()
    log = SqliteLog(path)
    with log.transaction() as transaction:
        transaction.produce([Message("examples.v1", None, b"new")])
    assert [record.value for record in log.scan("examples.v1", 0, 0, 9)] == [b"old", b"new"]
    log.close()
    db = sqlite3.connect(path)
    assert [crc is None for (crc,) in db.execute("SELECT crc FROM records")] == [True, False]
    db.execute("UPDATE records SET value = x'00'")
    db.commit()
    db.close()
    log = SqliteLog(path)
    assert log.scan("examples.v1", 0, 0, 1)[0].value == b"\0"
    with pytest.raises(FileDamagedError, match="at offset 1 differs"):
        log.scan("examples.v1", 0, 0, 9)
    log.close()

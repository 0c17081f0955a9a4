"""The spool keeps messages in order, with their checkpoints, up to its size limit."""

from pathlib import Path

import pytest

from pipeline.log.port import Message
from pipeline.runtime.kafka.spool import Spool, SpoolFullError


def _message(number: int, size: int = 10) -> Message:
    return Message(
        "raw.chat.v1",
        str(number).encode(),
        b"x" * size,
        (("ce_id", b"\xff\x00"), ("ce_source", b"a")),
    )


def test_messages_keep_their_order_over_reopening(tmp_path: Path) -> None:
    messages = [_message(number) for number in range(7)]
    spool = Spool(tmp_path / "spool.sqlite", 1_000)
    spool.add(messages[:4], {"ingest/a": b"1"})
    spool.add(messages[4:], {"ingest/a": b"2", "ingest/b": b"3"})
    spool.close()
    spool = Spool(tmp_path / "spool.sqlite", 1_000)
    first, last = spool.oldest(5)
    assert first == messages[:5]
    spool.delete_through(last)
    assert spool.oldest(5)[0] == messages[5:]
    assert spool.size() == (2, 20)
    assert dict(spool.checkpoints("ingest/")) == {"ingest/a": b"2", "ingest/b": b"3"}
    assert spool.checkpoint("ingest/c") is None


def test_a_full_spool_rejects_messages_and_their_checkpoints(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 100)
    spool.add([_message(1, 90)], {"ingest/a": b"1"})
    with pytest.raises(SpoolFullError, match="spool_bytes"):
        spool.add([_message(2, 20)], {"ingest/a": b"2"})
    assert spool.size()[0] == 1
    assert spool.checkpoint("ingest/a") == b"1"
    spool.add([], {"ingest/a": b"3"})
    assert spool.checkpoint("ingest/a") == b"3"


def test_the_file_is_private(tmp_path: Path) -> None:
    Spool(tmp_path / "spool.sqlite", 100).close()
    assert (tmp_path / "spool.sqlite").stat().st_mode & 0o077 == 0

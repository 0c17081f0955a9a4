"""What waits for the broker is kept in order, together with its checkpoints, and within its
bound.
"""

from pathlib import Path

import pytest

from pipeline.log.port import Message
from pipeline.runtime.kafka.spool import Spool, SpoolFull


def _message(number: int, size: int = 10) -> Message:
    return Message(
        "raw.chat.v1",
        str(number).encode(),
        b"x" * size,
        (("ce_id", b"\xff\x00"), ("ce_source", b"a")),
    )


def test_messages_come_back_in_order_over_reopening(tmp_path: Path) -> None:
    messages = [_message(number) for number in range(7)]
    spool = Spool(tmp_path / "spool.sqlite", 1_000)
    spool.keep(messages[:4], {"ingest/a": b"1"})
    spool.keep(messages[4:], {"ingest/a": b"2", "ingest/b": b"3"})
    spool.close()
    spool = Spool(tmp_path / "spool.sqlite", 1_000)
    first, place = spool.first(5)
    assert first == messages[:5]
    spool.sent(place)
    assert spool.first(5)[0] == messages[5:]
    assert spool.waiting() == (2, 20)
    assert dict(spool.checkpoints("ingest/")) == {"ingest/a": b"2", "ingest/b": b"3"}
    assert spool.checkpoint("ingest/c") is None


def test_a_full_spool_takes_neither_messages_nor_their_checkpoints(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 100)
    spool.keep([_message(1, 90)], {"ingest/a": b"1"})
    with pytest.raises(SpoolFull, match="spool_bytes"):
        spool.keep([_message(2, 20)], {"ingest/a": b"2"})
    assert spool.waiting()[0] == 1
    assert spool.checkpoint("ingest/a") == b"1"
    spool.keep([], {"ingest/a": b"3"})
    assert spool.checkpoint("ingest/a") == b"3"


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    Spool(tmp_path / "spool.sqlite", 100).close()
    assert (tmp_path / "spool.sqlite").stat().st_mode & 0o077 == 0

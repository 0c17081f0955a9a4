"""The claim check: large bodies travel as references, come back whole, and a lost one stops the reader."""

import os
from pathlib import Path

import pytest

from pipeline.runtime.claims import THRESHOLD_BYTES, BlobFolder, ClaimLost, check_in, check_out
from pipeline.runtime.log import LogRecord, Message


def as_records(messages: list[Message]) -> list[LogRecord]:
    return [LogRecord(m.topic, 0, place, 0, m.key, m.value, m.headers) for place, m in enumerate(messages)]


def test_only_large_bodies_are_checked_in_and_all_come_back(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    messages = [Message("t", b"k", b"x" * size, (("h", b"v"),)) for size in (0, THRESHOLD_BYTES, THRESHOLD_BYTES + 1)]
    checked = check_in(messages, blobs)
    assert [len(message.value) for message in checked] == [0, THRESHOLD_BYTES, 0]
    assert check_out(as_records(checked), blobs) == as_records(messages)


def test_the_same_bytes_are_kept_once_and_privately(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    assert blobs.put(b"body") == blobs.put(b"body")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o077 == 0


def test_a_lost_or_altered_body_stops_the_reader_and_names_the_file(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    reference = blobs.put(b"body")
    path = tmp_path / reference[:2] / reference
    path.write_bytes(b"altered")
    with pytest.raises(ClaimLost, match=reference):
        blobs.get(reference)
    path.unlink()
    with pytest.raises(ClaimLost, match="restore it from a backup"):
        blobs.get(reference)


@pytest.mark.parametrize("reference", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_a_reference_is_never_a_path(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ClaimLost, match="is no reference"):
        BlobFolder(tmp_path).get(reference)


def test_a_body_expires_by_its_youngest_reference(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    old, young = blobs.put(b"old"), blobs.put(b"young")
    for reference in (old, young):
        os.utime(tmp_path / reference[:2] / reference, (1_000, 1_000))
    blobs.put(b"young")
    assert blobs.expire(2_000) == 1
    assert blobs.get(young) == b"young"

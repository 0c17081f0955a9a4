"""The claim check: large bodies travel as references, come back whole, and a lost one stops the
reader.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from pipeline.errors import UserError
from pipeline.log.claim_check import (
    THRESHOLD_BYTES,
    BlobBucket,
    BlobFolder,
    Blobs,
    ClaimLost,
    blobs_at,
    check_in,
    check_out,
)
from pipeline.log.port import LogRecord, Message


def as_records(messages: list[Message]) -> list[LogRecord]:
    return [
        LogRecord(m.topic, 0, place, 0, m.key, m.value, m.headers)
        for place, m in enumerate(messages)
    ]


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    """Return an empty place of each kind."""
    if request.param == "folder":
        yield BlobFolder(tmp_path)
        return
    yield BlobBucket(f"memory://{tmp_path}")
    MemoryFileSystem.store.clear()


def test_only_large_bodies_are_checked_in_and_all_come_back(blobs: Blobs) -> None:
    messages = [
        Message("t", b"k", b"x" * size, (("h", b"v"),))
        for size in (0, THRESHOLD_BYTES, THRESHOLD_BYTES + 1)
    ]
    checked = check_in(messages, blobs)
    assert [len(message.value) for message in checked] == [0, THRESHOLD_BYTES, 0]
    assert check_out(as_records(checked), blobs) == as_records(messages)


def test_the_same_bytes_are_kept_once_and_privately(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    assert blobs.put(b"body") == blobs.put(b"body")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o077 == 0


def test_a_lost_or_altered_object_stops_the_reader_and_is_named() -> None:
    blobs = BlobBucket("memory://bodies")
    reference = blobs.put(b"body")
    (path,) = MemoryFileSystem.store
    MemoryFileSystem.store[path] = MemoryFile(MemoryFileSystem(), path, b"altered")
    with pytest.raises(ClaimLost, match=reference):
        blobs.get(reference)
    MemoryFileSystem.store.clear()
    with pytest.raises(ClaimLost, match="restore it from a backup"):
        blobs.get(reference)


def test_an_object_expires_by_its_youngest_reference() -> None:
    blobs = BlobBucket("memory://bodies")
    old, young = blobs.put(b"old"), blobs.put(b"young")
    for file in MemoryFileSystem.store.values():
        file.modified = file.created = datetime(2020, 1, 1, tzinfo=UTC)
    blobs.put(b"young")
    assert blobs.expire(datetime(2021, 1, 1, tzinfo=UTC).timestamp()) == 1
    assert blobs.get(young) == b"young"
    with pytest.raises(ClaimLost):
        blobs.get(old)
    MemoryFileSystem.store.clear()


def test_the_kind_of_place_shows_in_its_name(tmp_path: Path) -> None:
    assert isinstance(blobs_at(str(tmp_path)), BlobFolder)
    assert isinstance(blobs_at("memory://bucket/prefix"), BlobBucket)
    with pytest.raises(UserError, match="bodies cannot be kept at nowhere://x"):
        blobs_at("nowhere://x")


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
def test_a_reference_is_never_a_path(blobs: Blobs, reference: str) -> None:
    with pytest.raises(ClaimLost, match="is no reference"):
        blobs.get(reference)


def test_a_body_expires_by_its_youngest_reference(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    old, young = blobs.put(b"old"), blobs.put(b"young")
    for reference in (old, young):
        os.utime(tmp_path / reference[:2] / reference, (1_000, 1_000))
    blobs.put(b"young")
    assert blobs.expire(2_000) == 1
    assert blobs.get(young) == b"young"

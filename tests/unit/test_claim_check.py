"""The claim check: large bodies travel as references; a missing one stops the reader."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from pipeline.errors import UserError
from pipeline.log.claim_check import (
    THRESHOLD_BYTES,
    BodyMissingError,
    BodyStore,
    BucketBodyStore,
    FolderBodyStore,
    open_body_store,
    restore_large_body,
    store_large_bodies,
)
from pipeline.log.port import LogRecord, Message


def as_records(messages: list[Message]) -> list[LogRecord]:
    return [
        LogRecord(m.topic, 0, offset, 0, m.key, m.value, m.headers)
        for offset, m in enumerate(messages)
    ]


@pytest.fixture(params=["folder", "bucket"])
def bodies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BodyStore]:
    """Return an empty body store of each kind."""
    if request.param == "folder":
        yield FolderBodyStore(tmp_path)
        return
    yield BucketBodyStore(f"memory://{tmp_path}")
    MemoryFileSystem.store.clear()


def test_only_large_bodies_are_stored_and_all_are_restored(bodies: BodyStore) -> None:
    messages = [
        Message("t", b"k", b"x" * size, (("h", b"v"),))
        for size in (0, THRESHOLD_BYTES, THRESHOLD_BYTES + 1)
    ]
    checked = store_large_bodies(messages, bodies)
    assert [len(message.value) for message in checked] == [0, THRESHOLD_BYTES, 0]
    restored = [restore_large_body(record, bodies) for record in as_records(checked)]
    assert restored == as_records(messages)


def test_equal_bodies_are_stored_once_with_private_permissions(tmp_path: Path) -> None:
    bodies = FolderBodyStore(tmp_path)
    assert bodies.put(b"body") == bodies.put(b"body")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o077 == 0


def test_a_missing_or_altered_object_raises_with_its_name() -> None:
    bodies = BucketBodyStore("memory://bodies")
    reference = bodies.put(b"body")
    (path,) = MemoryFileSystem.store
    MemoryFileSystem.store[path] = MemoryFile(MemoryFileSystem(), path, b"altered")
    with pytest.raises(BodyMissingError, match=reference):
        bodies.get(reference)
    MemoryFileSystem.store.clear()
    with pytest.raises(BodyMissingError, match="restore it from a backup"):
        bodies.get(reference)


def test_objects_expire_after_their_last_reference() -> None:
    bodies = BucketBodyStore("memory://bodies")
    old, young = bodies.put(b"old"), bodies.put(b"young")
    for file in MemoryFileSystem.store.values():
        file.modified = file.created = datetime(2020, 1, 1, tzinfo=UTC)
    bodies.put(b"young")
    assert bodies.expire(datetime(2021, 1, 1, tzinfo=UTC).timestamp()) == 1
    assert bodies.get(young) == b"young"
    with pytest.raises(BodyMissingError):
        bodies.get(old)
    MemoryFileSystem.store.clear()


def test_a_url_selects_the_bucket_store(tmp_path: Path) -> None:
    assert isinstance(open_body_store(str(tmp_path)), FolderBodyStore)
    assert isinstance(open_body_store("memory://bucket/prefix"), BucketBodyStore)
    with pytest.raises(UserError, match="bodies cannot be stored at nowhere://x"):
        open_body_store("nowhere://x")


def test_a_missing_or_altered_file_raises_with_its_name(tmp_path: Path) -> None:
    bodies = FolderBodyStore(tmp_path)
    reference = bodies.put(b"body")
    path = tmp_path / reference[:2] / reference
    path.write_bytes(b"altered")
    with pytest.raises(BodyMissingError, match=reference):
        bodies.get(reference)
    path.unlink()
    with pytest.raises(BodyMissingError, match="restore it from a backup"):
        bodies.get(reference)


@pytest.mark.parametrize("reference", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_a_reference_cannot_be_a_path(bodies: BodyStore, reference: str) -> None:
    with pytest.raises(BodyMissingError, match="is not a reference"):
        bodies.get(reference)


def test_files_expire_after_their_last_reference(tmp_path: Path) -> None:
    bodies = FolderBodyStore(tmp_path)
    old, young = bodies.put(b"old"), bodies.put(b"young")
    for reference in (old, young):
        os.utime(tmp_path / reference[:2] / reference, (1_000, 1_000))
    bodies.put(b"young")
    assert bodies.expire(2_000) == 1
    assert bodies.get(young) == b"young"

"""The claim check: bodies too large for a log go to a content-addressed folder and travel as a
reference.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from pipeline.errors import UserError
from pipeline.log.port import LogRecord, Message

# DESIGN §4: brokers and page caches are built for small records; a quarter MiB still holds almost
# every mail.
THRESHOLD_BYTES = 256 * 1024
# CloudEvents' extension for a body kept elsewhere:
# https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/dataref.md
_HEADER = "ce_dataref"


class ClaimLost(UserError):
    """A reference whose bytes are gone or altered; the message names the file. Reading on would
    lose the record, so it stops.
    """


class Blobs(Protocol):
    """Where large bodies are kept, by their SHA-256."""

    def put(self, content: bytes) -> str: ...

    def get(self, reference: str) -> bytes: ...

    def expire(self, older_than: float) -> int: ...

    def usage(self) -> tuple[int, int]: ...


def blobs_at(place: str) -> Blobs:
    """Return where bodies are kept: a folder's path, or a URL that fsspec knows, such as
    s3://bucket/prefix.

    Raises UserError for a URL of an unknown kind, or of one whose library is not installed.
    """
    return BlobBucket(place) if "://" in place else BlobFolder(Path(place))


class BlobFolder:
    """Bytes kept by their SHA-256 in a folder, written once, durable before `put` returns."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, content: bytes) -> str:
        """Keep bytes and return their reference; the same bytes are kept once."""
        reference = hashlib.sha256(content).hexdigest()
        path = self._path(reference)
        if path.exists():
            os.utime(path)  # the age of a blob is that of its youngest reference
            return reference
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            part.write(content)
            part.flush()
            os.fsync(part.fileno())
        Path(part.name).replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return reference

    def get(self, reference: str) -> bytes:
        """Return the bytes of a reference; raises ClaimLost where they are missing or not what they
        were.
        """
        path = self._path(reference)
        return _checked(path, reference, path.read_bytes)

    def expire(self, older_than: float) -> int:
        """Delete blobs last referenced before an instant (seconds since the epoch); return how
        many.
        """
        expired = 0
        for path in self._root.glob("??/*"):
            # Another worker that starts does the same.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < older_than:
                    path.unlink()
                    expired += 1
        return expired

    def usage(self) -> tuple[int, int]:
        """Return how many bodies there are, and their bytes."""
        sizes = []
        for path in self._root.glob("??/*"):
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def _path(self, reference: str) -> Path:
        return self._root / _place_of(reference)


# A body that is referred to again is written again once it is this old, so that its age stays that
# of its youngest reference.
_REFRESH = timedelta(days=1)


class BlobBucket:
    """Bytes kept by their SHA-256 in an object store, through
    https://filesystem-spec.readthedocs.io: for workers on several machines.

    An object is there whole or not at all, and durable when `put` returns, as far as the store
    promises that (S3 does).
    """

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(f"bodies cannot be kept at {url}: {error}") from error

    def put(self, content: bytes) -> str:
        """Keep bytes and return their reference; the same bytes are kept once."""
        reference = hashlib.sha256(content).hexdigest()
        path = self._path(reference)
        try:
            young = self._files.modified(path) > datetime.now(UTC) - _REFRESH
        except FileNotFoundError:
            young = False
        if not young:
            self._files.pipe_file(path, content)
        return reference

    def get(self, reference: str) -> bytes:
        """Return the bytes of a reference; raises ClaimLost where they are missing or not what they
        were.
        """
        path = self._path(reference)
        return _checked(path, reference, lambda: self._files.cat_file(path))

    def expire(self, older_than: float) -> int:
        """Delete blobs last written before an instant (seconds since the epoch); return how many.
        See `BlobFolder.expire`.
        """
        before = datetime.fromtimestamp(older_than, UTC)
        expired = 0
        for path in self._files.find(self._root):
            with suppress(FileNotFoundError):
                if self._files.modified(path) < before:
                    self._files.rm_file(path)
                    expired += 1
        return expired

    def usage(self) -> tuple[int, int]:
        """Return how many bodies there are, and their bytes; raises UserError where the store is
        not to be reached.
        """
        try:
            sizes = [found["size"] for found in self._files.find(self._root, detail=True).values()]
        # Each of fsspec's stores has errors of its own.
        except Exception as error:
            raise UserError(f"the bodies at {self._root} are not to be reached: {error}") from error
        return len(sizes), sum(sizes)

    def _path(self, reference: str) -> str:
        return f"{self._root}/{_place_of(reference)}"


def _place_of(reference: str) -> str:
    if len(reference) != 64 or not all(char in "0123456789abcdef" for char in reference):
        raise ClaimLost(f"{reference[:80]!r} is no reference to a stored body")
    return f"{reference[:2]}/{reference}"


def _checked(place: object, reference: str, read: Callable[[], bytes]) -> bytes:
    try:
        content = read()
    except FileNotFoundError as error:
        raise ClaimLost(
            f"{place} is missing: restore it from a backup, or set the offset past its record"
        ) from error
    if hashlib.sha256(content).hexdigest() != reference:
        raise ClaimLost(f"{place} does not hold what its name says: restore it from a backup")
    return content


def check_in(messages: Sequence[Message], blobs: Blobs) -> list[Message]:
    """Return the messages with every body over `THRESHOLD_BYTES` replaced by a reference; a fold
    bounds its states itself.
    """
    return [
        replace(
            message,
            value=b"",
            headers=(*message.headers, (_HEADER, blobs.put(message.value).encode())),
        )
        if len(message.value) > THRESHOLD_BYTES and message.partition is None
        else message
        for message in messages
    ]


def check_out(records: Sequence[LogRecord], blobs: Blobs) -> list[LogRecord]:
    """Return the records with every reference replaced by its body; raises ClaimLost."""
    return [_filled(record, blobs) for record in records]


def _filled(record: LogRecord, blobs: Blobs) -> LogRecord:
    if record.value:
        return record
    reference = record.header(_HEADER)
    if not reference:
        return record
    headers = tuple(header for header in record.headers if header[0] != _HEADER)
    return replace(record, value=blobs.get(reference), headers=headers)

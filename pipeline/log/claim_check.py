"""The claim check: bodies too large for the log lie in a body store and travel as references.

https://www.enterpriseintegrationpatterns.com/patterns/messaging/StoreInLibrary.html
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from pipeline.errors import InstallationError, UserError
from pipeline.log.durable_files import write_durably
from pipeline.log.port import LogRecord, Message

# Brokers and page caches are built for small records; almost every mail is smaller than
# a quarter MiB.
THRESHOLD_BYTES = 256 * 1024
# CloudEvents' extension for a body that is stored elsewhere:
# https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/dataref.md
_HEADER = "ce_dataref"


class BodyMissingError(Exception):
    """The body of a reference is missing or altered, or the reference is none.

    The record becomes a dead letter with its reference, so it can be replayed once the body is
    back; the message says what to do.
    """


class BodyStoreUnavailableError(InstallationError):
    """The body store cannot be read: no record can be checked out, and trying again may help."""


class BodyStore(Protocol):
    """Stores large bodies by their SHA-256."""

    def put(self, content: bytes) -> str: ...

    def get(self, reference: str) -> bytes: ...

    def has(self, reference: str) -> bool: ...

    def expire(self, older_than: float) -> int: ...

    def usage(self) -> tuple[int, int]: ...


def open_body_store(location: str) -> BodyStore:
    """Return the body store at a folder's path or an fsspec URL such as s3://bucket/prefix.

    Raises UserError if the URL's scheme is unknown or its library is not installed.
    """
    return BucketBodyStore(location) if "://" in location else FolderBodyStore(Path(location))


class FolderBodyStore:
    """A body store in a folder: each body is one file, durable before `put` returns."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Before the first large body there is no folder; later its absence is a fault.
        self._existed = root.is_dir()

    def put(self, content: bytes) -> str:
        """Keep bytes and return their reference; the same bytes are kept once."""
        reference = hashlib.sha256(content).hexdigest()
        path = self._path(reference)
        if path.exists():
            os.utime(path)  # a body is as old as its youngest reference
            return reference
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(path, content)
        return reference

    def get(self, reference: str) -> bytes:
        """Return the bytes of a reference.

        Raises BodyMissingError if they are missing or altered, BodyStoreUnavailableError if the
        folder cannot be read.
        """
        path = self._path(reference)
        if self._existed and not self._root.is_dir():
            raise BodyStoreUnavailableError(
                f"the body store {self._root} is gone: mount or restore it"
            )
        return _verified(path, reference, path.read_bytes)

    def has(self, reference: str) -> bool:
        """Return whether there is a body of a reference; its bytes are not read."""
        return self._path(reference).is_file()

    def expire(self, older_than: float) -> int:
        """Delete bodies last referenced before an instant (s since the epoch); return how many."""
        expired = 0
        for path in self._root.glob("??/*"):
            # Another worker that starts at the same time deletes expired bodies, too.
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
        return self._root / _relative_path(reference)


# A body older than this is written again when it is referenced again, so that it stays as old as
# its youngest reference.
_REFRESH = timedelta(days=1)


class BucketBodyStore:
    """A body store in an object store, for workers on several machines.

    It uses https://filesystem-spec.readthedocs.io. An object exists whole or not at all and is
    durable when `put` returns, as far as the object store promises that (S3 does).
    """

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"bodies cannot be stored at {url}: {error}; check the setting bodies"
            ) from error

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
        """Return the bytes of a reference.

        Raises BodyMissingError if they are missing or altered, BodyStoreUnavailableError if the
        object store does not answer.
        """
        path = self._path(reference)
        return _verified(path, reference, lambda: self._files.cat_file(path))

    def has(self, reference: str) -> bool:
        """Return whether there is a body of a reference; its bytes are not read."""
        return bool(self._files.exists(self._path(reference)))

    def expire(self, older_than: float) -> int:
        """Delete bodies last written before an instant (s since the epoch); return how many."""
        before = datetime.fromtimestamp(older_than, UTC)
        expired = 0
        for path in self._files.find(self._root):
            with suppress(FileNotFoundError):
                if self._files.modified(path) < before:
                    self._files.rm_file(path)
                    expired += 1
        return expired

    def usage(self) -> tuple[int, int]:
        """Return how many bodies there are, and their bytes.

        Raises UserError if the store cannot be reached.
        """
        try:
            sizes = [found["size"] for found in self._files.find(self._root, detail=True).values()]
        # Each of fsspec's stores raises its own exceptions.
        except Exception as error:
            raise UserError(f"the body store at {self._root} cannot be reached: {error}") from error
        return len(sizes), sum(sizes)

    def _path(self, reference: str) -> str:
        return f"{self._root}/{_relative_path(reference)}"


def _relative_path(reference: str) -> str:
    if len(reference) != 64 or not all(char in "0123456789abcdef" for char in reference):
        raise BodyMissingError(
            f"header {_HEADER}: {reference[:80]!r} is not a reference to a stored body, which is a"
            " SHA-256 in hexadecimal; let the producer publish the event with its body"
        )
    return f"{reference[:2]}/{reference}"


def _verified(path: object, reference: str, read: Callable[[], bytes]) -> bytes:
    try:
        content = read()
    except FileNotFoundError as error:
        raise BodyMissingError(
            f"the body {path} is missing: restore it from a backup, then replay this dead letter"
        ) from error
    # Each of fsspec's stores raises its own exceptions.
    except Exception as error:
        raise BodyStoreUnavailableError(
            f"the body {path} cannot be read: {error}; check the setting bodies, the rights and the"
            " connection"
        ) from error
    if hashlib.sha256(content).hexdigest() != reference:
        raise BodyMissingError(
            f"the body {path} does not match its checksum: restore it from a backup, then replay"
            " this dead letter"
        )
    return content


def store_large_bodies(messages: Sequence[Message], bodies: BodyStore) -> list[Message]:
    """Return the messages with every body over `THRESHOLD_BYTES` replaced by a reference.

    States (messages with a partition) stay as they are: a fold bounds their size itself.
    """
    return [
        replace(
            message,
            value=b"",
            headers=(
                *(header for header in message.headers if header[0] != _HEADER),
                (_HEADER, bodies.put(message.value).encode()),
            ),
        )
        if len(message.value) > THRESHOLD_BYTES and message.partition is None
        else message
        for message in messages
    ]


def body_reference(record: LogRecord) -> str:
    """Return the reference to a record's body, or "" if the record has its body itself."""
    return "" if record.value else record.header(_HEADER)


def restore_large_body(record: LogRecord, bodies: BodyStore) -> LogRecord:
    """Return a record with its reference, if it has one, replaced by its body.

    Raises BodyMissingError or BodyStoreUnavailableError.
    """
    if record.value:
        return record
    reference = record.header(_HEADER)
    if not reference:
        return record
    headers = tuple(header for header in record.headers if header[0] != _HEADER)
    return replace(record, value=bodies.get(reference), headers=headers)

"""The claim check: bodies too large for a log go to a content-addressed folder and travel as a reference."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pipeline.errors import UserError
from pipeline.runtime.log import LogRecord, Message

# DESIGN §4: brokers and page caches are built for small records; a quarter MiB still holds almost every mail.
THRESHOLD_BYTES = 256 * 1024
# CloudEvents' extension for a body kept elsewhere: https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/dataref.md
_HEADER = "ce_dataref"


class ClaimLost(UserError):
    """A reference whose bytes are gone or altered; the message names the file. Reading on would lose the record, so it stops."""


class Blobs(Protocol):
    """Where large bodies are kept, by their SHA-256."""

    def put(self, content: bytes) -> str: ...

    def get(self, reference: str) -> bytes: ...


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
        """Return the bytes of a reference; raises ClaimLost where they are missing or not what they were."""
        path = self._path(reference)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise ClaimLost(
                f"{path} is missing: restore it from a backup, or set the offset past its record"
            ) from error
        if hashlib.sha256(content).hexdigest() != reference:
            raise ClaimLost(f"{path} does not hold what its name says: restore it from a backup")
        return content

    def expire(self, older_than: float) -> int:
        """Delete blobs last referenced before an instant (seconds since the epoch); return how many."""
        old = [path for path in self._root.glob("??/*") if path.stat().st_mtime < older_than]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _path(self, reference: str) -> Path:
        if len(reference) != 64 or not all(char in "0123456789abcdef" for char in reference):
            raise ClaimLost(f"{reference[:80]!r} is no reference to a stored body")
        return self._root / reference[:2] / reference


def check_in(messages: Sequence[Message], blobs: Blobs) -> list[Message]:
    """Return the messages with every body over `THRESHOLD_BYTES` replaced by a reference; a fold bounds its states itself."""
    return [
        replace(message, value=b"", headers=(*message.headers, (_HEADER, blobs.put(message.value).encode())))
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

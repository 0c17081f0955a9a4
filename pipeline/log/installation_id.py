"""Knows the log and the secret of a data folder, so that a lost one is not taken for a new one.

A log that is deleted, emptied or replaced looks to SQLite like one that was never written. So each
log has an id, and `installation.json` beside it keeps that id and a hash of the secret.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

import orjson

from pipeline.log.durable_files import write_durably
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.log.sqlite_integrity import check_not_empty, verify_bounds
from pipeline.log.sqlite_log import SqliteLog

LOG, SECRET, INSTALLATION = "log.sqlite", "secret", "installation.json"
_CHECKPOINT = "log-id"


@dataclass(frozen=True, slots=True)
class InstallationId:
    """The id of a data folder's log, and the SHA-256 of its secret; each is empty if not known."""

    log: str = ""
    secret: str = ""

    @classmethod
    def read(cls, root: Path) -> InstallationId:
        """Return what a data folder knows, nothing if it is new; raises FileDamagedError."""
        path = root / INSTALLATION
        try:
            return cls(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError) as error:
            raise FileDamagedError(path, str(error)) from error

    def write(self, root: Path) -> None:
        """Replace what a data folder knows."""
        write_durably(root / INSTALLATION, orjson.dumps(asdict(self)))


def open_known_log(root: Path, newest_loaded_ms: int = 0) -> SqliteLog:
    """Return the log of a data folder, a new one if the folder had none.

    Raises FileDamagedError if the folder's log is gone, empty, cut, another one, or ends before
    `newest_loaded_ms`, the append time of the newest record that the store has loaded.
    """
    known, path = InstallationId.read(root), root / LOG
    if known.log:
        if not path.exists():
            raise FileDamagedError(path, "the file is gone")
        check_not_empty(path)
    log = SqliteLog(path)
    try:
        _verify(log, root, known)
        verify_bounds(path)
        if newest_loaded_ms > (newest := log.newest_ms()):
            raise FileDamagedError(
                path,
                "it ends before records that the store has loaded: an earlier copy took its place,"
                f" or its end is lost ({newest_loaded_ms - newest:,} ms)",
            )
    except BaseException:
        log.close()
        raise
    return log


def _verify(log: SqliteLog, root: Path, known: InstallationId) -> None:
    own = log.checkpoint(_CHECKPOINT)
    if own is None and not known.log:
        own = _name_log(log)
    if known.log and (own or b"").decode() != known.log:
        raise FileDamagedError(root / LOG, "another log took its place")
    if not known.log:
        replace(InstallationId.read(root), log=(own or b"").decode()).write(root)


def _name_log(log: SqliteLog) -> bytes:
    """Give a log an id, unless another process was first; return its id."""
    with log.transaction() as transaction:
        own = log.checkpoint(_CHECKPOINT)
        if own is None:
            own = str(uuid4()).encode()
            transaction.checkpoint(_CHECKPOINT, own)
    return own


def verify_secret(root: Path, secret: bytes | None) -> None:
    """Raise FileDamagedError if a folder's secret is gone or another one; remember a first one."""
    known, digest = InstallationId.read(root), hashlib.sha256(secret or b"").hexdigest()
    if known.secret and (secret is None or digest != known.secret):
        problem = "the file is gone" if secret is None else "another secret took its place"
        raise FileDamagedError(root / SECRET, problem)
    if secret is not None and not known.secret:
        replace(known, secret=digest).write(root)

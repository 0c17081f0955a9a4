"""The base class of errors that the user of a command can fix, and who caused an error."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final


class UserError(Exception):
    """A problem outside the program; the message says what happened and what to do.

    The command line prints the message without a traceback.
    """


class UsageError(UserError):
    """The command is wrong: an option, a name or a path; the message says how to write it."""


class InstallationError(UserError):
    """The installation is at fault: the disk, a right, a setting or a server, but never a record.

    Every record would fail in the same way until somebody repairs it, so the stage stops or tries
    again. What the content of a record causes must not be of this type (docs/adr/0030).
    """


def is_caused_by_record(error: Exception) -> bool:
    """Return whether an exception in a stage counts against the record that it handled.

    The type alone decides, wherever it was raised. An exception that nobody expected counts against
    the record: it becomes a dead letter, and the stage goes on.

    >>> is_caused_by_record(AttributeError("no .get")), is_caused_by_record(PermissionError())
    (True, False)
    """
    # Arithmetic with an impossible time: the C library reports it as an error of the system.
    if isinstance(error, OSError) and error.errno == errno.EOVERFLOW:
        return True
    return not isinstance(error, (InstallationError, OSError, MemoryError, sqlite3.Error))


# What happened and what to do, by the error number of the system.
_ADVICE: Final = {
    errno.ENOSPC: (
        "the disk is full",
        "free some space and start again; what was committed is kept",
    ),
    errno.EDQUOT: (
        "the disk quota is used up",
        "free some space and start again; what was committed is kept",
    ),
    errno.EFBIG: (
        "the file may not become larger",
        "raise the limit on the size of files (ulimit -f) and start again; what was committed is"
        " kept",
    ),
    errno.EROFS: (
        "the file system is read-only",
        "mount it for writing, or name another folder with --data-dir",
    ),
    errno.EACCES: (
        "this user has no right to it",
        "run as its owner, or change its owner or rights",
    ),
    errno.EPERM: (
        "this user has no right to it",
        "run as its owner, or change its owner or rights",
    ),
    errno.EMFILE: (
        "this process has too many open files",
        "raise the limit on open files (ulimit -n)",
    ),
    errno.ENFILE: (
        "this machine has too many open files",
        "end other processes, or raise the limit of the system (fs.file-max)",
    ),
    errno.ENOTDIR: (
        "a part of the path is a file and no folder",
        "name another folder, or move the file",
    ),
    errno.EEXIST: (
        "it exists already and is no folder",
        "name another folder, or move the file",
    ),
    errno.EIO: (
        "the disk cannot be read or written",
        "check the disk; `switchboard check` finds what is damaged",
    ),
    errno.ENOMEM: ("the memory is full", "end other processes, or add memory"),
}
# SQLite's result codes for the same: https://www.sqlite.org/rescode.html
_SQLITE_ERRORS: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_AUTH: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}
# SQLite names the call that failed, not its cause.
_SQLITE_ADVICE: Final = {
    sqlite3.SQLITE_IOERR: (
        "it cannot be read or written",
        "free space on the disk or check it, and start again; what was committed is kept",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "check the rights of its folder, the space on the disk and the limit on open files",
    ),
    sqlite3.SQLITE_READONLY: (
        "it cannot be written",
        "mount its disk for writing, change its owner or rights, or name another folder with"
        " --data-dir",
    ),
    sqlite3.SQLITE_BUSY: ("another process uses it", "wait for it, or end it"),
}


def describe_os_error(number: int, subject: str = "", detail: str = "") -> str:
    """Return what an error number of the system means for a file, and what to do.

    >>> describe_os_error(errno.EROFS, "data/log.sqlite")[:48]
    'data/log.sqlite: the file system is read-only: m'
    """
    what, advice = _ADVICE.get(number, (detail or "the system reports an error", ""))
    return ": ".join(filter(None, (subject, what, advice)))


def describe_machine_error(error: OSError | sqlite3.Error, subject: str = "") -> str:
    """Return an error of the system or of SQLite as one sentence, with what to do.

    >>> describe_machine_error(OSError(errno.ENOSPC, "No space left on device", "a/b"))[:26]
    'a/b: the disk is full: fre'
    """
    if isinstance(error, OSError):
        subject = subject or ("" if error.filename is None else str(error.filename))
        if error.errno is None:
            return str(error)
        return describe_os_error(error.errno, subject, error.strerror or str(error))
    code = _sqlite_code(error)
    if code in _SQLITE_ERRORS:
        return describe_os_error(_SQLITE_ERRORS[code], subject)
    what, advice = _SQLITE_ADVICE.get(code, ("", ""))
    return ": ".join(filter(None, (subject, f"{what} ({error})" if what else str(error), advice)))


def is_machine_error(error: sqlite3.Error) -> bool:
    """Return whether SQLite reports trouble of the machine: the disk, a right, the memory."""
    code = _sqlite_code(error)
    return code in _SQLITE_ERRORS or code in _SQLITE_ADVICE


def _sqlite_code(error: sqlite3.Error) -> int:
    """Return the lowest byte of SQLite's result code, 0 for an error that Python raised itself."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF

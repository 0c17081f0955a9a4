"""The base class of errors that the user of a command can fix, and who caused an error."""

from __future__ import annotations

import errno


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
    import sqlite3

    # Arithmetic with an impossible time: the C library reports it as an error of the system.
    if isinstance(error, OSError) and error.errno == errno.EOVERFLOW:
        return True
    return not isinstance(error, (InstallationError, OSError, MemoryError, sqlite3.Error))

"""Texts that ClickHouse reads and writes: query parameters and error messages."""

from __future__ import annotations

import errno
import re
from typing import Any

from pipeline.errors import describe_os_error
from pipeline.sinks.warehouse import (
    WarehouseBusyError,
    WarehouseError,
    WarehouseSetupError,
    error_for_code,
)

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
)


def escaped_parameter(value: Any) -> Any:
    """Return a parameter in ClickHouse's escaped text format, arrays with quoted elements.

    >>> escaped_parameter(["a", "b"])
    "['a','b']"

    https://clickhouse.com/docs/interfaces/cli#cli-queries-with-parameters-syntax
    """
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(f"'{str(item).translate(_ESCAPES)}'" for item in value) + "]"
    return value


# Messages read "Code: 60. DB::Exception: message. (UNKNOWN_TABLE)", sometimes nested.
_CODE = re.compile(r"Code: (\d+)\. DB::\w*Exception: ")
# What the system reports to the engine: "Cannot open file …: , errno: 24, strerror: …".
_NOT_ENOUGH_SPACE = 243
_SYSTEM_ERROR = re.compile(r"\berrno: (\d{1,3}), strerror: ")
# A server appends its version over HTTP.
_VERSION = re.compile(r" \(version [^()]*(?:\([^()]*\))?[^()]*\)$")


def error_from_text(text: str) -> WarehouseError:
    """Return the exception for an error message.

    >>> error_from_text("Code: 60. DB::Exception: Unknown table t. (UNKNOWN_TABLE)")
    WarehouseSetupError('Unknown table t. (UNKNOWN_TABLE)')

    What the system reports is never the fault of a row:

    >>> error_from_text("Code: 76. DB::ErrnoException: Cannot open file: , errno: 24, strerror: x")
    WarehouseSetupError('the warehouse: this process has too many open files: raise the limit on \
open files (ulimit -n)')
    """
    if (error := system_error_from_text(text)) is not None:
        return error
    codes = _CODE.findall(text)
    message = _VERSION.sub("", _CODE.sub("", text).strip())
    return error_for_code(int(codes[-1]) if codes else 0, message)


def system_error_from_text(text: str) -> WarehouseError | None:
    """Return the exception for a message about the machine: its disk, rights or open files."""
    codes = _CODE.findall(text)
    code = int(codes[-1]) if codes else 0
    match = _SYSTEM_ERROR.search(text)
    if match is None and code != _NOT_ENOUGH_SPACE:
        return None
    number = int(match[1]) if match else errno.ENOSPC
    message = describe_os_error(number, "the warehouse", _CODE.sub("", text).strip())
    # A full disk may have space again when a merge has ended; everything else stays.
    kind = WarehouseBusyError if number == errno.ENOSPC else WarehouseSetupError
    return kind(message, code)

"""Texts that ClickHouse reads and writes: query parameters and error messages."""

from __future__ import annotations

import re
from typing import Any

from pipeline.sinks.warehouse import WarehouseError, error_for_code

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
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
# A server appends its version over HTTP.
_VERSION = re.compile(r" \(version [^()]*(?:\([^()]*\))?[^()]*\)$")


def error_from_text(text: str) -> WarehouseError:
    """Return the exception for an error message.

    >>> error_from_text("Code: 60. DB::Exception: Unknown table t. (UNKNOWN_TABLE)")
    WarehouseSetupError('Unknown table t. (UNKNOWN_TABLE)')
    """
    codes = _CODE.findall(text)
    message = _VERSION.sub("", _CODE.sub("", text).strip())
    return error_for_code(int(codes[-1]) if codes else 0, message)

"""Formats typed columns from the native protocol as JSONEachRow, exactly as ClickHouse does.

The program reads the results of its own queries in this format, so they need no HTTP interface.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import repeat
from typing import Any

import numpy as np

from pipeline.sinks.clickhouse_types import parse_type, tuple_element
from pipeline.sinks.warehouse import WarehouseError

Header = Sequence[tuple[str, str]]
Values = Sequence[Any]
Formatter = Callable[[Values], list[bytes]]


class UnsupportedTypeError(Exception):
    """A column has a type that is not formatted here; the server formats it over HTTP."""


def json_rows(header: Header, columns: Sequence[Values]) -> bytes:
    """Return columns as JSONEachRow, as the driver reads them with strings as bytes.

    Raises UnsupportedTypeError.

    >>> json_rows([("n", "UInt8"), ("s", "String")], [[1], [b"a"]])
    b'{"n":1,"s":"a"}\\n'
    """
    if not columns:
        return b""
    values = [_formatter(kind)(column) for (_, kind), column in zip(header, columns, strict=True)]
    names = (_text(name.encode()).replace(b"%", b"%%") for name, _ in header)
    line = b"{" + b",".join(name + b":%b" for name in names) + b"}\n"
    return b"".join([line % row for row in zip(*values, strict=True)])


def _formatter(kind: str) -> Formatter:
    type_ = parse_type(kind)
    if type_.name in ("LowCardinality", "Nullable"):
        return _nullable(_formatter(type_.arguments[0]))
    if type_.name == "SimpleAggregateFunction":
        return _formatter(type_.arguments[1])
    if type_.name == "Array":
        return _arrays(_formatter(type_.arguments[0]))
    if type_.name == "Map":
        return _maps(_formatter(type_.arguments[0]), _formatter(type_.arguments[1]))
    if type_.name == "Tuple":
        return _tuples(type_.arguments)
    if type_.name == "DateTime64":
        return _timestamps(int(type_.arguments[0]))
    if type_.name not in _FORMATTERS:
        raise UnsupportedTypeError(kind)
    return _FORMATTERS[type_.name]


def _each(text: Callable[[Any], bytes]) -> Formatter:
    return lambda values: [text(value) for value in values]


# What ClickHouse's writeJSONString escapes: quotes, backslashes, slashes, control characters,
# U+2028 and U+2029.
_ESCAPED = re.compile(rb'["\\/\x00-\x1f]|\xe2\x80[\xa8\xa9]')
_ESCAPES = {
    **{bytes([code]): b"\\u%04X" % code for code in range(32)},
    b"\b": b"\\b",
    b"\f": b"\\f",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\t": b"\\t",
    b'"': b'\\"',
    b"\\": b"\\\\",
    b"/": b"\\/",
    b"\xe2\x80\xa8": b"\\u2028",
    b"\xe2\x80\xa9": b"\\u2029",
}


def _text(value: bytes) -> bytes:
    return b'"' + _ESCAPED.sub(lambda match: _ESCAPES[match[0]], value) + b'"'


def _quoted(value: Any) -> bytes:
    return b'"%b"' % str(value).encode()


def _number(value: Any) -> bytes:
    return b"%d" % value


def _truth(value: Any) -> bytes:
    return b"true" if value else b"false"


# Numbers within these powers of ten are written without an exponent, as in JavaScript.
_LOWEST_POWER, _HIGHEST_POWER = -6, 21


def _float_text(shortest: str) -> bytes:
    """Return a float's shortest decimal text as ClickHouse writes it.

    >>> _float_text("1.0"), _float_text("1e-05"), _float_text("1.5e-07")
    (b'1', b'0.00001', b'1.5e-7')
    """
    mantissa, _, power = shortest.partition("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0".encode()
    if not _LOWEST_POWER < point <= _HIGHEST_POWER:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1}".encode()
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}".encode()
    whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}{'.' if fraction else ''}{fraction}".encode()


def _double(value: float) -> bytes:
    return _float_text(repr(value)) if math.isfinite(value) else b"null"


def _single(value: float) -> bytes:
    return (
        _float_text(np.format_float_scientific(np.float32(value)))
        if math.isfinite(value)
        else b"null"
    )


def _decimal(value: Decimal) -> bytes:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


def _day(value: date) -> bytes:
    return b'"%b"' % value.isoformat().encode()


def _second(value: datetime) -> bytes:
    return b'"%b"' % value.replace(tzinfo=None).isoformat(" ", "seconds").encode()


# The driver reads timestamps as datetime, which loses digits beyond microseconds.
_MICROSECONDS = 6


def _timestamps(digits: int) -> Formatter:
    if digits > _MICROSECONDS:
        raise WarehouseError(
            "a timestamp has more than six decimal places: cast it, such as by toString() or"
            " toDateTime64(…, 6)"
        )

    def text(value: datetime) -> bytes:
        whole = value.replace(tzinfo=None).isoformat(" ", "microseconds")
        return b'"%b"' % whole[: len(whole) - (_MICROSECONDS - digits) - (digits == 0)].encode()

    return _each(text)


def _nullable(inner: Formatter) -> Formatter:
    def texts(values: Values) -> list[bytes]:
        if None not in values:
            return inner(values)
        present = iter(inner([value for value in values if value is not None]))
        return [b"null" if value is None else next(present) for value in values]

    return texts


def _arrays(inner: Formatter) -> Formatter:
    def texts(values: Values) -> list[bytes]:
        flat = iter(inner([item for value in values for item in value]))
        return [b"[" + b",".join([next(flat) for _ in value]) + b"]" for value in values]

    return texts


def _maps(keys: Formatter, inner: Formatter) -> Formatter:
    def texts(values: Values) -> list[bytes]:
        names = iter(keys([key for value in values for key in value]))
        flat = iter(inner([item for value in values for item in value.values()]))
        return [
            b"{" + b",".join([_name(next(names)) + b":" + next(flat) for _ in value]) + b"}"
            for value in values
        ]

    return texts


def _name(text: bytes) -> bytes:
    return text if text.startswith(b'"') else b'"' + text + b'"'


def _tuples(arguments: Sequence[str]) -> Formatter:
    named = [tuple_element(argument) for argument in arguments]
    formatters = [_formatter(kind) for _, kind in named]
    names = [_text(name.encode()) + b":" for name, _ in named if name is not None]
    opened, closed = (b"{", b"}") if names else (b"[", b"]")

    def texts(values: Values) -> list[bytes]:
        parts = [
            formatter([value[index] for value in values])
            for index, formatter in enumerate(formatters)
        ]
        prefixes = names or list(repeat(b"", len(formatters)))
        return [
            opened
            + b",".join([prefix + part for prefix, part in zip(prefixes, row, strict=True)])
            + closed
            for row in zip(*parts, strict=True)
        ]

    return texts


_FORMATTERS: dict[str, Formatter] = {
    "String": _each(_text),
    "UUID": _each(_quoted),
    "IPv4": _each(_quoted),
    "Bool": _each(_truth),
    "Float64": _each(_double),
    "Float32": _each(_single),
    "Decimal": _each(_decimal),
    "Date": _each(_day),
    "Date32": _each(_day),
    "DateTime": _each(_second),
    "Nothing": lambda values: [b"null"] * len(values),
    "Enum8": _each(lambda value: _text(value.encode())),
    "Enum16": _each(lambda value: _text(value.encode())),
    **{
        f"{sign}Int{bits}": _each(_number)
        for sign in ("", "U")
        for bits in (8, 16, 32, 64, 128, 256)
    },
}

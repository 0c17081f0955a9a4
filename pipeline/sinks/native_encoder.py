"""Encodes columns for ClickHouse's native protocol, by clickhouse-driver or encoders of ours.

A value that does not fit is rejected with its column's name, never converted. We have encoders for
types that the driver writes value by value in Python (bench/load.py measures both).
https://clickhouse.com/docs/interfaces/formats/Native
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.columns.service import write_column
from clickhouse_driver.errors import Error as DriverError

from pipeline.sinks.clickhouse_types import parse_type, tuple_element
from pipeline.sinks.warehouse import TYPE_MISMATCH, WarehouseError

Values = Sequence[Any]
Encoder = Callable[[Values, BufferedSocketWriter], None]

# The attributes that the driver's column classes read from a connection.
_CONTEXT = SimpleNamespace(
    client_settings={
        "use_numpy": False,
        "strings_as_bytes": False,
        "strings_encoding": "utf-8",
        "input_format_null_as_default": False,
    },
    settings={},
)


def encode_column(column: str, kind: str, values: Values, writer: BufferedSocketWriter) -> None:
    """Write a column of a ClickHouse type in native encoding; see `Columns` for the Python types.

    Raises WarehouseError with the column's name if a value does not fit; a part may be written.
    """
    try:
        _encoder(kind)(values, writer)
    except (DriverError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise WarehouseError(f"column {column} takes {kind}: {error}", TYPE_MISMATCH) from error


_MILLISECONDS = "3"
# Types without a prefix, which a tuple would have to write before its first element.
_PLAIN = {"DateTime64", "String", "UUID"}


@cache
def _encoder(kind: str) -> Encoder:
    name, arguments = (type_ := parse_type(kind)).name, type_.arguments
    if name == "SimpleAggregateFunction":
        return _encoder(arguments[1])
    if name == "Nullable" and parse_type(arguments[0]).name in _NULLS:
        return _nullable(_encoder(arguments[0]), _NULLS[parse_type(arguments[0]).name])
    if name == "UUID":
        return _uuids
    if name == "DateTime64" and arguments[0] == _MILLISECONDS:
        return _timestamps
    if name == "Decimal" and int(arguments[0]) <= _DECIMAL64_DIGITS:
        return _decimals(int(arguments[0]), int(arguments[1]))
    if (
        name == "Tuple"
        and {parse_type(tuple_element(argument)[1]).name for argument in arguments} <= _PLAIN
    ):
        return _tuples([_encoder(tuple_element(argument)[1]) for argument in arguments])
    if name == "String":
        return _strings
    if kind == "LowCardinality(String)":
        return _low_cardinality
    if kind == "Array(String)":
        return _arrays_of_strings
    if name == "Bool":
        return _checked_encoder({bool}, kind)
    return _driver_encoder(kind)


def _driver_encoder(kind: str) -> Encoder:
    def write(values: Values, writer: BufferedSocketWriter) -> None:
        write_column(_CONTEXT, kind, kind, list(values), writer)

    return write


def _checked_encoder(types: set[type], kind: str) -> Encoder:
    drivers = _driver_encoder(kind)

    def write(values: Values, writer: BufferedSocketWriter) -> None:
        _check(values, types)
        drivers(values, writer)

    return write


def _check(values: Values, types: set[type]) -> None:
    if wrong := set(map(type, values)) - types:
        odd = next(value for value in values if type(value) in wrong)
        raise TypeError(f"{str(odd)[:80]!r} is of type {type(odd).__name__}")


def _strings(values: Values, writer: BufferedSocketWriter) -> None:
    if values and isinstance(values[0], bytes):
        _check(values, {bytes})
        writer.write_strings(list(values))
    else:
        writer.write_strings(list(values), encoding="utf-8")


# The prefix has the version of the format. The flags say that the block has its own dictionary of
# keys; the lowest bits are the width of an index: 0 for one byte, 1 for two, 2 for four. See
# ClickHouse's src/DataTypes/Serializations/SerializationLowCardinality.cpp.
_LOW_CARDINALITY_VERSION, _OWN_KEYS = 1, (1 << 9) | (1 << 10)


def _low_cardinality(values: Values, writer: BufferedSocketWriter) -> None:
    keys = list(dict.fromkeys(values))
    index = dict(zip(keys, range(len(keys)), strict=True))
    width = 0 if len(keys) <= 1 << 8 else 1 if len(keys) <= 1 << 16 else 2
    writer.write(np.array([_LOW_CARDINALITY_VERSION], "<i8").tobytes())
    if not keys:
        return
    writer.write(np.array([_OWN_KEYS | width, len(keys)], "<i8").tobytes())
    writer.write_strings(keys, encoding="utf-8")
    writer.write(np.array([len(values)], "<i8").tobytes())
    indexes = map(index.__getitem__, values)
    writer.write(np.fromiter(indexes, ("<u1", "<u2", "<u4")[width], len(values)).tobytes())


def _arrays_of_strings(values: Values, writer: BufferedSocketWriter) -> None:
    _check(values, {list})
    writer.write(
        np.cumsum(np.fromiter(map(len, values), "<u8", len(values))).astype("<u8").tobytes()
    )
    _strings(list(chain.from_iterable(values)), writer)


_NULLS: dict[str, Any] = {
    "UUID": "00000000-0000-0000-0000-000000000000",
    "DateTime64": 0,
    "Decimal": Decimal(0),
}


def _nullable(inner: Encoder, instead: Any) -> Encoder:
    def write(values: Values, writer: BufferedSocketWriter) -> None:
        nulls = bytes([value is None for value in values])
        writer.write(nulls)
        inner(
            [instead if value is None else value for value in values] if 1 in nulls else values,
            writer,
        )

    return write


def _timestamps(values: Values, writer: BufferedSocketWriter) -> None:
    writer.write(_little_endian(array("q", values)))


def _little_endian(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


_UUID_LENGTH, _HYPHENS = 36, (8, 13, 18, 23)
_DIGITS = [index for index in range(_UUID_LENGTH) if index not in _HYPHENS]


def _uuids(values: Values, writer: BufferedSocketWriter) -> None:
    characters = np.frombuffer("".join(values).encode("ascii"), np.uint8)
    if characters.size != _UUID_LENGTH * len(values) or set(map(len, values)) - {_UUID_LENGTH}:
        raise ValueError(
            f"{next(value for value in values if len(value) != _UUID_LENGTH)[:80]!r} is not a UUID"
        )
    table = characters.reshape(-1, _UUID_LENGTH)
    if not (table[:, _HYPHENS] == ord("-")).all():
        raise ValueError("a UUID has hyphens at other positions")
    raw = bytes.fromhex(table[:, _DIGITS].tobytes().decode("ascii"))
    if len(raw) != 16 * len(values):
        raise ValueError("a UUID has a space in it")
    # Two little-endian halves, the first of them the more significant.
    writer.write(np.frombuffer(raw, ">u8").astype("<u8").tobytes())


# As many digits as 64 bits hold.
_DECIMAL64_DIGITS = 18


def _decimals(digits: int, scale: int) -> Encoder:
    form = "<i4" if digits <= 9 else "<i8"

    def scaled(value: Decimal) -> int:
        whole = int(moved := value.scaleb(scale))
        if whole != moved or abs(whole) >= 10**digits:
            raise ValueError(f"{value} has more digits than the type")
        return whole

    def write(values: Values, writer: BufferedSocketWriter) -> None:
        _check(values, {Decimal})
        writer.write(np.array([scaled(value) for value in values], form).tobytes())

    return write


def _tuples(parts: list[Encoder]) -> Encoder:
    def write(values: Values, writer: BufferedSocketWriter) -> None:
        if set(map(len, values)) - {len(parts)}:
            raise ValueError(f"a tuple does not have {len(parts)} elements")
        for index, part in enumerate(parts):
            part([value[index] for value in values], writer)

    return write

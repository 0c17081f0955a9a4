"""The ClickHouse Native format: equal to clickhouse-driver; errors name the column."""

from __future__ import annotations

import struct
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chdb
import pytest
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.columns.service import write_column
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sinks.clickhouse_query import UnsupportedTypeError, json_rows
from pipeline.sinks.clickhouse_types import TypeName, parse_type, tuple_element
from pipeline.sinks.native_encoder import encode_column
from pipeline.sinks.warehouse import WarehouseError

_CONTEXT = SimpleNamespace(
    client_settings={"use_numpy": False, "strings_as_bytes": False, "strings_encoding": "utf-8"},
    settings={},
)
_SOME = st.lists(st.none() | st.integers(0, 2**128 - 1), max_size=20)
_MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ByteCollector:
    """Collects bytes in place of the socket that the driver's writer expects."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.parts.append(bytes(data))


def encoded(column: str, kind: str, values: list[Any]) -> bytes:
    collected = ByteCollector()
    writer = BufferedSocketWriter(collected, 1 << 20)
    encode_column(column, kind, values, writer)
    writer.flush()
    return b"".join(collected.parts)


def by_driver(kind: str, values: list[Any]) -> bytes:
    collected = ByteCollector()
    writer = BufferedSocketWriter(collected, 1 << 20)
    write_column(_CONTEXT, "c", kind, list(values), writer)
    writer.flush()
    return b"".join(collected.parts)


def ms(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(milliseconds=1)


@given(_SOME)
def test_uuids_are_encoded_as_by_the_driver(numbers: list[int | None]) -> None:
    uuids = [None if number is None else uuid.UUID(int=number) for number in numbers]
    texts = [None if one is None else str(one) for one in uuids]
    assert encoded("c", "Nullable(UUID)", texts) == by_driver("Nullable(UUID)", uuids)
    held = [text for text in texts if text is not None]
    assert encoded("c", "UUID", held) == by_driver(
        "UUID", [one for one in uuids if one is not None]
    )


@given(st.lists(st.none() | _MOMENTS, max_size=20))
def test_timestamps_are_encoded_as_by_the_driver(moments: list[datetime | None]) -> None:
    kind = "DateTime64(3, 'UTC')"
    assert encoded("c", f"Nullable({kind})", [ms(one) for one in moments]) == by_driver(
        f"Nullable({kind})", moments
    )
    held = [one for one in moments if one is not None]
    assert encoded(
        "c", f"SimpleAggregateFunction(max, {kind})", [ms(one) for one in held]
    ) == by_driver(kind, held)


@given(
    st.lists(
        st.tuples(_MOMENTS, st.text(alphabet=st.characters(codec="utf-8"))), min_size=1, max_size=20
    )
)
def test_tuples_are_encoded_as_by_the_driver(pairs: list[tuple[datetime, str]]) -> None:
    kind = "Tuple(DateTime64(3, 'UTC'), String)"
    assert encoded("c", kind, [(ms(moment), text) for moment, text in pairs]) == by_driver(
        kind, pairs
    )


@given(st.lists(st.none() | st.decimals(-(10**13), 10**13, places=4), max_size=20))
def test_decimals_are_encoded_exactly(numbers: list[Decimal | None]) -> None:
    data = encoded("c", "Nullable(Decimal(18, 4))", numbers)
    nulls, wholes = data[: len(numbers)], struct.unpack(f"<{len(numbers)}q", data[len(numbers) :])
    decoded = [
        None if null else Decimal(whole).scaleb(-4)
        for null, whole in zip(nulls, wholes, strict=True)
    ]
    assert decoded == numbers


_WORDS = st.text(alphabet=st.characters(codec="utf-8"), max_size=5)


@given(st.lists(_WORDS, max_size=50))
def test_low_cardinality_is_encoded_as_by_the_driver(words: list[str]) -> None:
    assert encoded("c", "LowCardinality(String)", words) == by_driver(
        "LowCardinality(String)", words
    )


@pytest.mark.parametrize("distinct", [255, 256, 257, 65_536, 65_537])
def test_low_cardinality_of_any_width_is_read_by_clickhouse(distinct: int, tmp_path: Path) -> None:
    data = encoded("c", "LowCardinality(String)", [str(number) for number in range(distinct)] * 2)
    head = bytes([1]) + _varint(2 * distinct) + b"\1c" + bytes([22]) + b"LowCardinality(String)"
    (tmp_path / "x.native").write_bytes(head + data)
    sql = (
        "SELECT count() AS n, uniqExact(c) AS u, sum(toUInt64(toString(c))) AS s FROM"
        f" file('{tmp_path}/x.native', Native)"
    )
    assert bytes(chdb.query(sql, "CSV").bytes()).split() == [
        b"%d,%d,%d" % (2 * distinct, distinct, distinct * (distinct - 1))
    ]


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


@given(st.lists(st.lists(_WORDS, max_size=4), max_size=20))
def test_arrays_are_encoded_as_by_the_driver(arrays: list[list[str]]) -> None:
    assert encoded("c", "Array(String)", arrays) == by_driver("Array(String)", arrays)


_ID = "5f0c6b36-5f1c-8a3b-9a3e-0d2f6a1b2c3d"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("String", ["a", 5]),
        ("String", ["a", None]),
        ("String", [b"a", "a"]),
        ("String", ["\ud800"]),
        ("LowCardinality(String)", ["a", None]),
        ("UInt32", [2**32]),
        ("UInt64", [-1]),
        ("UInt64", ["1"]),
        ("Float32", [1e300]),
        ("Float64", ["x"]),
        ("Bool", ["no"]),
        ("Bool", [None]),
        ("DateTime64(3, 'UTC')", ["2026-11-01"]),
        ("DateTime64(3, 'UTC')", [1.5]),
        ("DateTime64(3, 'UTC')", [None]),
        ("DateTime64(3, 'UTC')", [2**63]),
        ("UUID", [None]),
        ("UUID", ["nonsense"]),
        ("UUID", [_ID, _ID + "0"]),
        ("UUID", [_ID[:-1], _ID + "0"]),
        ("UUID", [_ID.replace("-", "0")]),
        ("UUID", [_ID.replace("a", "g")]),
        ("UUID", [_ID.replace("a", " ")]),
        ("UUID", [_ID.replace("a", "é")]),
        ("Nullable(Decimal(18, 4))", [Decimal("0.00001")]),
        ("Nullable(Decimal(18, 4))", [Decimal(10**14)]),
        ("Nullable(Decimal(18, 4))", [Decimal("NaN")]),
        ("Nullable(Decimal(18, 4))", [0.5]),
        ("Array(String)", [["a", 5]]),
        ("Array(String)", [5]),
        ("Map(String, String)", [{"a": 5}]),
        ("Map(String, String)", [["a"]]),
        ("Tuple(DateTime64(3, 'UTC'), String)", [(1, "a"), (2,)]),
        ("Geometry", ["x"]),
    ],
)
def test_a_value_that_does_not_fit_is_rejected_with_its_column(
    kind: str, values: list[Any]
) -> None:
    with pytest.raises(WarehouseError, match=r"column label_rows.x takes"):
        encoded("label_rows.x", kind, values)


def test_type_names_are_parsed() -> None:
    assert parse_type("UUID") == TypeName("UUID")
    assert parse_type("Map(String, Array(Decimal(18, 4)))") == TypeName(
        "Map", ("String", "Array(Decimal(18, 4))")
    )
    assert parse_type("Enum8('a,)(' = 1, 'b\\'' = 2)").arguments == ("'a,)(' = 1", "'b\\'' = 2")
    assert parse_type("Tuple(`a b` UInt8, c String)").arguments == ("`a b` UInt8", "c String")
    assert tuple_element("`a b` UInt8") == ("a b", "UInt8")
    assert tuple_element("at DateTime64(3, 'UTC')") == ("at", "DateTime64(3, 'UTC')")
    assert tuple_element("DateTime64(3, 'UTC')") == (None, "DateTime64(3, 'UTC')")
    assert tuple_element("String") == (None, "String")


# No deadline: each example is a query to the engine.
_queries = settings(deadline=None, max_examples=40)


@_queries
@given(st.lists(st.floats(), min_size=1, max_size=50))
def test_floats_are_formatted_as_by_clickhouse(numbers: list[float]) -> None:
    for kind, form, whole in (("Float64", "<d", "UInt64"), ("Float32", "<f", "UInt32")):
        try:
            raw = [struct.pack(form, number) for number in numbers]
        except OverflowError:
            continue
        values = [struct.unpack(form, one)[0] for one in raw]
        literals = ",".join(str(int.from_bytes(one, "little")) for one in raw)
        sql = f"SELECT reinterpretAs{kind}(arrayJoin([{literals}]::Array({whole}))) AS x"
        assert json_rows([("x", kind)], [values]) == bytes(chdb.query(sql, "JSONEachRow").bytes())


@_queries
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=20))
def test_any_bytes_are_formatted_as_by_clickhouse(texts: list[bytes]) -> None:
    sql = f"SELECT unhex(arrayJoin([{','.join(repr(text.hex()) for text in texts)}])) AS x"
    assert json_rows([("x", "String")], [texts]) == bytes(chdb.query(sql, "JSONEachRow").bytes())


@_queries
@given(st.lists(st.decimals(-(10**13), 10**13, places=4), min_size=1, max_size=20))
def test_decimals_are_formatted_as_by_clickhouse(numbers: list[Decimal]) -> None:
    literals = ",".join(f"'{number:f}'" for number in numbers)
    sql = f"SELECT toDecimal64(arrayJoin([{literals}]), 4) AS x"
    assert json_rows([("x", "Decimal(18, 4)")], [numbers]) == bytes(
        chdb.query(sql, "JSONEachRow").bytes()
    )


def test_a_result_without_rows_is_empty() -> None:
    assert json_rows([], []) == b""
    assert json_rows([("a", "String")], []) == b""


def test_other_types_are_left_to_the_server() -> None:
    with pytest.raises(UnsupportedTypeError):
        json_rows([("a", "FixedString(4)")], [[b"ab"]])

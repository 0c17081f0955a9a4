"""What every connector promises, whatever bytes it is given; a new one in the registry is tested
without a line here.
"""

from __future__ import annotations

import io
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.envelope import validate_data
from pipeline.ingest.byte_streams import UnreadableUnitError
from pipeline.ingest.port import (
    Connector,
    ConnectorItem,
    InputUnit,
    OptionError,
    ReadEvent,
    Rejection,
)
from pipeline.ingest.registry import CONNECTORS
from schemas.envelope import Event
from tests.support import fuzz
from tests.support.seeds import OPTIONS, SEEDS, TRAITS, Traits

# A few hundred inputs each in `make test`; `make fuzz` reads ten thousand, the large ones at full
# size.
CASES = 300
SCALE = 0.01

# Headers have one line; a title and a comment may stand above them.
_HEADER_LINES = 3

each_connector = pytest.mark.parametrize("name", sorted(CONNECTORS))


def read(connector: Connector, data: bytes, name: str = "/folder/unit") -> list[ConnectorItem]:
    return list(connector.read(InputUnit(name, lambda: io.BytesIO(data)), OPTIONS))


def read_as_file(connector: Connector, data: bytes, folder: Path) -> list[ConnectorItem]:
    path = folder / "unit"
    path.write_bytes(data)
    return [item for unit in connector.units([path]) for item in connector.read(unit, OPTIONS)]


def read_case(connector: Connector, case: fuzz.Case, folder: Path) -> list[ConnectorItem] | str:
    """The items, or what the connector asks for: OptionError is the one thing it may raise."""
    try:
        return (
            read_as_file(connector, case.data, folder)
            if case.packed
            else read(connector, case.data)
        )
    except OptionError as error:
        return str(error)


def assert_sound(items: list[ConnectorItem]) -> None:
    for item in items:
        if isinstance(item, ReadEvent):
            # What goes to the log is JSON: lone surrogates and other unwritable text show here.
            again = Event.model_validate_json(item.event.model_dump_json())
            assert again == item.event
            assert item.raw
            assert item.data is None or item.data == validate_data(item.event)
        else:
            assert isinstance(item, Rejection)
            assert item.detail.strip()
            assert item.locator
            item.detail.encode()


def is_of(raw: bytes, data: bytes) -> bool:
    """Whether bytes were taken from the input as they stand; a table's row may have the header
    before it, to be read again.
    """
    return raw in data or all(line in data for line in raw.splitlines(keepends=True))


@each_connector
def test_each_seed_yields_events(name: str) -> None:
    for data in SEEDS[name]:
        items = read(CONNECTORS[name], data)
        assert_sound(items)
        assert any(isinstance(item, ReadEvent) for item in items)
        assert not any(isinstance(item, Rejection) for item in items)


def needs_trait(name: str, trait: str, reason: str) -> str:
    return (
        f"{reason}: mend the connector {name}, or, if its format is like that, write"
        f" `{trait} = true` into tests/seeds/{name}/traits.toml"
    )


def has_result(name: str, data: bytes) -> bool:
    try:
        return bool(read(CONNECTORS[name], data))
    except OptionError:
        return True


@each_connector
def test_a_format_with_a_header_says_so(name: str) -> None:
    if TRAITS[name].has_header:
        return
    for data in SEEDS[name]:
        lines = data.splitlines(keepends=True)
        for count in range(1, min(len(lines), _HEADER_LINES) + 1):
            start = b"".join(lines[:count])
            assert not start.strip() or has_result(name, start), needs_trait(
                name, "has_header", f"a file of nothing but {start[:80]!r} has no items"
            )


@pytest.mark.parametrize(
    ("law", "name", "trait"),
    [
        ("test_a_format_with_a_header_says_so", "orders", "has_header"),
        ("test_a_unit_is_opened_once", "whatsapp-export", "surveys_file"),
    ],
)
def test_a_law_names_the_trait_that_a_connector_lacks(
    law: str, name: str, trait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRAITS, name, Traits())
    with pytest.raises(AssertionError, match=f"{trait} = true` into tests/seeds/{name}/traits"):
        globals()[law](name)


@each_connector
def test_broken_input_is_rejected_with_its_bytes_and_deterministic(
    name: str, tmp_path: Path
) -> None:
    connector = CONNECTORS[name]
    for case in (*fuzz.large(name, SCALE), *fuzz.cases(name, seed=1, count=CASES, scale=SCALE)):
        try:
            items = read_case(connector, case, tmp_path)
            assert read_case(connector, case, tmp_path) == items
            if isinstance(items, list):
                assert_sound(items)
                assert case.packed or all(
                    is_of(item.raw, case.data) for item in items if isinstance(item, Rejection)
                )
        except Exception as error:
            error.add_note(case.label)
            raise


@each_connector
@given(data=st.binary(max_size=3_000))
@settings(deadline=None)
def test_any_bytes_are_read_or_rejected(name: str, data: bytes) -> None:
    assert_read_or_asked(name, data)


@each_connector
@given(number=st.integers(0, 10**9))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_damaged_input_is_read_or_rejected(name: str, number: int) -> None:
    assert_read_or_asked(name, fuzz.damaged(name, number))


def assert_read_or_asked(name: str, data: bytes) -> None:
    try:
        items = read(CONNECTORS[name], data)
    except OptionError as error:
        assert str(error)  # noqa: PT017
        return
    assert_sound(items)
    is_blank = not data.decode("utf-8", "replace").strip(f"{string.whitespace}\0\ufeff\xa0\x85")
    is_empty_array = (
        re.fullmatch(rb"\s*(\[[\s,]*\][\s,]*)+", data.removeprefix(b"\xef\xbb\xbf")) is not None
    )
    assert items or is_blank or is_empty_array or TRAITS[name].has_header


@each_connector
def test_ids_do_not_depend_on_the_path(name: str) -> None:
    same_name = TRAITS[name].ids_depend_on_file_name
    there_name = "/there/deep/a.txt" if same_name else "/there/x.zip!b"
    for data in SEEDS[name]:
        here, there = (read(CONNECTORS[name], data, unit) for unit in ("/here/a.txt", there_name))
        assert [item.event.id for item in here if isinstance(item, ReadEvent)] == [
            item.event.id for item in there if isinstance(item, ReadEvent)
        ], needs_trait(name, "ids_depend_on_file_name", "its ids change with the file's name")


@each_connector
def test_ids_are_unique_within_a_unit(name: str) -> None:
    for data in SEEDS[name]:
        ids = [
            item.event.id for item in read(CONNECTORS[name], data) if isinstance(item, ReadEvent)
        ]
        assert len(set(ids)) == len(ids)


class CountingStream(io.BytesIO):
    """Tells how much is read of it."""

    def __init__(self, data: bytes, read: list[int]) -> None:
        super().__init__(data)
        self._read = read

    def read(self, size: int | None = -1, /) -> bytes:
        return self._count(super().read(size))

    def read1(self, size: int | None = -1, /) -> bytes:
        return self._count(super().read1(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._count(super().readline(size))

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._read.append(count := super().readinto(buffer))
        return count

    def _count(self, data: bytes) -> bytes:
        self._read.append(len(data))
        return data


@each_connector
def test_the_first_item_comes_before_the_rest_is_read(name: str) -> None:
    sound = SEEDS[name][-1]
    data = sound + b"".join(fuzz.variants(sound, 8 * 1024 * 1024))
    read: list[int] = []
    items: Iterator[ConnectorItem] = CONNECTORS[name].read(
        InputUnit("/folder/unit", lambda: CountingStream(data, read)), OPTIONS
    )
    next(items)
    surveyed = len(data) if TRAITS[name].surveys_file else 0
    assert sum(read) - surveyed < len(data) / 2, needs_trait(
        name, "surveys_file", "it reads much of a file before its first item"
    )


@each_connector
def test_a_unit_is_opened_once(name: str) -> None:
    opened = 0

    def open_unit() -> io.BytesIO:
        nonlocal opened
        opened += 1
        return io.BytesIO(SEEDS[name][0])

    list(CONNECTORS[name].read(InputUnit("/folder/unit", open_unit), OPTIONS))
    assert opened == (2 if TRAITS[name].surveys_file else 1), needs_trait(
        name, "surveys_file", f"it opens a file {opened} times"
    )


@each_connector
def test_an_unreadable_unit_is_rejected(name: str) -> None:
    def fail() -> io.BytesIO:
        raise UnreadableUnitError("/folder/unit: it is encrypted")

    (item,) = CONNECTORS[name].read(InputUnit("/folder/unit", fail), OPTIONS)
    assert isinstance(item, Rejection)
    assert "it is encrypted" in item.detail

"""Files of events: JSON lines, arrays and pretty-printed objects; each item alone is read or
refused, with line and column.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.ingest import cloudevents_file as module
from pipeline.ingest.byte_streams import UnreadableUnitError
from pipeline.ingest.cloudevents_file import EventsConnector
from pipeline.ingest.json_values import split_json_values
from pipeline.ingest.port import (
    ConnectorItem,
    IngestOptions,
    InputUnit,
    OptionError,
    ReadEvent,
    Rejection,
)
from schemas.business import FeedbackData
from schemas.communications import CallData
from schemas.dead_letters import RejectCode
from schemas.registry import explain
from schemas.types import Contract

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "m-1",
    "source": "shop/web",
    "type": "comm.message.received",
    "time": "2026-11-01T10:00:00+08:00",
    "data": {"channel": "chat", "text": "价格多少？"},
}


def one(**changes: Any) -> str:
    return json.dumps({**EVENT, **changes}, ensure_ascii=False)


def read(text: str | bytes, **options: Any) -> list[ConnectorItem]:
    data = text.encode() if isinstance(text, str) else text
    return list(
        EventsConnector().read(
            InputUnit("e.jsonl", lambda: io.BytesIO(data)), IngestOptions(**options)
        )
    )


def ids(items: list[ConnectorItem]) -> list[str]:
    return [item.event.id if isinstance(item, ReadEvent) else item.code.value for item in items]


def test_a_line_is_an_event_with_locator_and_raw_bytes() -> None:
    (item,) = read(one(extension="kept") + "\n")
    assert isinstance(item, ReadEvent)
    assert item.event.id == "m-1"
    assert item.event.time is not None
    assert item.event.time.isoformat() == "2026-11-01T02:00:00+00:00"
    assert item.event.data == EVENT["data"]
    assert item.event.locator == "e.jsonl#1"
    assert item.event.connector == "events/1"
    assert item.event.tenant == "default"
    assert item.event.model_extra == {"extension": "kept"}
    assert item.raw == (one(extension="kept") + "\n").encode()


def test_blank_lines_and_a_byte_order_mark_are_not_events() -> None:
    text = f"\ufeff{one(id='1')}\r\n\r\n  \n{one(id='2')}"
    items = read(text)
    assert ids(items) == ["1", "2"]
    assert isinstance(items[1], ReadEvent)
    assert items[1].event.locator == "e.jsonl#4"
    assert read("") == read("\n\n") == read("[]") == read("[ \n ]") == []


@pytest.mark.parametrize("name", ["a", "shop-1.example", "A_b", "9" * 64])
def test_a_tenant_has_a_name(name: str) -> None:
    (item,) = read(one(tenant=name))
    assert isinstance(item, ReadEvent)
    assert item.event.tenant == name


def test_options_only_fill_missing_attributes() -> None:
    without = json.dumps({key: value for key, value in EVENT.items() if key != "source"})
    first, second = read(f"{without}\n{one(tenant='b')}\n", source="import", tenant="a")
    assert isinstance(first, ReadEvent)
    assert isinstance(second, ReadEvent)
    assert (first.event.source, first.event.tenant) == ("import", "a")
    assert (second.event.source, second.event.tenant) == ("shop/web", "b")


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{bad}", RejectCode.UNPARSABLE, "line 1: it is not JSON: .* at column 2"),
        ('{"id": "m-1"', RejectCode.UNPARSABLE, "column"),
        ("hello", RejectCode.UNPARSABLE, "not JSON"),
        ("5", RejectCode.UNPARSABLE, "a number, not an object"),
        ("null", RejectCode.UNPARSABLE, "null, not an object"),
        ('"text"', RejectCode.UNPARSABLE, "a string, not an object"),
        ("{}", RejectCode.SCHEMA_MISSING_FIELD, "id: .*source: .*type: .*data: "),
        (one(id=""), RejectCode.SCHEMA_TYPE, "id: "),
        (one(type="comm.message.dreamt"), RejectCode.UNKNOWN_TYPE, "dreamt.*comm.message.received"),
        (one(data=[]), RejectCode.SCHEMA_TYPE, "data: "),
        *(
            (one(tenant=name), RejectCode.SCHEMA_VALUE, "tenant: is no name of a tenant: use")
            for name in ("'; DROP TABLE x", "a/b", "", "-a", "a\n", "a" * 65, "商店", "ａ")
        ),
        (one(time="yesterday"), RejectCode.TIME_INVALID, "time: "),
        (one(time="2026-11-01T10:00:00"), RejectCode.TIME_INVALID, "time zone"),
        (one(specversion="0.3"), RejectCode.SCHEMA_ENUM, "specversion"),
        (
            one(data={"n": 2**64}),
            RejectCode.SCHEMA_VALUE,
            "18446744073709551616 does not fit 64 bits",
        ),
        (one(data={"n": -(2**63) - 1}), RejectCode.SCHEMA_VALUE, "64 bits"),
        (one().replace("价格多少？", "\\ud800"), RejectCode.CHARSET, "lone surrogate"),
        (
            one(data={"d": json.loads("[" * 150 + "]" * 150)}),
            RejectCode.SCHEMA_VALUE,
            "deeper than 100",
        ),
        ("[" * 5000 + "]" * 5000, RejectCode.UNPARSABLE, "not JSON"),
        (one(data={"n": 1}).replace("1}", "NaN}"), RejectCode.UNPARSABLE, "not JSON"),
    ],
)
def test_rejections_name_the_problem(text: str, code: RejectCode, words: str) -> None:
    items = read(text)
    assert len(items) == 1
    assert isinstance(items[0], Rejection)
    assert items[0].code is code
    assert re.search(words, items[0].detail), items[0].detail


def test_invalid_utf8_is_rejected() -> None:
    (item,) = read(one().encode("gb18030"))
    assert isinstance(item, Rejection)
    assert item.code is RejectCode.CHARSET
    assert "UTF-8" in item.detail


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 10**18, 1.5, 12345678901234567890])
def test_64_bit_numbers_are_kept(number: float) -> None:
    (item,) = read(one(data={"n": number, "text": "a 99999999999999999999999 b"}))
    assert isinstance(item, ReadEvent)
    assert item.event.data["n"] == number


def test_a_broken_line_does_not_affect_others() -> None:
    assert ids(read("\n".join([one(id="1"), '{"a": "', one(id="2"), "]", one(id="3")]))) == [
        "1",
        "unparsable",
        "2",
        "unparsable",
        "3",
    ]


def test_an_array_is_read_member_by_member() -> None:
    text = f"[{one(id='1')},\n{one(id='2', data={'text': 'a ] , [ } '})} , 7,\n {one(id='3')}]\n"
    items = read(text)
    assert ids(items) == ["1", "2", "unparsable", "3"]
    assert isinstance(items[3], ReadEvent)
    assert items[3].event.locator == "e.jsonl#3"


def test_objects_over_several_lines_are_read_too() -> None:
    text = (
        json.dumps({**EVENT, "id": "1"}, indent=2)
        + "\n"
        + json.dumps({**EVENT, "id": "2"}, indent=2)
    )
    assert ids(read(text)) == ["1", "2"]


def test_content_after_an_array_is_rejected() -> None:
    assert ids(read(f"[{one(id='1')}] trailing")) == ["1", "unparsable"]


def test_an_oversize_event_is_rejected_and_the_next_one_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_ITEM_BYTES", 400)
    large = one(id="2", data={"text": "x" * 1000})
    assert ids(read("\n".join([one(id="1"), large, one(id="3")]))) == ["1", "oversize", "3"]
    assert ids(read("[" + ",".join([one(id="1"), large, one(id="3")]) + "]")) == [
        "1",
        "oversize",
        "3",
    ]


def test_an_array_is_not_read_ahead() -> None:
    class Endless(io.BytesIO):
        given = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            Endless.given += 1
            return ("[" if Endless.given == 1 else ",").encode() + one(
                id=str(Endless.given)
            ).encode()

    items = EventsConnector().read(InputUnit("e.json", Endless), IngestOptions())
    assert isinstance(next(items), ReadEvent)
    assert isinstance(next(items), ReadEvent)


@pytest.mark.parametrize("opening", ["", "["])
def test_events_before_a_corrupt_end_are_read(opening: str) -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            if piece := super().read1(size):
                return piece
            raise UnreadableUnitError("e.jsonl.gz: the data end in the middle")

    text = opening + one(id="1") + (",\n" if opening else "\n") + '{"id": "2"'
    unit = InputUnit("e.jsonl.gz", lambda: Broken(text.encode()))
    items = list(EventsConnector().read(unit, IngestOptions()))
    assert ids(items) == ["1", "unparsable"]
    assert items[1].raw.endswith(b'{"id": "2"')


def test_unknown_options_are_named() -> None:
    with pytest.raises(OptionError, match="colour"):
        read("", extra={"colour": "red"})


def test_json_files_are_found_in_folders(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.ndjson", "c.json", "notes.txt"):
        (tmp_path / name).write_text(one(id=name) + "\n", "utf-8")
    reader = EventsConnector()
    found = [
        item for unit in reader.units([tmp_path]) for item in reader.read(unit, IngestOptions())
    ]
    assert ids(found) == ["a.jsonl", "b.ndjson", "c.json"]
    assert ids(
        [
            item
            for unit in reader.units([tmp_path / "notes.txt"])
            for item in reader.read(unit, IngestOptions())
        ]
    ) == ["notes.txt"]


# ---- laws

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), max_size=5),
    st.sampled_from(["lines", "array", "pretty array", "pretty"]),
    st.integers(1, 60),
)
def test_every_layout_gives_the_same_data_in_order(
    data: list[dict[str, Any]], layout: str, size: int
) -> None:
    objects = [{**EVENT, "id": str(number), "data": each} for number, each in enumerate(data)]
    text = {
        "lines": "\n".join(json.dumps(each) for each in objects),
        "array": json.dumps(objects, ensure_ascii=False),
        "pretty array": json.dumps(objects, indent=1),
        "pretty": "\n".join(json.dumps(each, indent=1) for each in objects),
    }[layout]
    items = read(text)
    assert [item.event.data for item in items if isinstance(item, ReadEvent)] == data
    assert len(items) == len(data)
    # The splitter does not depend on where the pieces are cut.
    raw = text.encode()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert list(split_json_values(pieces, 10_000)) == list(split_json_values([raw], 10_000))


@given(st.binary(max_size=200) | st.text('[]{}",:\\ \n\ufeff01aé', max_size=80).map(str.encode))
def test_any_bytes_are_read_or_rejected_without_loss(data: bytes) -> None:
    items = read(data)
    assert all(isinstance(item, (ReadEvent, Rejection)) for item in items)
    kept = b"".join(item.raw for item in items)
    for mark in (b'"', b"{", b"a", b"\\"):
        assert kept.count(mark) == data.count(mark)


@pytest.mark.parametrize("text", ["[", "[\n", '[{"id": "1"},', "[ , ,"])
def test_an_array_cut_between_two_events_is_rejected(text: str) -> None:
    *_, last = read(text.encode())
    assert isinstance(last, Rejection)
    assert (last.code, last.raw) == (RejectCode.UNPARSABLE, b"[")


@pytest.mark.parametrize(
    ("time", "instant"),
    [
        ("2026-10-01t18:00:00.1234567z", "2026-10-01T18:00:00.123456"),
        ("2026-10-01T18:00:00.123456789+08:00", "2026-10-01T10:00:00.123456"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"),
        ("2017-01-01T07:59:60+08:00", "2017-01-01T00:00:00"),
    ],
)
def test_times_of_rfc_3339_are_read(time: str, instant: str) -> None:
    (item,) = read(one(time=time))
    assert isinstance(item, ReadEvent)
    assert item.event.time is not None
    assert item.event.time.isoformat() == f"{instant}+00:00"


@pytest.mark.parametrize(
    "time",
    [
        *("2026-10-01T18:00:00", "2026-10-01T18:00:00 CET", "2026-10-01T18:00:60Z"),
        *("1800-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:60Z"),
    ],
)
def test_other_times_are_refused_with_the_field(time: str) -> None:
    (item,) = read(one(time=time))
    assert isinstance(item, Rejection)
    assert item.code is RejectCode.TIME_INVALID
    assert "line 1: time: " in item.detail
    assert time in item.detail


def test_json_in_base64_is_the_data() -> None:
    body = base64.b64encode(json.dumps(EVENT["data"]).encode()).decode()
    event = {name: value for name, value in EVENT.items() if name != "data"}
    (item,) = read(json.dumps({**event, "data_base64": body}))
    assert isinstance(item, ReadEvent)
    assert item.event.data == EVENT["data"]
    assert "data_base64" not in item.event.model_dump()
    for wrong in ("%", base64.b64encode(b"hello").decode(), 7):
        (refused,) = read(json.dumps({**event, "data_base64": wrong}))
        assert isinstance(refused, Rejection)
        assert "line 1: data_base64: " in refused.detail
    (both,) = read(one(data_base64=body))
    assert isinstance(both, Rejection)


@pytest.mark.parametrize(
    ("contract", "data", "field"),
    [
        (CallData, {"channel": "call", "talk_s": "Infinity"}, "talk_s"),
        (FeedbackData, {"customer": {}, "rating": 4, "scale_max": "Infinity"}, "scale_max"),
        (FeedbackData, {"customer": {}, "rating": "NaN"}, "rating"),
    ],
)
def test_numbers_are_finite(contract: type[Contract], data: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        contract.model_validate(data)
    assert f"{field}: Input should be a finite number" in explain(caught.value)[1]


def test_a_nul_leaves_every_text() -> None:
    data = CallData.model_validate(
        {
            "channel": "call",
            "result": "a\0b",
            "remarks": "x\0y",
            "started_at": "2026-10-01T10:00:00Z",
        }
    )
    assert (data.result, data.remarks) == ("ab", "xy")


def test_free_words_are_the_values_they_mean_and_are_kept() -> None:
    def data_of(event_type: str, **data: Any) -> dict[str, Any]:
        (item,) = read(one(type=event_type, data=data))
        assert isinstance(item, ReadEvent)
        return item.event.data

    assert data_of("crm.complaint.closed", reason="迟迟不发货", result="已全额退款") == {
        "reason": "delivery",
        "reason_written": "迟迟不发货",
        "result": "refunded",
        "result_written": "已全额退款",
    }
    assert data_of("crm.complaint.opened", reason="wait_time") == {"reason": "wait_time"}
    assert data_of("crm.complaint.opened", reason="说不清")["reason"] == "other"
    assert data_of("crm.feedback.given", kind="表扬")["kind"] == "praise"
    # Another type may mean something else by the same name.
    assert data_of("crm.order.paid", reason="迟迟不发货") == {"reason": "迟迟不发货"}

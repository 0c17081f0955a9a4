"""Asterisk's records become one event per call, whatever columns, zones and faults they have; no
row is lost.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.byte_streams import UnreadableUnitError
from pipeline.ingest.call.asterisk import AsteriskConnector, asterisk_connector
from pipeline.ingest.call.asterisk.call_legs import channel_peer
from pipeline.ingest.port import (
    ConnectorItem,
    IngestOptions,
    InputUnit,
    OptionError,
    ReadEvent,
    Rejection,
)
from schemas.communications import CallData
from schemas.dead_letters import RejectCode

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW = ("peeraccount", "linkedid", "sequence")
BASE: dict[str, Any] = {
    "accountcode": "",
    "src": "13800000001",
    "dst": "800",
    "dcontext": "from-trunk",
    "clid": '"Ann" <13800000001>',
    "channel": "SIP/trunk-00000001",
    "dstchannel": "SIP/301-00000002",
    "lastapp": "Dial",
    "lastdata": "SIP/301,20",
    "start": "2026-03-04 13:11:18",
    "answer": "2026-03-04 13:11:26",
    "end": "2026-03-04 13:13:18",
    "duration": 120,
    "billsec": 112,
    "disposition": "ANSWERED",
    "amaflags": "DOCUMENTATION",
}
UNANSWERED = {"answer": "", "billsec": 0, "disposition": "NO ANSWER"}


def line(columns: int = 21, /, **given: Any) -> str:
    """A row as cdr_csv writes it: texts quoted and quotes doubled, numbers bare."""
    extra = {
        16: (),
        17: ("uniqueid",),
        18: ("uniqueid", "userfield"),
        19: NEW,
        20: ("uniqueid", *NEW),
        21: ("uniqueid", "userfield", *NEW),
    }[columns]
    ids = {
        "uniqueid": "pbx-1772601078.5",
        "userfield": "",
        "peeraccount": "",
        "linkedid": "",
        "sequence": 7,
    }
    values = {**BASE, **{name: ids[name] for name in extra}, **given}
    cells = [
        str(value) if isinstance(value, int) else '"' + value.replace('"', '""') + '"'
        for value in values.values()
    ]
    return ",".join(cells) + "\n"


def read(
    *lines: str | bytes, zone: ZoneInfo | None = SHANGHAI, own: Iterable[str] = ()
) -> list[ConnectorItem]:
    data = b"".join(each.encode() if isinstance(each, str) else each for each in lines)
    unit = InputUnit("Master.csv", lambda: io.BytesIO(data))
    return list(AsteriskConnector().read(unit, IngestOptions(zone=zone, own=OwnSide(tuple(own)))))


def call(*lines: str | bytes, **options: Any) -> dict[str, Any]:
    """The one call that these rows are, checked against its contract."""
    items = read(*lines, **options)
    assert len(items) == 1
    assert isinstance(items[0], ReadEvent)
    CallData.model_validate(items[0].event.data)
    return {
        "type": items[0].event.type,
        "id": items[0].event.id,
        "time": items[0].event.time,
    } | items[0].event.data


# ---- one row


def test_a_row_of_the_manual_becomes_a_completed_call() -> None:
    found = call(line(18))
    assert found["type"] == "comm.call.completed"
    assert found["id"] == "pbx-1772601078.5"
    assert found["time"] == datetime(2026, 3, 4, 5, 11, 18, tzinfo=UTC)
    assert found["started_at"] == "2026-03-04T05:11:18Z"
    assert found["answered_at"] == "2026-03-04T05:11:26Z"
    assert found["ended_at"] == "2026-03-04T05:13:18Z"
    assert found["talk_s"] == 112
    assert found["disposition"] == "answered"
    assert found["direction"] == "inbound"
    assert found["from"] == {"phone": "13800000001", "name": "Ann"}
    assert found["to"] == [{"phone": "800"}]
    assert found["staff"] == "301"
    assert found["legs"] == found["rows"] == 1


def test_the_guides_example_is_a_call() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "connectors.md").read_text(
        "utf-8"
    )
    example = guide.partition("## asterisk-cdr")[2].partition("```\n")[2].partition("```")[0]
    found = call(example)
    assert (found["staff"], found["talk_s"], found["from"]["name"]) == ("801", 178, "Ann")


@pytest.mark.parametrize("columns", [16, 17, 18, 19, 20, 21])
def test_every_set_of_columns_that_can_be_configured_is_read(columns: int) -> None:
    linked = {"linkedid": "pbx-1772601078.1"} if columns >= 19 else {}
    found = call(line(columns, **linked))
    assert found["talk_s"] == 112
    if columns >= 19:
        assert found["id"] == "pbx-1772601078.1"
    elif columns >= 17:
        assert found["id"] == "pbx-1772601078.5"
    else:
        assert len(found["id"]) == 64


CUSTOM = (
    *("clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "start"),
    *("answer", "end", "duration", "billsec", "disposition", "amaflags", "accountcode"),
)


def custom_line(names: Iterable[str], more: str = "") -> str:
    values = dict(BASE)
    return (
        ",".join('"' + str(values[name]).replace('"', '""') + '"' for name in names) + more + "\n"
    )


@pytest.mark.parametrize(
    ("more", "conversation"),
    [
        (',"pbx-1772601078.5",""', "pbx-1772601078.5"),
        (',"pbx-1772601078.5","",7', "pbx-1772601078.5"),
        (',"pbx-1772601078.5","note","pbx-1772601078.1",7', "pbx-1772601078.1"),
    ],
)
def test_the_columns_of_cdr_custom_are_recognised(more: str, conversation: str) -> None:
    custom, usual = call(custom_line(CUSTOM, more)), call(line(18))
    same = ("time", "talk_s", "from", "to", "staff", "disposition", "direction", "type")
    assert [custom[name] for name in same] == [usual[name] for name in same]
    assert custom["conversation"] == conversation


def test_other_columns_are_named_by_a_header_or_by_an_option() -> None:
    names = ("start", "clid", "src", "dst", "channel", "dstchannel", "lastapp", "disposition")
    row, header = custom_line(names, ",0.05"), ",".join(names).replace("start", "calldate")
    assert call(f"{header},cost\n", row)["from"] == {"phone": "13800000001", "name": "Ann"}
    options = IngestOptions(zone=SHANGHAI, extra={"columns": ",".join((*names, "cost"))})
    unit = InputUnit("Master.csv", lambda: io.BytesIO(row.encode()))
    (item,) = AsteriskConnector().read(unit, options)
    assert isinstance(item, ReadEvent)
    assert item.event.data["to"] == [{"phone": "800"}]
    (refused,) = read(row)
    assert isinstance(refused, Rejection)
    assert "--option columns=" in refused.detail
    with pytest.raises(OptionError, match="src, dst, start and disposition"):
        AsteriskConnector().read(unit, IngestOptions(zone=SHANGHAI, extra={"columns": "src,dst"}))


def test_seventeen_columns_may_end_in_the_userfield_instead() -> None:
    found = call(line(17, uniqueid="queue=sales"))
    assert found["userfield"] == "queue=sales"
    assert "conversation" not in found


@pytest.mark.parametrize("cells", [1, 2, 15, 22, 40])
def test_other_column_counts_are_rejected_without_affecting_other_rows(cells: int) -> None:
    wrong = ",".join(["1"] * cells) + "\n"
    items = read(line(), wrong, line(linkedid="x-1.1"))
    refused = [item for item in items if isinstance(item, Rejection)]
    assert [item.code for item in refused] == [RejectCode.UNPARSABLE]
    assert f"line 2: it has {cells} columns" in refused[0].detail
    assert refused[0].raw == wrong.encode()
    assert refused[0].locator == "Master.csv#2"
    assert len(items) == 3


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("start", "yesterday", RejectCode.TIME_INVALID),
        ("start", "", RejectCode.TIME_INVALID),
        ("start", "2026-02-30 10:00:00", RejectCode.TIME_INVALID),
        ("start", "1901-01-01 10:00:00", RejectCode.TIME_INVALID),
        ("answer", "13:11", RejectCode.TIME_INVALID),
        ("billsec", "-3", RejectCode.SCHEMA_TYPE),
        ("billsec", "long", RejectCode.SCHEMA_TYPE),
    ],
)
def test_a_bad_cell_rejects_the_row_and_names_the_column(
    column: str, value: str, code: RejectCode
) -> None:
    (item,) = read(line(**{column: value}))
    assert isinstance(item, Rejection)
    assert item.code is code
    assert column in item.detail


def test_a_broken_quotation_stays_within_its_line() -> None:
    items = read('"1,2\n', line())
    assert [type(item) for item in items] == [Rejection, ReadEvent]


def test_a_missing_time_zone_is_an_option_error() -> None:
    with pytest.raises(OptionError, match=r"--timezone.*Asia/Shanghai"):
        read(line(), zone=None)


def test_an_unknown_option_is_named() -> None:
    unit = InputUnit("x", lambda: io.BytesIO(b""))
    with pytest.raises(OptionError, match="colour"):
        list(AsteriskConnector().read(unit, IngestOptions(zone=SHANGHAI, extra={"colour": "red"})))


def test_empty_lines_byte_order_mark_and_header_are_not_rows() -> None:
    header = "accountcode,src,dst,dcontext,clid\n"
    assert read("", "\n", "  \r\n") == []
    assert len(read("\ufeff" + header, line())) == 1
    assert len(read("\ufeff" + line())) == 1


# ---- names and numbers


@pytest.mark.parametrize(
    ("clid", "name"),
    [
        ('"Ann Lee" <13800000001>', "Ann Lee"),
        ('"王小姐" <13800000001>', "王小姐"),
        ('"13800000001" <13800000001>', None),
        ("13800000001", None),
        ("<13800000001>", None),
        ('"" <13800000001>', None),
        ("Ann", "Ann"),
    ],
)
def test_the_caller_has_a_name_if_it_differs_from_the_number(clid: str, name: str | None) -> None:
    assert call(line(clid=clid))["from"].get("name") == name


def test_a_cut_number_is_not_a_name() -> None:
    raw = line(clid='"1380000000XX" <13800000001>').encode().replace(b"XX", b"\xa5\xa2b")
    assert call(raw)["from"] == {"phone": "13800000001"}


@pytest.mark.parametrize(
    ("channel", "peer"),
    [
        ("SIP/301-0000a1b2", "301"),
        ("PJSIP/alice-00000001", "alice"),
        ("Local/301@from-queue-0000000f;1", "301"),
        ("SIP/sip-provider.example-0000001f", "sip-provider.example"),
        ("DAHDI/i1/13800000001-5a", "13800000001"),
        ("IAX2/branch-12", "branch"),
        ("", None),
        ("nonsense", None),
    ],
)
def test_the_peer_of_a_channel(channel: str, peer: str | None) -> None:
    assert channel_peer(channel) == peer


@pytest.mark.parametrize(
    ("src", "dst", "own", "direction", "staff"),
    [
        ("13800000001", "02155550000", (), "inbound", "301"),
        ("13800000001", "s", (), "inbound", "301"),
        ("", "02155550000", (), "inbound", "301"),
        ("anonymous", "800", (), "inbound", "301"),
        ("301", "13800000001", (), "outbound", "301"),
        ("301", "302", (), "internal", "301"),
        ("301", "*97", (), "internal", "301"),
        ("+862155550000", "+8613800000001", ("+86 21 5555 0000",), "outbound", "trunk"),
        ("214943", "02155550000", ("02155550000",), "inbound", "301"),
        ("301", "302", ("301", "302"), "internal", "301"),
        ("301", "95588", ("301",), "outbound", "301"),
    ],
)
def test_direction_by_own_numbers_else_by_number_length(
    src: str, dst: str, own: tuple[str, ...], direction: str, staff: str
) -> None:
    found = call(
        line(src=src, dst=dst, channel=f"SIP/{src if src == '301' else 'trunk'}-00000001"), own=own
    )
    assert (found["direction"], found["staff"]) == (direction, staff)


def test_a_short_number_on_the_dialled_line_is_not_an_extension() -> None:
    assert (
        call(line(src="214943", dst="211553", channel="SIP/211553-00000015"))["direction"]
        == "inbound"
    )


# ---- how it ended


@pytest.mark.parametrize(
    ("word", "disposition"),
    [("NO ANSWER", "no_answer"), ("BUSY", "busy"), ("FAILED", "failed"), ("CONGESTION", "failed")],
)
def test_dispositions_of_unanswered_calls(word: str, disposition: str) -> None:
    found = call(line(answer="", billsec=0, disposition=word))
    assert found["type"] == "comm.call.missed"
    assert found["disposition"] == disposition
    assert found["hangup_cause"] == word
    assert "answered_at" not in found
    assert "talk_s" not in found
    assert "staff" not in found


@pytest.mark.parametrize("application", ["Hangup", "Playback", "BackGround", "Read"])
def test_a_call_answered_only_by_an_application_is_missed(application: str) -> None:
    found = call(line(lastapp=application, dstchannel=""))
    assert found["type"] == "comm.call.missed"
    assert found["answered_at"] == "2026-03-04T05:11:26Z"
    assert found["answered_by"] == application
    assert "talk_s" not in found


def test_an_announcement_after_ringing_is_not_an_answer() -> None:
    rows = (
        line(**UNANSWERED, linkedid="c.1"),
        line(lastapp="Playback", dstchannel="", linkedid="c.1", start="2026-03-04 13:13:18"),
    )
    found = call(*rows)
    assert (found["type"], found["disposition"]) == ("comm.call.missed", "no_answer")
    assert "answered_at" not in found


def test_voicemail_is_not_an_answer() -> None:
    found = call(
        line(**UNANSWERED, linkedid="c.1"), line(lastapp="VoiceMail", dstchannel="", linkedid="c.1")
    )
    assert (found["type"], found["disposition"]) == ("comm.call.missed", "voicemail")


def test_a_queue_that_rang_three_agents_is_one_call_answered_by_the_third() -> None:
    queue = {"lastapp": "Queue", "linkedid": "pbx-1772601078.5"}
    found = call(
        line(**queue, **UNANSWERED, dstchannel="PJSIP/301-1a"),
        line(**queue, **UNANSWERED, dstchannel="PJSIP/302-1b"),
        line(**queue, dstchannel="PJSIP/303-1c", answer="2026-03-04 13:12:00", billsec=78),
    )
    assert (found["staff"], found["legs"], found["talk_s"]) == ("303", 3, 78)
    assert found["answered_at"] == "2026-03-04T05:12:00Z"
    assert found["conversation"] == found["id"] == "pbx-1772601078.5"


def test_the_two_halves_of_a_local_channel_do_not_count_twice() -> None:
    half = {"linkedid": "c.1", "answer": "2026-03-04 13:11:26", "billsec": 112}
    found = call(
        line(**half, dstchannel="Local/301@agents-0001;1"),
        line(**half, channel="Local/301@agents-0001;2", dstchannel="SIP/301-00000009"),
    )
    assert (found["talk_s"], found["staff"], found["legs"]) == (112, "301", 2)


def test_a_local_channel_that_ends_in_an_announcement_is_not_an_answer() -> None:
    found = call(
        line(linkedid="c.1", dstchannel="Local/301@agents-0001;1"),
        line(linkedid="c.1", channel="Local/301@agents-0001;2", dstchannel="", lastapp="Playback"),
    )
    assert found["type"] == "comm.call.missed"


def test_a_transfer_adds_up_talk_time() -> None:
    first = {"answer": "2026-03-04 13:11:26", "billsec": 60, "end": "2026-03-04 13:12:26"}
    second = {"answer": "2026-03-04 13:12:30", "billsec": 48, "dstchannel": "SIP/302-00000009"}
    found = call(line(**first, linkedid="c.1"), line(**second, linkedid="c.1"))
    assert (found["talk_s"], found["staff"]) == (108, "301")


def test_the_root_channel_names_caller_and_callee() -> None:
    root = "pbx-1772601078.1"
    found = call(
        line(dst="ch1", uniqueid="pbx-1772601078.3", linkedid=root, channel="Local/ch1@ring-01;2"),
        line(dst="02155550000", uniqueid=root, linkedid=root),
    )
    assert found["to"] == [{"phone": "02155550000"}]


# ---- time

BERLIN = ZoneInfo("Europe/Berlin")


def test_the_repeated_hour_is_decided_by_the_second_in_the_id() -> None:
    night = {
        "start": "2026-10-25 02:30:00",
        "answer": "2026-10-25 02:30:10",
        "end": "2026-10-25 02:40:00",
    }
    second_pass = int(datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp())
    found = call(line(**night, uniqueid=f"{second_pass}.7", linkedid=""), zone=BERLIN)
    assert found["started_at"] == "2026-10-25T01:30:00Z"
    assert found["ended_at"] == "2026-10-25T01:40:00Z"


def test_without_an_id_the_repeated_hour_is_its_first_pass() -> None:
    night = {
        "start": "2026-10-25 02:50:00",
        "answer": "2026-10-25 02:55:00",
        "end": "2026-10-25 02:10:00",
    }
    found = call(line(16, **night), zone=BERLIN)
    assert found["started_at"] == "2026-10-25T00:50:00Z"
    assert found["answered_at"] == "2026-10-25T00:55:00Z"
    assert found["ended_at"] == "2026-10-25T01:10:00Z"


def test_a_zone_that_contradicts_the_ids_is_recorded() -> None:
    # The id says 05:11:18 UTC, which is 13:11:18 in Shanghai.
    assert "uniqueid_says" not in call(line())
    assert call(line(), zone=ZoneInfo("UTC"))["uniqueid_says"] == "2026-03-04T05:11:18Z"


# ---- calls among calls


def other_call(number: int) -> str:
    return line(uniqueid=f"o-1772601078.{number}", linkedid=f"o-1772601078.{number}")


def test_a_late_row_is_an_event_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asterisk_connector, "_WINDOW_ROWS", 5)
    late = line(linkedid="c.1", start="2026-03-04 14:00:00")
    items = read(
        line(linkedid="c.1"), line(linkedid="c.1"), *(other_call(n) for n in range(9)), late, late
    )
    found = [item for item in items if isinstance(item, ReadEvent)]
    of_the_call = [item for item in found if item.event.data["conversation"] == "c.1"]
    assert [item.event.data["legs"] for item in of_the_call] == [2, 1, 1]
    assert of_the_call[0].event.id == "c.1"
    assert of_the_call[1].event.id.startswith("c.1/late/")
    # The same row again is the same event.
    assert of_the_call[1].event.id == of_the_call[2].event.id
    assert sum(item.event.data["rows"] for item in found) == 13


def test_rows_of_other_calls_in_between_do_not_split_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asterisk_connector, "_WINDOW_ROWS", 5)
    mixed = [
        row
        for n in range(20)
        for row in (line(linkedid="c.1", start=f"2026-03-04 13:{n + 10}:00"), other_call(n))
    ]
    legs = {
        item.event.id: item.event.data["legs"]
        for item in read(*mixed)
        if isinstance(item, ReadEvent)
    }
    assert legs["c.1"] == 20


def test_a_call_that_never_ends_is_split_without_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asterisk_connector, "_MAX_LEGS", 10)
    rows = [line(linkedid="c.1", duration=n) for n in range(25)]
    found = [item for item in read(*rows) if isinstance(item, ReadEvent)]
    assert [item.event.data["legs"] for item in found] == [10] + [1] * 15
    assert len({item.event.id for item in found}) == 16


def test_memory_of_closed_calls_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asterisk_connector, "_WINDOW_ROWS", 1)
    monkeypatch.setattr(asterisk_connector, "_CLOSED_CALLS", 3)
    unit = InputUnit("x", lambda: io.BytesIO("".join(other_call(n) for n in range(50)).encode()))
    reader = asterisk_connector._CdrReader(unit, IngestOptions(zone=SHANGHAI), "asterisk-cdr/1")
    sizes = [(len(reader._open), len(reader._closed)) for _ in reader.items()]
    assert len(sizes) == 50
    assert max(sizes) <= (2, 3)


def test_calls_before_a_corrupt_end_are_read() -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            if piece := super().read1(size):
                return piece
            raise UnreadableUnitError("Master.csv.gz: the data end in the middle")

    unit = InputUnit("Master.csv.gz", lambda: Broken((line() + '"half').encode()))
    items = list(AsteriskConnector().read(unit, IngestOptions(zone=SHANGHAI)))
    assert [type(item) for item in items] == [ReadEvent, Rejection]
    assert items[1].raw == b'"half'


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "a-1772601078.1", "b-1772601078.2", "c-1772601078.3"]),
        st.sampled_from(["ANSWERED", "NO ANSWER", "BUSY", "odd"]),
        st.sampled_from(["Dial", "Queue", "Hangup", "VoiceMail", ""]),
        st.sampled_from(["SIP/301-01", "Local/301@x-01;1", ""]),
        st.integers(0, 59),
        st.booleans(),
    ),
    max_size=30,
)


@given(ROWS)
def test_every_row_is_in_exactly_one_item(rows: list[tuple[str, str, str, str, int, bool]]) -> None:
    lines = [
        (
            "broken,row\n"
            if broken
            else line(
                linkedid=linked,
                uniqueid=linked,
                disposition=word,
                lastapp=app,
                dstchannel=far,
                start=f"2026-03-04 13:00:{second:02}",
            )
        )
        for linked, word, app, far, second, broken in rows
    ]
    items = read(*lines)
    written = Counter(text.encode() for text in lines)
    kept = Counter(part for item in items for part in item.raw.splitlines(keepends=True))
    assert kept == written
    for item in items:
        if isinstance(item, ReadEvent):
            data = CallData.model_validate(item.event.data)
            assert data.legs == item.raw.count(b"\n")
            assert (item.event.type == "comm.call.completed") == (data.talk_s is not None)
            started, ended = data.started_at, data.ended_at
            assert started is not None
            assert ended is None or ended - started < timedelta(hours=1)


@given(st.binary(max_size=400) | st.text(',"0123456789\n-: ', max_size=400).map(str.encode))
def test_any_bytes_are_read_or_rejected(data: bytes) -> None:
    assert all(isinstance(item, (ReadEvent, Rejection)) for item in read(data))


@pytest.mark.data
def test_a_real_exchange(shared_data: Path) -> None:
    path = shared_data / "calls" / "asterisk_cdr" / "Master.csv"
    reader = AsteriskConnector()
    items = [
        item
        for unit in reader.units([path.parent])
        for item in reader.read(unit, IngestOptions(zone=ZoneInfo("UTC")))
    ]
    assert all(isinstance(item, ReadEvent) for item in items)
    events = [item.event for item in items if isinstance(item, ReadEvent)]
    assert sum(event.data["rows"] for event in events) == 84
    assert len({event.id for event in events}) == len(events) == 36
    # The file is in GMT: every id names the second in which its call began.
    assert not any("uniqueid_says" in event.data for event in events)
    assert {event.data["direction"] for event in events} == {"inbound"}

"""Orders, feedback, complaints and customers from CSV: names of columns, encodings, delimiters,
cells; a bad row harms no other.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.business import CsvConnector, csv_rows
from pipeline.ingest.business.amounts import MarkEvidence, amount_value, read_amount
from pipeline.ingest.business.cell_times import read_time
from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    clean_cell,
    normalise_word,
    read_items,
    read_rating,
)
from pipeline.ingest.business.column_names import TABLES
from pipeline.ingest.business.csv_tables import TIME
from pipeline.ingest.business.currencies import read_currency
from pipeline.ingest.byte_streams import UnreadableUnitError
from pipeline.ingest.local_times import DateOrder
from pipeline.ingest.port import (
    ConnectorItem,
    IngestOptions,
    InputUnit,
    OptionError,
    ReadEvent,
    Rejection,
)
from schemas.dead_letters import RejectCode
from schemas.registry import contract_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
KINDS = ("orders", "feedback", "complaints", "customers")


def read(
    kind: str, text: str | bytes, zone: ZoneInfo | None = SHANGHAI, **extra: str
) -> list[ConnectorItem]:
    data = text.encode() if isinstance(text, str) else text
    unit = InputUnit(f"{kind}.csv", lambda: io.BytesIO(data))
    return list(CsvConnector(kind).read(unit, IngestOptions(zone=zone, extra=extra)))


def events(kind: str, text: str | bytes, **options: Any) -> list[dict[str, Any]]:
    found = []
    for item in read(kind, text, **options):
        assert isinstance(item, ReadEvent), item
        contract = contract_of(item.event.type, item.event.data)
        assert contract is not None
        contract.model_validate(item.event.data)
        found.append(
            {
                "type": item.event.type,
                "id": item.event.id,
                "time": item.event.time,
                **item.event.data,
            }
        )
    return found


def refused(kind: str, text: str | bytes, **options: Any) -> Rejection:
    (item,) = read(kind, text, **options)
    assert isinstance(item, Rejection)
    return item


# ---- each kind, in both languages


def test_orders_in_chinese() -> None:
    (order,) = events(
        "orders",
        "订单号,客户姓名,手机,金额,币种,状态,下单时间,商品,支付方式,门店\n"
        'A-1,王小姐,13800000001,"¥1,299.00",人民币,已付款,2026/8/14 09:15,S-1'
        " x2；S-2,微信支付,南京路\n",
    )
    assert order["type"] == "crm.order.paid"
    assert order["time"] == datetime(2026, 8, 14, 1, 15, tzinfo=UTC)
    assert order["customer"] == {"name": "王小姐", "phone": "13800000001"}
    assert (order["amount"], order["currency"]) == ("1299.00", "CNY")
    assert order["items"] == [{"sku": "S-1", "quantity": "2"}, {"sku": "S-2", "quantity": "1"}]
    assert order["payment_method"] == "微信支付"
    # What has no field of its own is kept by its header.
    assert order["门店"] == "南京路"
    assert order["status"] == "已付款"


def test_orders_in_english_with_semicolons() -> None:
    (order,) = events(
        "orders",
        "Order No.;E-Mail;Total;Currency;Status;Date;Refund"
        " reason\n1;a@example.com;1.234,50;eur;refunded;2026-08-14T10:00:00Z;too late\n",
        zone=None,
    )
    assert order["type"] == "crm.order.refunded"
    assert (order["amount"], order["currency"], order["reason"]) == ("1234.50", "EUR", "too late")


def test_feedback_in_both_languages() -> None:
    first, second, third = events(
        "feedback",
        "反馈编号,评分,建议,邮箱,时间,类型\n1,5星,很好,a@example.com,2026-08-14"
        " 10:00,表扬\n2,8/10,,a@example.com,2026-08-14 10:00,\n3,,希望加辣,a@example.com,2026-08-14"
        " 10:00,说不清\n",
    )
    assert first["type"] == "crm.feedback.given"
    assert (first["rating"], first["text"], first["kind"]) == (5, "很好", "praise")
    assert (second["rating"], second["scale_max"]) == (8, 10)
    assert "kind" not in third
    assert third["kind_written"] == "说不清"
    (english,) = events("feedback", "rating,comment,customer,date\n4.5,nice,Ann,2026-08-14\n")
    assert english["rating"] == 4.5


def test_complaints_in_both_languages() -> None:
    closed, opened = events(
        "complaints",
        "投诉编号,客户,投诉原因,处理,结果,时间,状态\n"
        "C1,张三,质量问题：屏幕碎,已联系,全额退款,2026-08-14"
        " 10:00,已解决\nC2,张三,说不清,,,2026-08-14 10:00,\n",
    )
    assert closed["type"] == "crm.complaint.closed"
    assert (closed["reason"], closed["result"], closed["handling"]) == (
        "quality",
        "refunded",
        "已联系",
    )
    assert (closed["reason_written"], closed["result_written"]) == ("质量问题：屏幕碎", "全额退款")
    assert (opened["type"], opened["reason"], opened["reason_written"]) == (
        "crm.complaint.opened",
        "other",
        "说不清",
    )
    (handled,) = events(
        "complaints",
        "complaint_id,customer,category,action taken,date\n7,Ann,Late delivery,called"
        " back,2026-08-14\n",
    )
    assert (handled["type"], handled["reason"]) == ("crm.complaint.handled", "delivery")


def test_customers_in_both_languages() -> None:
    (customer,) = events(
        "customers",
        '姓名,手机,电话,其他电话,邮箱,地址,城市,来源,出生日期,VIP\n李四,"=""13900000001""",021-555,022-555/023-555,l@example.com,路1号,上海,抖音,1985-03-21,是\n',
        zone=None,
    )
    assert customer["type"] == "crm.customer.updated"
    assert customer["time"] is None
    assert customer["customer"] == {
        "name": "李四",
        "phone": "13900000001",
        "email": "l@example.com",
    }
    assert customer["phones"] == ["022-555", "023-555", "021-555"]
    assert (customer["address"], customer["city"], customer["source"], customer["birth_year"]) == (
        "路1号",
        "上海",
        "抖音",
        1985,
    )
    assert customer["VIP"] == "是"
    (english,) = events(
        "customers",
        "customer id\tfull name\tdate of birth\tlead source\n7\tAnn\t21 March 1985\tfair\n",
    )
    assert (english["customer"], english["birth_year"], english["source"]) == (
        {"id": "7", "name": "Ann"},
        1985,
        "fair",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_fields_share_a_name_and_standard_names_are_read(kind: str) -> None:
    table = TABLES[kind]
    names = Counter(
        key for column in table.columns for key in {normalise_word(name) for name in column.names}
    )
    assert [name for name, count in names.items() if count > 1] == []
    own = {TIME, "action", "refund_amount", "paid_amount"}
    own |= {"customer.first_name", "customer.last_name"}
    fields = {
        column.field for column in table.columns if not column.field.startswith("item.")
    } - own
    contract = {*table.contract.model_fields} | {
        f"customer.{name}" for name in ("id", "name", "email", "phone", "handle")
    }
    assert fields <= contract


def test_a_date_and_a_time_of_day_in_two_columns_are_joined() -> None:
    for text in (
        "date,time,order_id,name\n2026-08-14,09:15,1,Ann\n",
        "时间,日期,订单号,姓名\n上午9:15,2026/8/14,1,王\n",
    ):
        assert events("orders", text)[0]["time"] == datetime(2026, 8, 14, 1, 15, tzinfo=UTC)


def test_duplicate_columns_and_columns_named_like_a_field_are_all_kept() -> None:
    (order,) = events(
        "orders",
        "order_id,name,date,note,note,rating,customer"
        " id,email,mail\n1,Ann,2026-08-14,a,b,5,7,x@example.com,y@example.com\n",
    )
    assert (order["note"], order["note 2"], order["rating"]) == ("a", "b", "5")
    assert (order["customer"]["email"], order["mail"]) == ("x@example.com", "y@example.com")
    (feedback,) = events(
        "feedback", "text,name,date,survey_sent_at,items\nhi,Ann,2026-08-14,2026-08-13,x\n"
    )
    assert (feedback["survey_sent_at"], feedback["items"]) == ("2026-08-12T16:00:00Z", "x")
    (complaint,) = events(
        "complaints", "complaint_id,customer,date,customer \n1,Ann,2026-08-14,Bob\n"
    )
    assert complaint["customer"] == {"name": "Ann"}
    assert complaint["customer 2"] == "Bob"


@pytest.mark.parametrize(
    ("number", "kind", "types"),
    [(0, "orders", ["paid", "refunded"]), (1, "complaints", ["closed"])],
)
def test_the_guides_examples_are_read(number: int, kind: str, types: list[str]) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "connectors.md").read_text(
        "utf-8"
    )
    example = re.findall(r"```csv\n(.*?)```", guide, re.DOTALL)[number]
    assert [event["type"].rpartition(".")[2] for event in events(kind, example)] == types


# ---- ids

ORDERS = "order_id,name,date,action,amount,currency\n"


def test_payment_and_refund_of_one_order_are_two_events_and_the_same_row_is_the_same_event() -> (
    None
):
    paid, refund, again = events(
        "orders",
        f"{ORDERS}1,Ann,2026-08-14 10:00,paid,5,CNY\n1,Ann,2026-08-14"
        " 10:00,refunded,5,CNY\n1,Ann,2026-08-14 10:00,paid,5,CNY\n",
    )
    assert paid["id"] == again["id"] != refund["id"]


def test_a_second_row_with_the_same_id_and_other_content_is_rejected() -> None:
    first, second = read(
        "orders", f"{ORDERS}1,Ann,2026-08-14,paid,5,CNY\n1,Ann,2026-08-14,paid,7,CNY\n"
    )
    assert isinstance(first, ReadEvent)
    assert isinstance(second, Rejection)
    assert "line 3" in second.detail
    assert "same order_id, action, occurred_at" in second.detail


@pytest.mark.parametrize(
    ("kind", "text"),
    [("feedback", "text,name,date\nhi,Ann,2026-08-14\n"), ("customers", "name\nAnn\n")],
)
def test_rows_without_an_id_are_identified_by_all_cells(kind: str, text: str) -> None:
    ids = [
        event["id"]
        for event in events(
            kind,
            text + text.splitlines()[1].replace("Ann", "Bob") + "\n" + text.splitlines()[1] + "\n",
        )
    ]
    assert ids[0] == ids[2] != ids[1]


# ---- faults of the file


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("orders", "name,date\nAnn,2026-08-14\n", ["order_id", "订单号"]),
        ("orders", "order_id,name\n1,Ann\n", ["occurred_at", "时间"]),
        ("orders", "order_id,date\n1,2026-08-14\n", ["customer.email", "邮箱"]),
        ("feedback", "name,date\nAnn,2026-08-14\n", ["rating or text", "评分"]),
        ("complaints", "name,date\nAnn,2026-08-14\n", ["complaint_id", "投诉编号"]),
        ("customers", "city\nParis\n", ["customer.name", "姓名"]),
    ],
)
def test_a_header_without_a_required_column_rejects_the_file(
    kind: str, text: str, words: list[str]
) -> None:
    item = refused(kind, text)
    assert item.code is RejectCode.SCHEMA_MISSING_FIELD
    assert all(word in item.detail for word in words)
    assert "2 lines" in item.detail
    assert item.raw == text.encode()


def test_an_empty_file_has_no_rows() -> None:
    assert read("orders", "") == read("orders", "\ufeff\n \n") == read("orders", ORDERS) == []


def test_wrong_options_are_named() -> None:
    for extra, words in (
        ({"colour": "red"}, "colour"),
        ({"date_order": "usual"}, "dmy, mdy or ymd"),
        ({"currency": "gold coins"}, "ISO 4217"),
        ({"encoding": "klingon"}, "klingon"),
        ({"encoding": "cp037"}, "line by line"),
        ({"decimal": "dot"}, "comma .12,50. or point"),
        ({"scale": "ten"}, "0-10"),
    ):
        with pytest.raises(OptionError, match=words):
            list(
                CsvConnector("orders").read(InputUnit("x", io.BytesIO), IngestOptions(extra=extra))
            )


# ---- encodings and delimiters

CHINESE = "订单号,姓名,时间\n1,王小姐,2026-08-14\n2,李先生,2026-08-15\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312"])
def test_encodings_of_excel_are_recognised(encoding: str) -> None:
    assert [event["customer"]["name"] for event in events("orders", CHINESE.encode(encoding))] == [
        "王小姐",
        "李先生",
    ]


def test_other_encodings_need_an_option() -> None:
    big5 = CHINESE.replace("订单号", "訂單號").replace("时间", "時間").encode("big5")
    assert [event["customer"]["name"] for event in events("orders", big5, encoding="big5")] == [
        "王小姐",
        "李先生",
    ]
    latin = "order_id,name,date\n1,Müller Jürgen,2026-08-14\n".encode("cp1252")
    assert refused("orders", latin).code is RejectCode.CHARSET
    assert events("orders", latin, encoding="cp1252")[0]["customer"]["name"] == "Müller Jürgen"
    utf16 = refused("orders", CHINESE.encode("utf-16"))
    assert utf16.code is RejectCode.CHARSET
    assert "UTF-16" in utf16.detail


def test_a_first_chinese_character_far_below_the_head_is_read() -> None:
    rows = "".join(f"{n},Ann,2026-08-14\n" for n in range(8000))
    data = (
        f"order_id,name,date\n{rows}".encode()
        + "x,王小姐,2026-08-14\n".encode("gb18030")
        + b"y,\xff\xff,2026-08-14\nz,Bob,2026-08-14\n"
    )
    items = read("orders", data)
    assert isinstance(items[8000], ReadEvent)
    assert items[8000].event.data["customer"]["name"] == "王小姐"
    assert isinstance(items[8001], Rejection)
    assert items[8001].code is RejectCode.CHARSET
    assert isinstance(items[8002], ReadEvent)


@pytest.mark.parametrize(
    "text",
    [
        "order_id;name;date\n1;Ann, Lee;2026-08-14\n",
        "order_id\tname\tdate\n1\tAnn, Lee\t2026-08-14\n",
    ],
)
def test_the_delimiter_is_the_one_with_most_known_headers(text: str) -> None:
    assert events("orders", text)[0]["customer"]["name"] == "Ann, Lee"


def test_excels_separator_line_and_blank_lines_above_the_header() -> None:
    assert events("orders", "sep=|\n\norder_id|name|date\n1|Ann|2026-08-14\n")[0]["order_id"] == "1"
    assert (
        events("orders", "\n" * 200_000 + "order_id,name,date\n1,Ann,2026-08-14\n")[0]["order_id"]
        == "1"
    )
    assert refused("orders", b"\xbb").raw == b"\xbb"


def test_header_case_width_and_punctuation_are_ignored() -> None:
    assert events("orders", "ＯＲＤＥＲ＿ＩＤ, Customer-Name ,ORDER DATE\n1,Ann,2026-08-14\n")[0][
        "customer"
    ] == {"name": "Ann"}


# ---- rows


def test_line_breaks_and_quotation_marks_in_cells() -> None:
    text = (
        'complaint_id,name,date,text\r\n1,"Ann ""A."" Lee",2026-08-14,"first\r\nsecond,'
        ' and\nthird"\r\n2,5" screen,2026-08-14,x\r\n'
    )
    first, second = events("complaints", text)
    assert (first["customer"]["name"], first["text"]) == (
        'Ann "A." Lee',
        "first\r\nsecond, and\nthird",
    )
    assert second["customer"]["name"] == '5" screen'


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('9,"Ann,2026-08-14', "a quotation mark is not closed"),
        ('9,"Ann"x,2026-08-14', "not valid CSV"),
        ("9,Ann", "column 'date' is empty; the row has 2 cells, the header 3"),
        ("9,Ann,2026-08-14,more", "4 cells, the header 3"),
    ],
)
def test_a_row_that_is_not_csv_is_rejected_alone(row: str, words: str) -> None:
    items = read(
        "orders",
        f"order_id,name,date\n1,Ann,2026-08-14\n{row}\n2,Bob,2026-08-14\n3,Eve,2026-08-14\n",
    )
    assert [type(item) for item in items] == [ReadEvent, Rejection, ReadEvent, ReadEvent]
    assert isinstance(items[1], Rejection)
    assert "line 3" in items[1].detail
    assert words in items[1].detail


def test_an_open_quote_does_not_swallow_the_rows_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [f"{n},Ann,2026-08-14" for n in range(500)]
    rows[100] = '100,"Ann,2026-08-14'
    rows[200] = '200,"An" n,2026-08-14'
    text = "order_id,name,date\n" + "\n".join(rows)
    for limit in (csv_rows.MAX_ROW, 1000):
        monkeypatch.setattr(csv_rows, "MAX_ROW", limit)
        items = read("orders", text)
        assert [item.locator for item in items if isinstance(item, Rejection)] == [
            "orders.csv#102",
            "orders.csv#202",
        ]
        assert len(items) == 500


def test_blank_rows_and_trailing_empty_cells_are_ignored() -> None:
    assert len(events("orders", "order_id,name,date\n,,\n\n1,Ann,2026-08-14,,,\n \n")) == 1


def test_an_oversize_row_is_rejected_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "MAX_ROW", 300)
    items = read("orders", f"order_id,name,date\n1,{'x' * 400},2026-08-14\n2,Ann,2026-08-14\n")
    assert isinstance(items[0], Rejection)
    assert items[0].code is RejectCode.OVERSIZE
    assert isinstance(items[1], ReadEvent)


def test_a_rejected_row_is_a_file_that_can_be_replayed() -> None:
    (item,) = read("orders", CHINESE.splitlines()[0] + "\n1,王小姐,2026-08-14\n", zone=None)
    assert isinstance(item, Rejection)
    assert "--timezone" in item.detail
    assert events("orders", item.raw)[0]["customer"]["name"] == "王小姐"


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        ("1,Ann,soon,paid,5,CNY", RejectCode.TIME_INVALID, "column 'date' has 'soon'"),
        ("1,Ann,14/08/2026,paid,5,CNY", RejectCode.TIME_INVALID, "date_order"),
        ("1,Ann,2026-02-30,paid,5,CNY", RejectCode.TIME_INVALID, "no such day"),
        ("1,Ann,1969-01-01,paid,5,CNY", RejectCode.TIME_INVALID, "1970 to 2199"),
        ("1,Ann,2026-08-14,paid,much,CNY", RejectCode.SCHEMA_TYPE, "column 'amount' has 'much'"),
        ("1,Ann,2026-08-14,paid,-5,CNY", RejectCode.SCHEMA_VALUE, "column 'amount' has '-5'"),
        ("1,Ann,2026-08-14,paid,5,", RejectCode.SCHEMA_MISSING_FIELD, "--option currency=CNY"),
        ("1,Ann,2026-08-14,paid,5,coins", RejectCode.SCHEMA_VALUE, "column 'currency' has 'coins'"),
        (
            ",Ann,2026-08-14,paid,5,CNY",
            RejectCode.SCHEMA_MISSING_FIELD,
            "column 'order_id' is empty",
        ),
        ("1,,2026-08-14,paid,5,CNY", RejectCode.SCHEMA_MISSING_FIELD, "column 'name' is empty"),
        ("1,Ann,,paid,5,CNY", RejectCode.SCHEMA_MISSING_FIELD, "column 'date' is empty"),
        ("2.02608E+17,Ann,2026-08-14,paid,5,CNY", RejectCode.SCHEMA_VALUE, "rounded the number"),
    ],
)
def test_a_bad_cell_is_named_with_line_column_and_value(
    row: str, code: RejectCode, words: str
) -> None:
    items = read("orders", f"{ORDERS}{row}\n9,Ann,2026-08-14,paid,5,CNY\n")
    assert isinstance(items[0], Rejection)
    assert isinstance(items[1], ReadEvent)
    assert items[0].code is code
    assert re.search(words, items[0].detail), items[0].detail
    assert "orders.csv, line 2: " in items[0].detail


def test_a_rating_outside_its_scale_is_rejected() -> None:
    assert (
        "rating 9 in line 2 is outside its scale 1 to 5; say which it is with --option scale=0-10"
        in refused("feedback", "rating,name,date\n9,Ann,2026-08-14\n").detail
    )


def test_a_negative_refund_is_the_refunded_amount() -> None:
    head = "order_id,name,date,status,amount,refund amount,currency\n"
    text = (
        f"{head}1,Ann,2026-08-14,refunded,-9,,CNY\n"
        "2,Ann,2026-08-14,退款,99,30,CNY\n"
        "3,Ann,2026-08-14,paid,99,30,CNY\n"
    )
    assert [event["amount"] for event in events("orders", text)] == ["9", "30", "99"]


def test_rows_before_a_corrupt_end_are_read() -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            if piece := super().read1(size):
                return piece
            raise UnreadableUnitError("orders.csv.gz: the data end in the middle")

    unit = InputUnit(
        "orders.csv.gz", lambda: Broken(b'order_id,name,date\n1,Ann,2026-08-14\n2,"An\nn')
    )
    items = list(CsvConnector("orders").read(unit, IngestOptions(zone=SHANGHAI)))
    assert [type(item) for item in items] == [ReadEvent, Rejection]
    assert items[1].raw == b'2,"An\nn'


# ---- cells


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-08-14 09:15:32", (2026, 8, 14, 1, 15, 32)),
        ("2026/8/14 9:15", (2026, 8, 14, 1, 15)),
        ("2026.8.14", (2026, 8, 13, 16)),
        ("2026年8月14日 9时15分32秒", (2026, 8, 14, 1, 15, 32)),
        ("2026年8月14日 下午3点20分", (2026, 8, 14, 7, 20)),
        ("２０２６／８／１４　９：１５", (2026, 8, 14, 1, 15)),
        ("2026/8/14 下午 3:20", (2026, 8, 14, 7, 20)),
        ("2026-08-14 3:20 PM", (2026, 8, 14, 7, 20)),
        ("2026-08-14T09:15:32.123", (2026, 8, 14, 1, 15, 32)),
        ("2026-08-14T09:15:32Z", (2026, 8, 14, 9, 15, 32)),
        ("2026-08-14T09:15:32.5+02:00", (2026, 8, 14, 7, 15, 32)),
        ("2026-08-14 09:15:32 +0800", (2026, 8, 14, 1, 15, 32)),
        ("2026-08-14 09:15 UTC", (2026, 8, 14, 9, 15)),
        ("20260814", (2026, 8, 13, 16)),
        ("20260814091532", (2026, 8, 14, 1, 15, 32)),
        ("1786670132", (2026, 8, 14, 1, 15, 32)),
        ("1786670132000", (2026, 8, 14, 1, 15, 32)),
    ],
)
def test_times(text: str, moment: tuple[int, ...]) -> None:
    found = read_time(text, CellFormat(zone=SHANGHAI))
    assert found.replace(microsecond=0) == datetime(*moment, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_date_order_option() -> None:
    reading = CellFormat(SHANGHAI, DateOrder.DMY)
    assert read_time("01/02/2026 12:00", reading) == datetime(2026, 2, 1, 4, tzinfo=UTC)
    assert read_time("01/02/2026 12:00", CellFormat(SHANGHAI, DateOrder.MDY)) == datetime(
        2026, 1, 2, 4, tzinfo=UTC
    )
    with pytest.raises(CellError, match="no such day"):
        read_time("13/13/2026", reading)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "45152.39",
        "2026-08-14 25:00",
        "2026-13-01",
        "2026-08-14 09:15 +99:00",
        "9:15",
        "2026-08-14 xx 9:15",
    ],
)
def test_invalid_times(text: str) -> None:
    with pytest.raises(CellError):
        read_time(text, CellFormat(zone=SHANGHAI))


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("1299", "1299", None),
        ("1,299.50", "1299.50", None),
        ("1.299,50", "1299.50", None),
        ("12,5", "12.5", None),
        ("1,234", "1234", None),
        ("¥1,299.00", "1299.00", None),
        ("HK$1,299.00", "1299.00", "HKD"),
        ("R$ 1.299,00", "1299.00", "BRL"),
        ("₹1,23,456", "123456", "INR"),
        ("1.299.000 ₫", "1299000", "VND"),
        ("€ 12.00", "12.00", "EUR"),
        ("USD 12", "12", "USD"),
        ("12 usd", "12", "USD"),
        ("-12.00", "-12.00", None),
        ("-€12", "-12", "EUR"),
        ("(12.00)", "-12.00", None),
    ],
)
def test_money(text: str, amount: str, currency: str | None) -> None:
    written = read_amount(text, CellFormat())
    assert amount_value(written, "CNY", MarkEvidence()) == Decimal(amount)
    assert written.currency == currency


@pytest.mark.parametrize("text", ["free", "1.2.3", "12 apples", "--5", "1,23,4", ""])
def test_invalid_money(text: str) -> None:
    with pytest.raises(CellError):
        read_amount(text, CellFormat())


def test_currencies_ratings_and_articles() -> None:
    assert [
        read_currency(text, CellFormat()) for text in ("cny", "人民币", "RMB", "CN¥", "美元", "HKD")
    ] == [
        "CNY",
        "CNY",
        "CNY",
        "CNY",
        "USD",
        "HKD",
    ]
    assert [
        read_rating(text, CellFormat())
        for text in ("4", "4,5", "5星", "8/10", "4 分", "9 out of 10")
    ] == [
        (4, None),
        (4.5, None),
        (5, None),
        (8, 10),
        (4, None),
        (9, 10),
    ]
    assert read_items('[{"sku": "A", "quantity": 2, "colour": "red"}, "B", 7]', CellFormat()) == [
        {"sku": "A", "quantity": 2, "colour": "red"},
        {"sku": "B"},
        {"sku": "7"},
    ]
    assert read_items("A-100*2；B x 1.5\nC", CellFormat()) == [
        {"sku": "A-100", "quantity": "2"},
        {"sku": "B", "quantity": "1.5"},
        {"sku": "C", "quantity": "1"},
    ]
    for broken in ("[1,", "[true]", '[{"name": "x"}]', "[null]"):
        with pytest.raises(CellError):
            read_items(broken, CellFormat())


def test_cells_wrapped_by_spreadsheets() -> None:
    assert [
        clean_cell(text) for text in ('="0012"', "\t13800000001\t", "\u3000x\u00a0", "=1+1")
    ] == [
        "0012",
        "13800000001",
        "x",
        "=1+1",
    ]


# ---- laws

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=8),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_a_spreadsheet_writes_is_read_back(
    rows: list[tuple[str, str]], delimiter: str, end: str
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["complaint_id", "name", "date", "text", "own words"])
    for number, (text, words) in enumerate(rows):
        writer.writerow([number, "Ann", "2026-08-14", text, words])
    found = events("complaints", buffer.getvalue())
    assert [event["complaint_id"] for event in found] == [
        str(number) for number in range(len(rows))
    ]
    assert [event.get("text", "") for event in found] == [clean_cell(text) for text, _ in rows]
    assert [event.get("own words", "") for event in found] == [
        clean_cell(words) for _, words in rows
    ]


LINES = st.lists(
    st.sampled_from(
        [
            "1,Ann,2026-08-14",
            '2,"Ann',
            'Lee",2026-08-14',
            "3,Bob",
            '4,"x" y,2026-08-14',
            "",
            ",,",
            '"',
            "5,Eve,soon",
            "6,王,2026-08-14",
        ]
    ),
    max_size=15,
)


@given(LINES)
def test_every_line_is_in_exactly_one_item(lines: list[str]) -> None:
    head = "order_id,name,date\n"
    items = read("orders", head + "".join(f"{line}\n" for line in lines))
    kept = Counter(
        part
        for item in items
        for part in item.raw.decode().removeprefix(head).split("\n")
        if part.strip(",")
    )
    assert kept == Counter(line for line in lines if line.strip(","))


@given(
    st.sampled_from(KINDS),
    st.binary(max_size=200)
    | st.text('order_id,name;date\t"\n\r订单号姓名时间1/', max_size=120).map(str.encode),
)
def test_any_bytes_are_read_or_rejected(kind: str, data: bytes) -> None:
    assert all(isinstance(item, (ReadEvent, Rejection)) for item in read(kind, data))


@given(CELLS, st.sampled_from([read_amount, read_rating, read_items, read_currency, read_time]))
def test_any_cell_is_parsed_or_explained(text: str, reader: Any) -> None:
    try:
        value = reader(clean_cell(text), CellFormat(zone=SHANGHAI, date_order=DateOrder.DMY))
    except CellError as error:
        value = str(error)
    assert value or value == []


ROW = "2026-11-02 10:00,C1,li@example.com"
PROFILE = "time,customer_id,email"


def test_a_header_wider_than_any_export_is_rejected_with_the_file() -> None:
    (rejected,) = read("customers", f"{PROFILE}{',x' * 40_000}\n{ROW}\n")
    assert isinstance(rejected, Rejection)
    assert (rejected.code, "more than the limit of 65536" in rejected.detail) == (
        RejectCode.OVERSIZE,
        True,
    )


def test_columns_of_one_name_are_numbered() -> None:
    names, cells = ",note" * 4_000, "".join(f",{number}" for number in range(4_000))
    (event,) = read("customers", f"{PROFILE}{names}\n{ROW}{cells}\n")
    assert isinstance(event, ReadEvent)
    assert (event.event.data["note"], event.event.data["note 4000"]) == ("0", "3999")


def test_a_file_of_open_quotes_is_rejected_in_few_pieces_that_are_all_of_it() -> None:
    # Every line ends in an open quote, whether or not one was open before it.
    lines = [f'a{number}",b,"c\n' for number in range(30_000)]
    items = read("customers", f"{PROFILE}\n{ROW}\n{''.join(lines)}{ROW}\n")
    rejected = [item for item in items if isinstance(item, Rejection)]
    raw = b"".join(item.raw.removeprefix(f"{PROFILE}\n".encode()) for item in rejected)
    assert raw.decode() == "".join(lines) + f"{ROW}\n"
    assert len(rejected) < 100
    assert "lines are rejected with it" in rejected[-1].detail


def test_one_stray_quote_rejects_one_line_however_long_the_file_is() -> None:
    rows = "".join(f"2026-11-02 10:00,C{number},li@example.com\n" for number in range(2_000))
    items = read("customers", f'{PROFILE}\n2026-11-02 10:00,C,"li@example.com\n{rows}')
    assert Counter(type(item) for item in items) == {Rejection: 1, ReadEvent: 2_000}

"""CSV as shops and spreadsheets write it: sums, scales, states, dialects, encodings; what the file
does not decide is asked.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.business import CsvConnector
from pipeline.ingest.business.amounts import MarkEvidence, amount_value, read_amount
from pipeline.ingest.business.cell_times import read_time
from pipeline.ingest.business.cell_values import CellError, CellFormat, DecimalMark
from pipeline.ingest.business.csv_encoding import is_gb18030
from pipeline.ingest.port import ConnectorItem, IngestOptions, InputUnit, ReadEvent, Rejection
from schemas.dead_letters import RejectCode

SHANGHAI = ZoneInfo("Asia/Shanghai")


def read(
    kind: str, text: str | bytes, region: str | None = None, **extra: str
) -> list[ConnectorItem]:
    data = text.encode() if isinstance(text, str) else text
    unit = InputUnit(f"{kind}.csv", lambda: io.BytesIO(data))
    options = IngestOptions(zone=SHANGHAI, own=OwnSide((), region), extra=extra)
    return list(CsvConnector(kind).read(unit, options))


def field_of(items: list[ConnectorItem], name: str) -> list[Any]:
    return [
        item.event.data.get(name) if isinstance(item, ReadEvent) else item.code for item in items
    ]


def question(items: list[ConnectorItem]) -> str:
    (text,) = {item.detail.partition(": ")[2] for item in items if isinstance(item, Rejection)}
    return text


# ---- sums


def sums(*rows: str, **options: Any) -> list[ConnectorItem]:
    lines = [f"{n};Ann;2026-08-14;{row}\n" for n, row in enumerate(rows)]
    return read("orders", "order no;name;date;total;currency\n" + "".join(lines), **options)


def test_three_digits_are_read_by_the_column_and_the_currency() -> None:
    rows = ("2.499,00 €;", "2.499 €;", "99,5;EUR", "14.990;CLP", "IDR 75.000;", "3.125;KWD")
    assert field_of(sums(*rows, "2.499.000;VND", "0.125;USD"), "amount") == [
        *("2499.00", "2499", "99.5", "14990", "75000", "3.125", "2499000", "0.125"),
    ]
    # The row that decides may come after the one it decides.
    assert field_of(sums("1,250;KWD", "3,5;KWD"), "amount") == ["1.250", "3.5"]
    assert field_of(sums("1,250;KWD", "3.5;KWD"), "amount") == ["1250", "3.5"]
    # A system that writes three decimals in every currency.
    assert field_of(sums("12.500;USD", "1299.000;USD"), "amount") == ["12.500", "1299.000"]


@pytest.mark.parametrize(
    "rows", [("1.299;USD", "12.50;USD"), ("1,250;KWD",), ("1.299;EUR", "1,50;EUR", "2.50;EUR")]
)
def test_a_sum_with_two_readings_is_asked_and_the_answer_counts(rows: tuple[str, ...]) -> None:
    first, *others = sums(*rows)
    assert isinstance(first, Rejection)
    assert "--option decimal=comma (12,50) or decimal=point (12.50)" in first.detail
    assert "column 'total' has" in first.detail
    assert all(isinstance(item, ReadEvent) for item in others)
    (comma, *_), (point, *_) = (
        field_of(sums(*rows, decimal=mark), "amount") for mark in ("comma", "point")
    )
    small, large = sorted((float(comma), float(point)))
    assert large == 1000 * small


def test_a_sum_that_contradicts_the_option_is_refused_alone() -> None:
    first, second = sums("12.50;EUR", "12,50;EUR", decimal="comma")
    assert isinstance(first, Rejection)
    assert "--option decimal=comma" in first.detail
    assert isinstance(second, ReadEvent)


def test_an_unknown_currency_is_asked() -> None:
    with pytest.raises(CellError, match="no other amount of the file decides it"):
        amount_value(read_amount("1.299", CellFormat()), "ABC", MarkEvidence())
    assert (
        str(amount_value(read_amount("1.299", CellFormat()), "ABC", None, DecimalMark.COMMA))
        == "1299"
    )


@pytest.mark.parametrize("cell", ["￥88", "88元"])
def test_a_symbol_of_several_currencies_is_read_by_column_header_or_region_else_asked(
    cell: str,
) -> None:
    assert "may be CNY" in question(sums(f"{cell};"))
    assert field_of(sums(f"{cell};", region="CN"), "currency") == ["CNY"]
    assert field_of(sums(f"{cell};", currency="CNY"), "currency") == ["CNY"]
    other = "TWD" if "元" in cell else "JPY"
    assert field_of(sums(f"{cell};{other}"), "currency") == [other]
    assert field_of(sums(f"{cell};", region=other[:2]), "currency") == [other]
    assert "the currency is USD" in question(sums(f"{cell};USD"))


def test_the_header_may_name_the_currency() -> None:
    for header in ("Total (TWD)", "Total TWD", "金额（新台币）"):
        (order,) = read("orders", f"order no,name,date,{header}\n1,Ann,2026-08-14,88元\n")
        assert isinstance(order, ReadEvent)
        assert (order.event.data["amount"], order.event.data["currency"]) == ("88", "TWD")
    # Another unit than the currency's own is no amount, nor is another sum than the total.
    for header in ("金额(万元)", "Total (tax)", "Total (k USD)", "TOTAL ALL", "total net"):
        (order,) = read("orders", f"order no,name,date,{header}\n1,Ann,2026-08-14,88\n")
        assert isinstance(order, ReadEvent)
        assert "amount" not in order.event.data
    # 元 in the header asks as in a cell.
    (asked,) = read("orders", "order no,name,date,金额(元)\n1,Ann,2026-08-14,88\n")
    assert isinstance(asked, Rejection)
    (order,) = read("orders", "order no,name,date,金额(元)\n1,Ann,2026-08-14,88\n", region="CN")
    assert isinstance(order, ReadEvent)
    assert order.event.data["currency"] == "CNY"
    assert "the column of the currency says USD" in question(sums("5 €;USD"))


# ---- dialects

ORDERS = "order_id,name,date,reason,note\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ORDERS + "1,Ann,2026-08-14\n2,Bob,2026-08-14,late\n", ["Ann", "Bob"]),
        ("Orders of May,,\n\nprinted 3 June\n" + ORDERS + "1,Ann,2026-08-14,,\n", ["Ann"]),
        ('order_id,"customer\nname",date\n1,Ann,2026-08-14\n', ["Ann"]),
        (ORDERS.replace("\n", "\r") + "1,Ann,2026-08-14\r2,Bob,2026-08-14\r", ["Ann", "Bob"]),
        (ORDERS + "1,A\0nn,2026-08-14,,\n", ["Ann"]),
        ("sep=;\n" + ORDERS.replace(",", ";") + "1;Ann;2026-08-14\n", ["Ann"]),
    ],
)
def test_files_as_people_have_them(text: str, names: list[str]) -> None:
    customers = field_of(read("orders", text), "customer")
    assert [customer["name"] for customer in customers] == names


def test_backslashes_escape_quotes_only_where_the_row_is_not_valid_otherwise() -> None:
    rows = (
        '1,Ann,2026-08-14,"says \\"no\\", twice",x',
        '2,Ann,2026-08-14,"C:\\tmp\\",x',
        '3,Ann,2026-08-14,"two \\"\nlines\\"",x',
        '4,Ann,2026-08-14,6" wide,x',
    )
    items = read("orders", ORDERS + "\n".join(rows))
    assert field_of(items, "reason") == [
        *('says "no", twice', "C:\\tmp\\", 'two "\nlines"', '6" wide'),
    ]
    assert field_of(items, "note") == ["x"] * 4


def test_a_bad_byte_refuses_its_row_alone() -> None:
    for encoding in ("utf-8", "gb18030"):
        rows = "".join(f"{n},王小姐,2026-08-14,快递太慢,\n" for n in range(20))
        data = (ORDERS + rows).encode(encoding) + b"20,A\xffn,2026-08-14,,\n21,Bob,2026-08-14,,\n"
        codes = field_of(read("orders", data), "order_id")
        assert codes == [*map(str, range(20)), RejectCode.CHARSET, "21"]


# ---- encodings


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["박지성", "이순신"], "cp949"),
        (["배송", "정우성"], "euc-kr"),
        (["Иван", "Ольга"], "cp1251"),
        (["山田太郎", "鈴木一郎"], "cp932"),
        (["林志玲", "黃小姐"], "big5"),
        (["Müller", "Größe"], "cp1252"),
        (["王芳", "李强"], "utf-16"),
    ],
)
def test_other_encodings_are_asked_and_read_as_named(names: list[str], encoding: str) -> None:
    rows = "".join(f"{n},{name},2026-08-14,,\n" for n, name in enumerate(names))
    data = (ORDERS + rows).encode(encoding)
    (refused,) = read("orders", data)
    assert isinstance(refused, Rejection)
    assert refused.code is RejectCode.CHARSET
    assert "--option encoding=" in refused.detail
    assert refused.raw == data
    items = read("orders", data, encoding=encoding)
    assert [customer["name"] for customer in field_of(items, "customer")] == names


def test_a_refused_row_of_utf_16_is_a_file_of_utf_16() -> None:
    data = (ORDERS + "1,Ann,soon,,\n").encode("utf-16")
    (refused,) = read("orders", data, encoding="utf-16")
    assert refused.raw == data


def test_chinese_names_are_proved_and_korean_ones_are_not() -> None:
    assert all(is_gb18030(name.encode("gbk")) for name in ("王小姐", "张伟 李娜", "迟迟不发货"))
    korean = ("홍길동", "김영희", "배송 지연", "정우성", "환불 요청", "주문 결제 완료")
    assert not any(is_gb18030(name.encode("cp949")) for name in korean)


# ---- dates


@pytest.mark.parametrize(
    "text",
    [
        "14 Aug 2026 3:20 PM GMT+8",
        "14 August 2026, 15:20 +0800",
        "Aug 14, 2026 3:20 PM",
        "August 14th, 2026 at 3:20 p.m.",
        "Fri, 14 Aug 2026 07:20:00 GMT",
        "Fri Aug 14 2026 15:20:00 GMT+0800 (China Standard Time)",
        "Fri Aug 14 15:20:00 2026",
        "14. August 2026 15:20",
        "14 de agosto de 2026 15:20",
        "14 août 2026 15:20",
        "14 августа 2026 г. 15:20",
        "14 sierpnia 2026 15:20",
        "2026-Aug-14 15:20",
        "14-Aug-2026 15:20",
        "2026. 8. 14. 오후 3:20",
        "2026년 8월 14일 오후 3:20",
        "2026年8月14日(金) 15:20",
        "2026年8月14日 星期五 下午3:20",
        "2026-08-14 15:20 北京时间",
        "2026-08-14T15:20:00+08",
        "2026-08-14 16:20 JST",
        "2026-08-14T09:20:00[Europe/Berlin]",
        "2026-08-14 03:20 America/New_York",
        "2026-08-14 12:50 UTC+5:30",
    ],
)
def test_dates_of_many_systems_and_languages(text: str) -> None:
    assert read_time(text, CellFormat(zone=SHANGHAI)) == datetime(2026, 8, 14, 7, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-08-14 15:20 CST", "time zone 'CST' is unknown, or has several meanings"),
        ("2026-08-14 3:20 PM IST", "time zone 'IST'"),
        ("2026-08-14 15:20 Mars/Olympus", "time zone 'Mars/Olympus'"),
        ("2026-08-14 15:20 +25:00", "not an offset"),
        ("14-Aug-26 15:20", "date_order=dmy"),
        ("14 listopad 2026", "not a date"),
        ("31 Feb 2026", "no such day"),
    ],
)
def test_a_date_that_is_not_certain_is_refused(text: str, words: str) -> None:
    with pytest.raises(CellError, match=re.escape(words)):
        read_time(text, CellFormat(zone=SHANGHAI))


# ---- ratings


@pytest.mark.parametrize(
    ("header", "scale"),
    [
        ("NPS", (0, 10)),
        ("推荐度", (0, 10)),
        ("Score (0-10)", (0, 10)),
        ("CES", (1, 7)),
        ("stars", (1, 5)),
        ("星级", (1, 5)),
        ("Rating out of 5", (1, 5)),
        ("0-10", (0, 10)),
        ("How likely are you to recommend us (0-10)?", (0, 10)),
    ],
)
def test_the_scale_follows_from_the_header(header: str, scale: tuple[int, int]) -> None:
    low, high = scale
    rows = "".join(f"{n},Ann,2026-08-14,{n}\n" for n in (low, high, high + 1))
    items = read("feedback", f"id,name,date,{header}\n{rows}")
    assert field_of(items[:2], "scale_min") == [low, low]
    assert field_of(items[:2], "scale_max") == [high, high]
    assert isinstance(items[2], Rejection)
    assert f"outside its scale {low} to {high}" in items[2].detail


def test_a_scale_that_the_header_does_not_name_is_asked_by_all_ratings() -> None:
    text = "id,name,date,score\n1,Ann,2026-08-14,4\n2,Ann,2026-08-14,9\n3,Ann,2026-08-14,9/10\n"
    first, second, third = read("feedback", text)
    assert isinstance(first, Rejection)
    assert "rating 9 in line 3" in first.detail
    assert "--option scale=0-10" in first.detail
    assert isinstance(second, Rejection)
    assert isinstance(third, ReadEvent)
    assert field_of(read("feedback", text, scale="0-10"), "rating") == [4, 9, 9]


@pytest.mark.parametrize("value", ["inf", "NaN", "1e999"])
def test_ratings_are_finite(value: str) -> None:
    (item,) = read("feedback", f"id,name,date,rating\n1,Ann,2026-08-14,{value}\n")
    assert isinstance(item, Rejection)
    assert "column 'rating'" in item.detail


# ---- states and shops


def test_an_unknown_state_is_kept_as_its_word() -> None:
    (order,) = read("orders", "order_id,name,date,status\n1,Ann,2026-08-14,dancing\n")
    assert isinstance(order, ReadEvent)
    assert (order.event.type, order.event.data["status"]) == ("crm.order.other", "dancing")
    (complaint,) = read("complaints", "complaint_id,name,date,状态\n1,Ann,2026-08-14,神秘\n")
    assert isinstance(complaint, ReadEvent)
    assert (complaint.event.type, complaint.event.data["status"]) == ("crm.complaint.other", "神秘")


def test_two_unknown_states_of_one_day_are_two_events() -> None:
    text = "order_id,name,date,status\n1,Ann,2026-08-14,packed\n1,Ann,2026-08-14,labelled\n"
    ids = [item.event.id for item in read("orders", text) if isinstance(item, ReadEvent)]
    assert len(set(ids)) == 2


def test_shopifys_rows_of_one_order_are_one_order_with_items() -> None:
    text = (
        "Name,Email,Financial Status,Currency,Total,Created at,Lineitem quantity,Lineitem name,"
        "Lineitem price,Lineitem sku,Billing Name,Refunded Amount,Id\n"
        "#7,a@example.com,paid,USD,34.98,2026-05-01 09:58:12 +0800,2,Cup,9.99,C-1,Ann Lee,0.00,9\n"
        "#7,,,,,,1,Pot,10.00,,,,\n"
        "#8,b@example.com,partially_refunded,USD,20.00,2026-05-02 09:58:12 +0800,1,Pot,20.00,P-1,"
        "Bo Li,5.00,10\n"
    )
    first, second = read("orders", text)
    assert isinstance(first, ReadEvent)
    assert isinstance(second, ReadEvent)
    assert first.event.data["items"] == [
        {"quantity": "2", "name": "Cup", "price": "9.99", "sku": "C-1"},
        {"quantity": "1", "name": "Pot", "price": "10.00", "sku": "Pot"},
    ]
    assert (first.event.data["order_id"], first.event.data["amount"]) == ("#7", "34.98")
    assert first.event.data["customer"] == {"email": "a@example.com", "name": "Ann Lee"}
    assert (second.event.type, second.event.data["amount"]) == ("crm.order.refunded", "5.00")
    assert first.raw.decode() == "".join(text.splitlines(keepends=True)[:3])


def test_rows_that_repeat_the_order_are_one_order_with_items() -> None:
    text = (
        "订单号,姓名,时间,货号,数量\n1,王小姐,2026-08-14,A,1\n1,王小姐,2026-08-14,B,2\n"
        "2,王小姐,2026-08-14,A,1\n"
    )
    items = read("orders", text)
    assert [[item["sku"] for item in listed] for listed in field_of(items, "items")] == [
        ["A", "B"],
        ["A"],
    ]


def test_taobaos_and_woocommerces_headers_are_read_without_renaming() -> None:
    taobao = (
        "订单编号,买家会员名,买家应付货款,买家实际支付金额,订单状态,收货人姓名,联系手机,订单创建时间\n"
        '"=""2026""",tb_1,99.00,89.00,买家已付款，等待卖家发货,王小姐,\'13800000090,'
        "2026-08-14 10:00:00\n"
    )
    (order,) = read("orders", taobao.encode("gbk"), currency="CNY")
    assert isinstance(order, ReadEvent)
    assert (order.event.type, order.event.data["amount"]) == ("crm.order.paid", "89.00")
    assert order.event.data["customer"] == {
        "handle": "tb_1",
        "name": "王小姐",
        "phone": "13800000090",
    }
    woo = (
        "Order Number,Order Status,Order Date,First Name (Billing),Last Name (Billing),"
        "Email (Billing),Order Total Amount,Currency\n"
        "7,wc-on-hold,2026-08-14 10:00,Ann,Lee,a@example.com,34.98,USD\n"
    )
    (order,) = read("orders", woo)
    assert isinstance(order, ReadEvent)
    assert order.event.data["customer"] == {"email": "a@example.com", "name": "Ann Lee"}
    assert order.event.type == "crm.order.created"


def test_jds_header_is_read_and_a_paid_order_has_what_is_paid() -> None:
    text = (
        "订单号,商品ID,商品名称,订购数量,下单时间,京东价,订单金额,应付金额,订单状态,下单帐号,客户姓名\n"
        "7,100012,台灯,1,2026-08-14 10:00:00,99.00,99.00,89.00,等待出库,jd_1,王小姐\n"
        "8,100012,台灯,1,2026-08-14 10:00:00,99.00,99.00,89.00,等待付款,jd_1,王小姐\n"
    )
    items = read("orders", text, currency="CNY")
    assert field_of(items, "amount") == ["89.00", "99.00"]
    (listed, _) = field_of(items, "items")
    assert listed == [{"sku": "100012", "name": "台灯", "quantity": "1", "price": "99.00"}]


@pytest.mark.parametrize(
    "header",
    [
        "First Name,Last Name,E-mail 1 - Value",
        "First Name,Last Name,E-mail Address",
        "First Name,Last Name,Email",
    ],
)
def test_contacts_of_google_outlook_and_hubspot_are_read(header: str) -> None:
    items = read("customers", f"{header}\nAnn,Lee,a@example.com\n小芳,王,b@example.com\n")
    assert field_of(items, "customer") == [
        {"email": "a@example.com", "name": "Ann Lee"},
        {"email": "b@example.com", "name": "王小芳"},
    ]

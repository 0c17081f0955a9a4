"""The demo's files are of their formats, name nobody real, and hold as much as samples/README.md says."""

from __future__ import annotations

import csv
import email
import email.header
import io
import json
import mailbox
import re
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
MBOX = SAMPLES / "mail" / "shop.mbox"

# RFC 2606 reserves these; whatever else stands behind an @ or :// could be somebody's.
RESERVED = re.compile(r"(?:[\w-]+\.)*example\.(?:com|net|org)")
AFTER_AT = re.compile(r"(?:@|://)((?:[\w-]+\.)+[a-z]{2,})", re.IGNORECASE)
# A country code or a Chinese mobile's first digits, then a number's worth of digits and separators.
NUMBER = re.compile(
    r"(?<![\w.-])(?:\+|00)?(?:86[ -]?)?1[3-9]\d(?:[ -]?\d){8}(?![\w.])|\+\d(?:[ -]?\d){7,13}|\(\d{3}\) \d{3}-\d{4}"
)
FICTITIOUS = re.compile(r"(?:86)?138000000\d\d|1?41555501\d\d|18005550100|44207946\d{4}")


def mails() -> Iterator[tuple[str, Message]]:
    for index, message in enumerate(mailbox.mbox(MBOX, create=False)):
        yield f"{MBOX.name}#{index}", message
    for path in sorted((SAMPLES / "mail" / "inbox").iterdir()):
        yield path.name, email.message_from_bytes(path.read_bytes())


def texts_of(message: Message) -> Iterator[str]:
    for part in message.walk():
        payload = part.get_payload(decode=True)
        if part.get_content_maintype() == "text" and isinstance(payload, bytes):
            charset = (part.get_content_charset() or "gb18030").replace("gb2312", "gb18030").replace("gbk", "gb18030")
            yield payload.decode(charset)


def all_texts() -> Iterator[tuple[str, str]]:
    for path in sorted(SAMPLES.rglob("*")):
        if path.suffix in {".txt", ".csv", ".jsonl", ".toml"}:
            yield str(path.relative_to(SAMPLES)), path.read_text("utf-8-sig")
    for name, message in mails():
        yield name, "\n".join([*(str(value) for value in message.values()), *texts_of(message)])


def rows_of(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((SAMPLES / "business" / name).read_text("utf-8-sig"))))


def test_every_mail_reads_in_the_charset_it_names() -> None:
    found = list(mails())
    assert len(found) == 88
    for name, message in found:
        assert message["From"], name
        for text in texts_of(message):
            assert "\ufffd" not in text, name


def test_the_charsets_that_mails_of_the_world_have_are_all_there() -> None:
    charsets = {part.get_content_charset() for _, message in mails() for part in message.walk()}
    encodings = {part["Content-Transfer-Encoding"] for _, message in mails() for part in message.walk()}
    assert {"utf-8", "gb2312", "gbk", "gb18030", "big5", "iso-8859-1", "us-ascii"} <= charsets
    assert {"7bit", "8bit", "base64", "quoted-printable"} <= encodings


def test_git_keeps_the_bytes_of_mails_and_exports() -> None:
    rules = (SAMPLES / ".gitattributes").read_text().splitlines()
    for pattern in ("*.mbox", "*.eml", "mail/inbox/*", "mail/broken/*", "chat/*", "*.csv", "*.jsonl"):
        assert f"{pattern} -text" in rules
    assert b"\r\n" in (SAMPLES / "mail" / "inbox" / "02-where-is-my-parcel.eml").read_bytes()
    assert b"\r\n" not in MBOX.read_bytes()


def test_nobody_real_is_named() -> None:
    for name, text in all_texts():
        for host in AFTER_AT.findall(text):
            assert RESERVED.fullmatch(host.casefold()), f"{name}: {host}"
        for number in NUMBER.findall(text):
            digits = re.sub(r"\D", "", number).removeprefix("00")
            assert FICTITIOUS.fullmatch(digits), f"{name}: {number}"


def test_one_mail_of_the_folder_is_a_mail_of_the_mbox_byte_for_byte() -> None:
    twin = (SAMPLES / "mail" / "inbox" / "01-price-kettle.eml").read_bytes()
    assert b"\n" + twin in MBOX.read_bytes()


def test_one_message_id_stands_over_two_texts() -> None:
    other = email.message_from_bytes((SAMPLES / "mail" / "inbox" / "02-where-is-my-parcel.eml").read_bytes())
    same = [message for _, message in mails() if message["Message-ID"] == other["Message-ID"]]
    assert len({message.as_bytes() for message in same}) == 2


def test_replies_name_the_mail_they_answer() -> None:
    known = {message["Message-ID"] for _, message in mails()}
    answered = [message["In-Reply-To"] for _, message in mails() if message["In-Reply-To"]]
    assert len(answered) > 30
    assert set(answered) <= known


def test_orders_follow_their_creation_and_refunds_stay_within_payments() -> None:
    rows = [row for row in rows_of("orders.csv") if row["amount"].replace(".", "").isdecimal() or not row["amount"]]
    for order in {row["order_id"] for row in rows}:
        mine = [row for row in rows if row["order_id"] == order]
        assert mine[0]["action"] == "created", order
        paid, back = (
            sum(float(row["amount"]) for row in mine if row["action"] == action) for action in ("paid", "refunded")
        )
        assert back <= paid, order


def test_two_complaints_are_still_open() -> None:
    last: dict[str, str] = {}
    for row in rows_of("complaints.csv"):
        last[row["投诉编号"]] = row["动作"]
    assert len(last) == 10
    assert sorted(number for number, stage in last.items() if stage != "closed") == ["C-2610-09", "C-2610-10"]


def test_what_is_written_about_an_order_is_about_one_that_exists() -> None:
    orders = {row["order_id"] for row in rows_of("orders.csv")}
    for name, text in all_texts():
        if not name.endswith("orders.csv"):
            assert set(re.findall(r"HM26\d{4}-\d\d", text)) <= orders, name


@pytest.mark.parametrize("contact", ["lin.xiaojie@example.com", "13800000021", "林小姐", "lin_xj", "C1021"])
def test_the_first_customer_is_found_in_the_events_by_each_of_her_contact_points(contact: str) -> None:
    lines = (SAMPLES / "events" / "chat.jsonl").read_text("utf-8").splitlines()
    assert any(contact in line for line in lines)


def test_the_five_smallest_events_stand_first() -> None:
    lines = (SAMPLES / "events" / "chat.jsonl").read_text("utf-8").splitlines()
    types = [json.loads(line)["type"] for line in lines[:5]]
    assert types == [
        "comm.message.received",
        "comm.call.completed",
        "crm.order.paid",
        "crm.feedback.given",
        "crm.complaint.opened",
    ]

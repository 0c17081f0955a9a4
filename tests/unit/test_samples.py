"""The demo's files are of their formats, name nobody real, and hold as much as samples/README.md
says.
"""

from __future__ import annotations

import csv
import email
import io
import json
import mailbox
import re
from collections import defaultdict
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from uuid import UUID

import pytest

from pipeline.envelope import validate_data
from pipeline.identity.contacts import contact_points
from pipeline.ingest.port import ConnectorItem, IngestOptions, ReadEvent
from pipeline.ingest.registry import CONNECTORS
from pipeline.outcomes import Reject
from pipeline.settings import CONFIG_VARIABLE, Settings, load_settings
from pipeline.workspace import Workspace
from schemas.business import BusinessData
from schemas.communications import CallData, Communication, MessageData
from schemas.envelope import Event, record_id_of
from schemas.types import Contract, Party

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
MBOX = SAMPLES / "mail" / "shop.mbox"

# RFC 2606 reserves these; whatever else stands behind an @ or :// could be somebody's.
RESERVED = re.compile(r"(?:[\w-]+\.)*example\.(?:com|net|org)")
AFTER_AT = re.compile(r"(?:@|://)((?:[\w-]+\.)+[a-z]{2,})", re.IGNORECASE)
# A country code or a Chinese mobile's first digits, then a number's worth of digits and separators.
NUMBER = re.compile(
    r"(?<![\w.-])(?:\+|00)?(?:86[ -]?)?1[3-9]\d(?:[ -]?\d){8}(?![\w.])|\+\d(?:["
    r" -]?\d){7,13}|\(\d{3}\) \d{3}-\d{4}"
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
            charset = (
                (part.get_content_charset() or "gb18030")
                .replace("gb2312", "gb18030")
                .replace("gbk", "gb18030")
            )
            yield payload.decode(charset)


def read_text(path: Path) -> str:
    raw = path.read_bytes()
    return raw.decode("gb18030" if path.name == "complaints.csv" else "utf-8")


def all_texts() -> Iterator[tuple[str, str]]:
    for path in sorted(SAMPLES.rglob("*")):
        if path.suffix in {".txt", ".csv", ".jsonl", ".toml"}:
            yield str(path.relative_to(SAMPLES)), read_text(path)
    for name, message in mails():
        yield name, "\n".join([*(str(value) for value in message.values()), *texts_of(message)])


def rows_of(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(read_text(SAMPLES / "business" / name))))


def test_every_mail_is_valid_in_its_declared_charset() -> None:
    found = list(mails())
    assert len(found) == 88
    for name, message in found:
        assert message["From"], name
        for text in texts_of(message):
            assert "\ufffd" not in text, name


def test_samples_cover_common_charsets() -> None:
    charsets = {part.get_content_charset() for _, message in mails() for part in message.walk()}
    encodings = {
        part["Content-Transfer-Encoding"] for _, message in mails() for part in message.walk()
    }
    assert {"utf-8", "gb2312", "gbk", "gb18030", "big5", "iso-8859-1", "us-ascii"} <= charsets
    assert {"7bit", "8bit", "base64", "quoted-printable"} <= encodings


def test_git_keeps_the_bytes_of_mails_and_exports() -> None:
    rules = (SAMPLES / ".gitattributes").read_text().splitlines()
    for pattern in (
        "*.mbox",
        "*.eml",
        "mail/inbox/*",
        "mail/broken/*",
        "chat/*",
        "*.csv",
        "*.jsonl",
    ):
        assert f"{pattern} -text" in rules
    assert b"\r\n" in (SAMPLES / "mail" / "inbox" / "02-where-is-my-parcel.eml").read_bytes()
    assert b"\r\n" not in MBOX.read_bytes()


def test_samples_name_no_real_person() -> None:
    for name, text in all_texts():
        for host in AFTER_AT.findall(text):
            assert RESERVED.fullmatch(host.casefold()), f"{name}: {host}"
        for number in NUMBER.findall(text):
            digits = re.sub(r"\D", "", number).removeprefix("00")
            assert FICTITIOUS.fullmatch(digits), f"{name}: {number}"


def test_a_mail_of_the_folder_is_also_in_the_mbox() -> None:
    twin = (SAMPLES / "mail" / "inbox" / "01-price-kettle.eml").read_bytes()
    assert b"\n" + twin in MBOX.read_bytes()


def test_two_mails_share_a_message_id() -> None:
    other = email.message_from_bytes(
        (SAMPLES / "mail" / "inbox" / "02-where-is-my-parcel.eml").read_bytes()
    )
    same = [message for _, message in mails() if message["Message-ID"] == other["Message-ID"]]
    assert len({message.as_bytes() for message in same}) == 2


def test_replies_reference_the_answered_mail() -> None:
    known = {message["Message-ID"] for _, message in mails()}
    answered = [message["In-Reply-To"] for _, message in mails() if message["In-Reply-To"]]
    assert len(answered) > 30
    assert set(answered) <= known


def test_orders_follow_their_creation_and_refunds_stay_within_payments() -> None:
    rows = [
        row
        for row in rows_of("orders.csv")
        if row["amount"].replace(".", "").isdecimal() or not row["amount"]
    ]
    for order in {row["order_id"] for row in rows}:
        mine = [row for row in rows if row["order_id"] == order]
        assert mine[0]["action"] == "created", order
        paid, back = (
            sum(float(row["amount"]) for row in mine if row["action"] == action)
            for action in ("paid", "refunded")
        )
        assert back <= paid, order


def test_two_complaints_are_still_open() -> None:
    last: dict[str, str] = {}
    for row in rows_of("complaints.csv"):
        last[row["投诉编号"]] = row["状态"]
    assert len(last) == 10
    assert sorted(number for number, stage in last.items() if stage != "已解决") == [
        "C-2610-09",
        "C-2610-10",
    ]


def test_referenced_orders_exist() -> None:
    orders = {row["order_id"] for row in rows_of("orders.csv")}
    for name, text in all_texts():
        if not name.endswith("orders.csv"):
            assert set(re.findall(r"HM26\d{4}-\d\d", text)) <= orders, name


def test_the_five_smallest_events_come_first() -> None:
    lines = (SAMPLES / "events" / "chat.jsonl").read_text("utf-8").splitlines()
    types = [json.loads(line)["type"] for line in lines[:5]]
    assert types == [
        "comm.message.received",
        "comm.call.completed",
        "crm.order.paid",
        "crm.feedback.given",
        "crm.complaint.opened",
    ]


# ---- through the connectors

ROW = re.compile(r"^\| (\S.*?) \| ([\w-]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
EXPECTED = [
    (name, connector, *map(int, counts))
    for name, connector, *counts in ROW.findall((SAMPLES / "README.md").read_text("utf-8"))
]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(CONFIG_VARIABLE, str(SAMPLES / "switchboard.toml"))
    return load_settings()


def read(name: str, connector: str, settings: Settings) -> Iterator[ConnectorItem]:
    options = IngestOptions(zone=settings.zone, own=Workspace(settings).own_side)
    for unit in CONNECTORS[connector].units([SAMPLES / name]):
        yield from CONNECTORS[connector].read(unit, options)


def accepted(settings: Settings) -> Iterator[tuple[Event, Contract]]:
    for name, connector, *_ in EXPECTED:
        for item in read(name, connector, settings):
            if isinstance(item, ReadEvent) and not isinstance(
                data := validate_data(item.event), Reject
            ):
                yield item.event, data


def test_the_readme_counts_every_file() -> None:
    listed = {
        path
        for name, *_ in EXPECTED
        for path in [SAMPLES / name, *(SAMPLES / name).glob("*")]
        if path.is_file()
    }
    about = {SAMPLES / name for name in ("README.md", "switchboard.toml", ".gitattributes")}
    assert listed == {path for path in SAMPLES.rglob("*") if path.is_file()} - about


def test_files_yield_the_counts_in_the_readme(settings: Settings) -> None:
    known: set[UUID] = set()
    counted = []
    for name, connector, *_ in EXPECTED:
        items = list(read(name, connector, settings))
        good = [
            item.event
            for item in items
            if isinstance(item, ReadEvent) and not isinstance(validate_data(item.event), Reject)
        ]
        ids = {record_id_of(event.tenant, event.source, event.id) for event in good}
        new = len(ids - known)
        counted.append((name, connector, len(items), new, len(good) - new, len(items) - len(good)))
        known |= ids
    assert counted == EXPECTED


def test_events_are_in_three_months_except_a_wrong_clock(settings: Settings) -> None:
    dated = [event for event, _ in accepted(settings) if event.time is not None]
    outside = [
        event.id
        for event in dated
        if event.time and not "2026-07-31T16" < event.time.isoformat() < "2026-10-31T16"
    ]
    assert len(dated) > 200
    assert outside == ["skew1"]


def parties_of(data: Contract) -> tuple[Party, ...]:
    if isinstance(data, BusinessData):
        return (data.customer,)
    return (data.from_, *data.to) if isinstance(data, Communication) else ()


def people(settings: Settings) -> list[set[str]]:
    """The contact points that events show together, joined as far as they reach."""
    joined: dict[str, set[str]] = defaultdict(set)
    own_side = Workspace(settings).own_side
    for event, data in accepted(settings):
        for party in parties_of(data):
            if own_side.owns(party):
                continue
            points = {str(point) for point in contact_points(party, event.source, settings.region)}
            person = points.union(*(joined[point] for point in points))
            joined.update(dict.fromkeys(person, person))
    return list({id(person): person for person in joined.values()}.values())


def test_links_join_the_first_customers_contact_points(settings: Settings) -> None:
    (lin,) = (person for person in people(settings) if "email:lin.xiaojie@example.com" in person)
    assert lin == {
        "id:C1021",
        "email:lin.xiaojie@example.com",
        "phone:+8613800000021",
        "handle:shop/web/lin_xj",
        "handle:whatsapp/林小姐",
    }


def test_no_two_customers_are_merged(settings: Settings) -> None:
    for person in people(settings):
        assert sum(point.startswith("id:") for point in person) <= 1, person


def test_the_first_customers_history_covers_all_channels(settings: Settings) -> None:
    hers = {"C1021", "lin.xiaojie@example.com", "+8613800000021", "13800000021", "林小姐", "lin_xj"}
    found = set()
    for event, data in accepted(settings):
        for party in parties_of(data):
            if hers & {party.id, party.email, party.phone, party.handle}:
                found.add(
                    event.type.rsplit(".", 1)[0] if isinstance(data, BusinessData) else type(data)
                )
    assert {
        CallData,
        MessageData,
        "crm.order",
        "crm.feedback",
        "crm.complaint",
        "crm.customer",
    } <= found

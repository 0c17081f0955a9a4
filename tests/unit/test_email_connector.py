"""What the email connector makes of files, Maildirs and mboxes: which mails, which ids, which
refusals.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import itertools
import mailbox
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.email import email_connector as connector_module
from pipeline.ingest.email.email_connector import EmailConnector
from pipeline.ingest.email.mail_headers import RawMail, looks_like_mail
from pipeline.ingest.email.mbox import is_mbox, split_mbox, unwrap_message
from pipeline.ingest.port import ConnectorItem, IngestOptions, InputUnit, ReadEvent, Rejection
from pipeline.mail.mime import parse_mail
from schemas.dead_letters import RejectCode
from schemas.registry import contract_of

MAIL = (
    b"Message-ID: <1@example.com>\nFrom: An <an@example.com>\nTo: shop@example.net\nDate: Mon, 2"
    b" Nov 2026 09:00:01 +0800\nSubject: where is my\n order\n\nHello,\nit is late.\n"
)
OTHER = MAIL.replace(b"<1@", b"<2@").replace(b"Hello", "你好".encode())
SEPARATOR = b"From an@example.com Mon Nov  2 09:00:05 2026\n"


def items_of(
    *paths: Path, own: tuple[str, ...] = (), source: str | None = None
) -> list[ConnectorItem]:
    connector = EmailConnector()
    options = IngestOptions(own=OwnSide(own), source=source)
    return [item for unit in connector.units(paths) for item in connector.read(unit, options)]


def read(data: bytes, own: tuple[str, ...] = ()) -> list[ConnectorItem]:
    unit = InputUnit("/mail/unit", lambda: io.BytesIO(data))
    return list(EmailConnector().read(unit, IngestOptions(own=OwnSide(own))))


def found(data: bytes, own: tuple[str, ...] = ()) -> ReadEvent:
    [item] = read(data, own)
    assert isinstance(item, ReadEvent)
    return item


def refused(data: bytes) -> Rejection:
    [item] = read(data)
    assert isinstance(item, Rejection)
    return item


def mime_of(item: ConnectorItem) -> bytes:
    assert isinstance(item, ReadEvent)
    return base64.b64decode(item.event.data["mime"])


# ---- one mail


def test_a_mail_becomes_an_event_that_carries_its_bytes() -> None:
    item = found(MAIL)
    event = item.event
    assert (event.type, event.source, event.tenant, event.locator) == (
        "comm.message.received",
        "email",
        "default",
        "/mail/unit",
    )
    assert event.data.keys() == {"channel", "mime"}
    assert event.time is None
    assert mime_of(item) == item.raw == MAIL
    contract = contract_of(event.type, event.data)
    assert contract is not None
    assert getattr(contract.model_validate(event.data), "mime") == MAIL  # noqa: B009


def test_source_and_tenant_are_those_of_the_options(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(MAIL)
    [item] = items_of(tmp_path, source="support@shop")
    assert isinstance(item, ReadEvent)
    assert item.event.source == "support@shop"


@pytest.mark.parametrize(
    "opening",
    [
        SEPARATOR,
        b"From someone\r\n",
        b">From a b c\n",
        b"\n\n",
        b"\xef\xbb\xbf",
        b"\r\n" + SEPARATOR,
    ],
)
def test_the_preamble_is_not_part_of_the_mail(opening: bytes) -> None:
    item = found(opening + MAIL)
    assert mime_of(item) == MAIL
    assert item.raw == opening + MAIL
    assert item.event.id == found(MAIL).event.id


def test_a_from_header_with_a_blank_is_not_a_separator() -> None:
    data = b"From : An <an@example.com>\nSubject: old style\n\nbody\n"
    assert mime_of(found(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"Dear all,\nplease note: this is no mail.\n",
        b"\x89PNG\r\n\x1a\n",
        b"a,b\n1,2\n",
        b"key: value\nother: 1\n",
        b'{"From": "x"}',
        "时间,内容\n1,2\n".encode(),
        SEPARATOR,
        b"\0" * 5_000,
    ],
)
def test_bytes_that_are_not_a_mail_are_rejected_and_kept(data: bytes) -> None:
    item = refused(data)
    assert item.code is RejectCode.UNPARSABLE
    assert item.raw == data
    assert "/mail/unit" in item.detail
    assert "header" in item.detail


@pytest.mark.parametrize(
    "head",
    [
        b"From: a@b.c",
        b"SUBJECT:x",
        b"received : from x",
        b"X-Mine: 1\nMessage-Id: <a>",
        b"X-A: 1\r\nTo: b@c.d\r\n",
    ],
)
def test_any_known_header_field_makes_a_mail(head: bytes) -> None:
    assert looks_like_mail(head)
    assert looks_like_mail(head + b"\n\nbody")


def test_an_oversize_mail_is_rejected_with_its_first_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_module, "MAX_ITEM_BYTES", 100_000)
    monkeypatch.setattr(connector_module, "_OVERSIZE_HEAD_BYTES", 500)
    fits, large = MAIL.ljust(100_000, b"x"), MAIL.ljust(100_001, b"x")
    assert mime_of(found(fits)) == fits
    item = refused(large)
    assert item.code is RejectCode.OVERSIZE
    assert item.raw == large[:500]
    assert "100001" in item.detail
    assert hashlib.sha256(large).hexdigest() in item.detail
    before, middle, after = read(
        SEPARATOR + MAIL + b"\n" + SEPARATOR + large + b"\n\n" + SEPARATOR + OTHER
    )
    assert isinstance(before, ReadEvent)
    assert isinstance(middle, Rejection)
    assert middle.locator == "/mail/unit#1"
    assert mime_of(after) == OTHER


# ---- identity


@pytest.mark.parametrize(
    "same",
    [
        MAIL.replace(b"\n", b"\r\n"),
        MAIL.replace(b"\n", b"\r"),
        b"Received: from a by b; Tue\n\tand so on\nX-Spam: no\n" + MAIL,
        MAIL.replace(b"Subject: where is my\n order", b"Subject: where\n is my order"),
        MAIL.replace(b"Message-ID", b"Message-Id"),
        SEPARATOR + MAIL + b"\n",
        MAIL + b"\n\n",
        MAIL.rstrip(b"\n"),
        b"Status: RO\n" + MAIL,
    ],
)
def test_what_servers_change_on_the_way_does_not_change_the_id(same: bytes) -> None:
    assert found(same).event.id == found(MAIL).event.id


@pytest.mark.parametrize(
    "other",
    [
        MAIL.replace(b"<1@", b"<3@"),
        MAIL.replace(b"it is late", b"it is lost"),
        MAIL.replace(b"An <an@", b"Bo <bo@"),
        MAIL.replace(b"where is", b"where was"),
        MAIL.replace(b"09:00:01", b"09:00:02"),
    ],
)
def test_another_mail_has_another_id_even_with_the_same_message_id(other: bytes) -> None:
    assert found(other).event.id != found(MAIL).event.id


def test_the_id_begins_with_the_message_id() -> None:
    assert found(MAIL).event.id.startswith("1@example.com#")
    assert found(MAIL.replace(b"Message-ID: <1@example.com>\n", b"")).event.id.startswith(
        "no-message-id#"
    )
    long = found(MAIL.replace(b"1@example.com", b"x\xff\x01" * 2_000)).event.id
    assert len(long) <= 512
    assert long.isprintable()


def test_mails_without_readable_headers_have_different_ids() -> None:
    one, other = (
        f"From: a@example.com\nSubject: {subject}\n\nbody\n".encode("utf-16") for subject in "12"
    )
    assert found(one).event.id != found(other).event.id
    assert mime_of(found(one)) == one


def test_quoted_from_lines_do_not_change_the_id() -> None:
    bodies = [MAIL + quote + b"From here on it is quoted\n" for quote in (b"", b">", b">>")]
    assert len({RawMail(body).event_id for body in bodies}) == 1


def test_the_same_mail_in_file_mbox_maildir_and_archive_is_one_event(tmp_path: Path) -> None:
    crlf = MAIL.replace(b"\n", b"\r\n") + b"From the shop.\r\n"
    (tmp_path / "a.eml").write_bytes(crlf)
    box = mailbox.mbox(tmp_path / "b")
    box.add(crlf)
    box.close()
    folder = mailbox.Maildir(tmp_path / "c")
    folder.add(mailbox.MaildirMessage(crlf))
    with tarfile.open(tmp_path / "d.tgz", "w:gz") as tar:
        tar.add(tmp_path / "a.eml", "mail/1")
    items = items_of(tmp_path)
    assert len(items) == 4
    ids = {item.event.id for item in items if isinstance(item, ReadEvent)}
    assert ids == {found(crlf).event.id}


# ---- mails without a readable Date


@pytest.mark.parametrize("date", [b"Date: soon\n", b""])
def test_without_a_time_the_mbox_and_then_the_file_say_when_it_arrived(
    tmp_path: Path, date: bytes
) -> None:
    mail = b"From: an@example.com\nSubject: hi\n" + date + b"\nhello\n"
    assert found(SEPARATOR + mail).event.data["received_at"] == "2026-11-02T09:00:05+00:00"
    assert "received_at" not in found(mail).event.data
    assert "received_at" not in found(SEPARATOR + MAIL).event.data
    received = b"Received: by x; Mon, 2 Nov 2026 10:00:00 +0000\n"
    assert "received_at" not in found(SEPARATOR + received + mail).event.data
    path = tmp_path / "a.eml"
    path.write_bytes(mail)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    [item] = items_of(path)
    assert isinstance(item, ReadEvent)
    assert item.event.data["received_at"] == "2023-11-14T22:13:20+00:00"


# ---- mbox

SEPARATORS = [
    b"From an@example.com Mon Nov  2 09:00:05 2026",
    b"From an@example.com  Mon Nov  2 09:00:05 2026",
    b"From - Mon Nov 02 09:00:05 2026",
    b"From MAILER-DAEMON Mon Nov 2 09:00 2026",
    b'From "An Li"@example.com Mon Nov  2 09:00:05 2026',
    b"From an at example.com  Mon Nov  2 09:00:05 2026",
    b"From 1234567890@xxx Mon Nov 02 09:00:05 +0000 2026",
    b"From an@example.com Mon Nov  2 09:00:05 2026 +0800",
    b"From an@example.com Mon Nov  2 09:00:05 CST 2026",
    b"From an@example.com Mon, 2 Nov 2026 09:00:05 +0800",
    b"From an Mon Nov  2 09:00:05 2026 remote from host",
    b"From an@example.com 2026-11-02T09:00:05",
    b"From Mon Nov  2 09:00:05 2026",
    b"From ",
    b"From - ",
    b"From an@example.com",
    b"From ???@???",
    b"From an at example.com",
]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_separators_of_all_programs(separator: bytes, ending: bytes) -> None:
    data = b"".join(separator + b"\n" + mail + b"\n" for mail in (MAIL, OTHER, MAIL)).replace(
        b"\n", ending
    )
    items = read(data)
    assert [mime_of(item) for item in items] == [
        mail.replace(b"\n", ending) for mail in (MAIL, OTHER, MAIL)
    ]
    assert [item.event.locator for item in items if isinstance(item, ReadEvent)] == [
        f"/mail/unit#{index}" for index in range(3)
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"From here on, it gets better.",
        b"From 10:00 to 12:00 in 2026 we are closed",
        b">From an@example.com Mon Nov  2 09:00:05 2026",
        b" From an@example.com Mon Nov  2 09:00:05 2026",
        b"From: an@example.com Mon Nov  2 09:00:05 2026",
        b"From an@example.com",
        b"On Mon Nov  2 09:00:05 2026 From an@example.com",
    ],
)
@pytest.mark.parametrize("before", [b"\n", b""])
def test_lines_of_a_body_are_not_separators(line: bytes, before: bytes) -> None:
    assert len(read(SEPARATOR + MAIL + before + line + b"\nand more\n\n" + SEPARATOR + OTHER)) == 2


@pytest.mark.parametrize(
    "text", [b"From now on\nNote: by mail\n", b"From : an@example.com\nTo: me\n", b"From \nhi\n"]
)
def test_prose_above_a_colon_is_not_a_separator(text: bytes) -> None:
    assert len(read(SEPARATOR + MAIL + b"\n" + text)) == 1
    assert "mails_joined" not in parse_mail(MAIL + b"\n" + text).flags


@pytest.mark.parametrize("separator", [b"From ", b"From - ", SEPARATOR.rstrip()])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_file_that_does_not_begin_as_an_mbox_is_one_mail_with_a_flag(
    separator: bytes, ending: bytes
) -> None:
    data = (MAIL + b"\n" + separator + b"\n" + OTHER).replace(b"\n", ending)
    assert "mails_joined" in parse_mail(mime_of(found(data))).flags
    assert "mails_joined" not in parse_mail(MAIL).flags


def test_messages_without_an_empty_line_between_them_are_split() -> None:
    items = read(SEPARATOR + MAIL + SEPARATOR + OTHER)
    assert [mime_of(item) for item in items] == [MAIL, OTHER]


def test_content_length_is_not_trusted() -> None:
    lying = MAIL.replace(b"Subject", b"Content-Length: 9999\nSubject")
    assert len(read(SEPARATOR + lying + b"\n" + SEPARATOR + OTHER)) == 2


def test_quoted_from_lines_are_unquoted_in_an_mbox_only() -> None:
    body = MAIL + b">From a\n>>From b\n > From c\n>Frome\n"
    assert mime_of(found(SEPARATOR + body)) == MAIL + b"From a\n>From b\n > From c\n>Frome\n"
    assert mime_of(found(body)) == body


def test_an_mbox_item_without_header_is_rejected_and_the_rest_is_read() -> None:
    first, second, third = read(
        SEPARATOR + MAIL + b"\n" + SEPARATOR + b"no header here\n\n" + SEPARATOR + OTHER
    )
    assert isinstance(first, ReadEvent)
    assert isinstance(third, ReadEvent)
    assert isinstance(second, Rejection)
    assert second.raw == SEPARATOR + b"no header here\n\n"
    assert second.locator == "/mail/unit#1"


def test_messages_before_the_end_of_a_truncated_archive_are_read(tmp_path: Path) -> None:
    noise = b"".join(
        b"%s\n" % hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(5_000)
    )
    box = b"".join(
        SEPARATOR + MAIL + noise[start:] + b"\n" for start in range(0, 300_000, 65 * 500)
    )
    packed = gzip.compress(box)
    (tmp_path / "box.gz").write_bytes(packed[: len(packed) // 2])
    *whole, last = items_of(tmp_path / "box.gz")
    assert len(whole) >= 1
    assert all(isinstance(item, ReadEvent) for item in whole)
    assert isinstance(last, Rejection)
    assert "cut short" in last.detail
    assert box.startswith(b"".join(item.raw for item in (*whole, last)))


MAILS = st.lists(
    st.lists(
        st.sampled_from(
            [
                b"text\n",
                b"\n",
                b"From me\n",
                b">From you\n",
                b">>From\n",
                SEPARATOR,
                b"\r\n",
                b"x: y\n",
                "字\n".encode(),
            ]
        )
    ).map(lambda lines: MAIL + b"".join(lines)),
    min_size=1,
    max_size=5,
)


@given(mails=MAILS, size=st.integers(1, 300))
@example(mails=[MAIL + b"\n\n"], size=1)
def test_what_an_mboxrd_writer_wrote_is_read_back(mails: list[bytes], size: int) -> None:
    box = b"".join(SEPARATOR + _mboxrd(mail) + b"\n" for mail in mails)
    assert is_mbox(box[:4096])
    sections = [section.retained() for section in split_mbox(_pieces(box, size), 1_000_000)]
    assert b"".join(sections) == box
    assert [unwrap_message(section) for section in sections] == mails


def _mboxrd(mail: bytes) -> bytes:
    return b"".join(
        b">" + line if line.lstrip(b">").startswith(b"From ") else line
        for line in mail.splitlines(keepends=True)
    )


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(
    data=st.lists(
        st.sampled_from(
            [SEPARATOR, b"\nFrom ", b"From ", b"\n", b"a: b\n", b"\r\n", b"x", b" 10:00 2026"]
        )
    ).map(b"".join)
)
def test_no_byte_of_an_mbox_is_lost_or_doubled(data: bytes) -> None:
    for size, limit in itertools.product((1, 7, 10_000), (5, 10_000)):
        sections = list(split_mbox(_pieces(data, size), limit))
        whole = [section.retained() for section in split_mbox(iter([data]), 1_000_000)]
        assert b"".join(whole) == data
        assert [(section.retained(), section.size) for section in sections] == [
            (part[:limit], len(part)) for part in whole
        ]


# ---- direction

OWN = ("shop.example.net", "me@example.org")


@pytest.mark.parametrize(
    ("head", "kind", "direction"),
    [
        (b"From: an@example.com\nTo: help@shop.example.net", "received", "inbound"),
        (b"From: Help <help@SHOP.example.net>\nTo: an@example.com", "sent", "outbound"),
        (
            b"From: me@example.org\nTo: help@shop.example.net\nCc: an@example.com",
            "sent",
            "outbound",
        ),
        (
            b'From: me@example.org\nTo: help@shop.example.net,\n "x, y" <z@mail.shop.example.net>',
            "sent",
            "internal",
        ),
        (b"From: me@example.org\nSubject: blind copies only", "sent", "outbound"),
        (
            b"From: =?utf-8?q?me=40example=2Eorg?= <an@example.com>\nTo: an@example.com",
            "received",
            "inbound",
        ),
        (b"Subject: from nobody", "received", "inbound"),
    ],
)
def test_direction_by_own_side(head: bytes, kind: str, direction: str) -> None:
    event = found(head + b"\n\nbody\n", OWN).event
    assert event.type == f"comm.message.{kind}"
    assert event.data["direction"] == direction


def test_no_direction_without_own_addresses() -> None:
    assert "direction" not in found(MAIL).event.data


# ---- real mails


@pytest.mark.data
def test_every_real_mail_is_read(shared_data: Path) -> None:
    folder = shared_data / "email_raw"
    archive = folder / "spamassassin_corpus_1" / "messages.tar.xz"
    items = items_of(archive)
    assert len(items) == 3_000
    assert all(isinstance(item, ReadEvent) for item in items)
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".eml", ".msg"))
    refusals = [item for item in items_of(*paths) if isinstance(item, Rejection)]
    assert refusals == []

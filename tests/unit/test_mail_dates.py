"""Dates of mail headers: zones and halves of the day; a zone that is unknown is never UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.mail.mime import parse_mail
from pipeline.mail.mime.dates import parse_mail_date


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("Mon, 2 Nov 2026 3:20 PM GMT+8", "2026-11-02T07:20:00+00:00"),
        ("Mon, 2 Nov 2026 12:05 AM -0500", "2026-11-02T05:05:00+00:00"),
        ("Mon, 2 Nov 2026 09:00:01 CEST", "2026-11-02T07:00:01+00:00"),
        ("2026-11-02 09:00:01 JST", "2026-11-02T00:00:01+00:00"),
    ],
)
def test_zones_that_mailers_write_are_read(text: str, instant: str) -> None:
    date = parse_mail_date(text)
    assert date is not None
    assert (date.at.isoformat(), date.zone_unknown) == (instant, False)


@pytest.mark.parametrize("zone", ["XYZ", "IST", "Asia/Shanghai"])
def test_a_zone_that_is_written_and_unknown_is_flagged(zone: str) -> None:
    raw = f"Date: Mon, 2 Nov 2026 09:00:01 {zone}\r\nFrom: a@example.com\r\n\r\nhi".encode()
    mail = parse_mail(raw)
    assert {"date_zone_unknown", "date_zone_missing"} <= set(mail.flags)
    assert mail.date == datetime(2026, 11, 2, 9, 0, 1, tzinfo=UTC)
    mail = parse_mail(b"Received: by x; Mon, 2 Nov 2026 03:30:02 +0000\r\n" + raw)
    assert mail.date is None
    assert mail.received_at == datetime(2026, 11, 2, 3, 30, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("Wed 04 Nov 2026 20:38:00 +03:00", "2026-11-04T17:38:00"),
        ("Tue, 3 Nov 2026 10:00:00 GMT+08:00", "2026-11-03T02:00:00"),
        ("Tue, 3 Nov 2026 10:00:00 +08", "2026-11-03T02:00:00"),
        ("Tue, 3 Nov 2026 10:00:00 (CEST)", "2026-11-03T08:00:00"),
        ("Tue, 3-Nov-2026 10:00:00 CEST", "2026-11-03T08:00:00"),
        ("Mo., 2. Nov. 2026 22:50:55 +0000", "2026-11-02T22:50:55"),
        ("Mo, 2. November 2026, 22:50 Uhr", "2026-11-02T22:50:00"),
        ("2.11.2026 22.50", "2026-11-02T22:50:00"),
        ("lun., 02 févr. 2026 10:00:00 +0100", "2026-02-02T09:00:00"),
        ("mardi 3 mars 2026 à 10:00", "2026-03-03T10:00:00"),
        ("mar nov  3 10:00:00 CET 2026", "2026-11-03T09:00:00"),
        ("lunes, 2 de noviembre de 2026 10:00:00 CET", "2026-11-02T09:00:00"),
        ("mån, 2 okt 2026 10:00:00 +0200", "2026-10-02T08:00:00"),
        ("ti 3 marraskuuta 2026 10.00", "2026-11-03T10:00:00"),
        ("пн, 02 нояб. 2026 10:00:00 +0300", "2026-11-02T07:00:00"),
        ("pon, 2 paź 2026 10:00:00 +0200", "2026-10-02T08:00:00"),
        ("čt, 2 července 2026 10:00:00 +0200", "2026-07-02T08:00:00"),
        ("周一, 2 11月 2026 10:00:00 +0800", "2026-11-02T02:00:00"),
        ("2026年11月2日 下午3:20", "2026-11-02T15:20:00"),
        ("2026년 11월 2일 오후 3:20:00", "2026-11-02T15:20:00"),
        ("2026年11月2日 15時20分", "2026-11-02T15:20:00"),
        ("13/02/2026 10:00 +0100", "2026-02-13T09:00:00"),
    ],
)
def test_dates_in_the_language_of_the_sender(text: str, instant: str) -> None:
    date = parse_mail_date(text)
    assert date is not None
    assert (date.at.isoformat()[:19], date.zone_unknown) == (instant, False)


@pytest.mark.parametrize("text", ["02/03/2026 10:00", "2 Nov 2026", "Nov 2026 10:00", "10:00"])
def test_a_date_that_is_unclear_is_not_guessed(text: str) -> None:
    assert parse_mail_date(text) is None


def test_the_newest_sensible_received_counts() -> None:
    head = b"Received: by a; Thu, 1 Jan 1970 00:00:00 +0000\nReceived: by b; x\n"
    mail = parse_mail(head + b"Received: by c; Mon, 2 Nov 2026 10:00:00 +0000\nDate: soon\n\nhi")
    assert (mail.received_at, mail.date) == (datetime(2026, 11, 2, 10, tzinfo=UTC), None)

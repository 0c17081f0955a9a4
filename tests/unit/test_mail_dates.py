"""Dates of mail headers: zones and halves of the day; a zone that is unknown is never UTC."""

from __future__ import annotations

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


@pytest.mark.parametrize("zone", ["XYZ", "IST", "Asia/Shanghai", "Uhr"])
def test_a_zone_that_is_written_and_unknown_is_never_utc(zone: str) -> None:
    raw = f"Date: Mon, 2 Nov 2026 09:00:01 {zone}\r\nFrom: a@example.com\r\n\r\nhi".encode()
    mail = parse_mail(raw)
    assert "date_zone_unknown" in mail.flags
    assert mail.date is None

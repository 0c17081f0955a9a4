"""Field types that contracts share: instants, parties, attachments."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# ClickHouse's DateTime64(3) holds 1900 to 2299. A message before 1970 or far in the future has a
# wrong clock, and one such year would make every chart over time useless.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def in_range(moment: datetime) -> bool:
    """Return whether an aware instant is in the supported range, `EARLIEST` to `LATEST`.

    >>> in_range(datetime(2026, 1, 1, tzinfo=UTC)), in_range(datetime(1969, 1, 1, tzinfo=UTC))
    (True, False)
    """
    return EARLIEST <= moment < LATEST


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(
            "has no time zone: write UTC as 2026-11-01T10:00:00Z or an offset such as +08:00"
        )
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the instant lies outside the years 1 to 9999 in UTC") from None
    if not in_range(moment):
        raise ValueError(f"is outside {EARLIEST:%Y} to {LATEST:%Y}: {moment.isoformat()}")
    return moment


_SECOND_60 = re.compile(r"([^:]{13}:\d\d:)60((?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:?\d\d))")


def _leap_second(value: Any) -> Any:
    """Return a leap second (RFC 3339, section 5.7) as the second after it, as POSIX clocks do."""
    if not isinstance(value, str) or ":60" not in value:
        return value
    match = _SECOND_60.fullmatch(value.strip())
    if not match:
        return value
    try:
        before = datetime.fromisoformat(f"{match[1]}59{match[2]}").astimezone(UTC)
        after = before + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return value
    # Leap seconds end a month in UTC.
    if (after.day, after.hour, after.minute, after.second) != (1, 0, 0, 0):
        raise ValueError("second 60 exists only as the last one of a month in UTC")
    return after


def _no_blank(value: Any) -> Any:
    # No text means anything by a NUL, and tools that read the tables stop at one.
    return (value.replace("\0", "").strip() or None) if isinstance(value, str) else value


UtcTime = Annotated[datetime, BeforeValidator(_leap_second), AfterValidator(_utc)]
"""An instant with a time zone, RFC 3339 in JSON, converted to UTC.

Without a time zone, or outside the years 1970 to 2199, it is rejected. A leap second is the second
after it.
"""

Text = Annotated[str | None, BeforeValidator(_no_blank)]
"""Text or null: surrounding blanks and NULs are removed, and an empty text becomes null."""


class Contract(BaseModel):
    """Base of all messages and events; unknown fields are kept.

    A producer may therefore be newer than its consumer. Numbers are finite: infinity and NaN have
    no place in JSON, and a table would keep them as null.
    """

    model_config = ConfigDict(
        extra="allow", populate_by_name=True, frozen=True, allow_inf_nan=False
    )


class Channel(StrEnum):
    """The channel of a communication (沟通方式)."""

    EMAIL = "email"
    CALL = "call"
    CHAT = "chat"
    SMS = "sms"
    SOCIAL = "social"
    FORM = "form"
    OTHER = "other"


class Direction(StrEnum):
    """Direction: customer to us, us to customer, or among ourselves."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class Party(Contract):
    """Somebody who takes part: any of id, name, email, phone, handle.

    The first of id, email, phone and handle identifies the party.
    """

    id: Text = Field(None, description="Customer number in the system that sends the event.")
    name: Text = Field(None, description="Display name (客户姓名).")
    email: Text = Field(None, description="Mail address (邮箱), in upper or lower case.")
    phone: Text = Field(
        None,
        description=(
            "Telephone number (电话), preferably in E.164; national numbers need the setting"
            " `region`."
        ),
    )
    handle: Text = Field(
        None,
        description="User name in a chat or social network, unique within the event's source.",
    )


class Attachment(Contract):
    """Description of an attachment; its bytes are not transmitted."""

    name: Text = Field(None, description="File name as the sender gave it.")
    mime: Text = Field(None, description="Media type, such as image/png.")
    bytes: int | None = Field(None, ge=0, description="Size in bytes.")
    sha256: Text = Field(None, description="SHA-256 of the content, hexadecimal.")

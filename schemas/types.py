"""Field types that every contract shares: instants, parties, attachments."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# ClickHouse's DateTime64(3) holds 1900 to 2299; a customer's message before the first commercial
# mail or a century ahead is a broken clock, not history, and one bad year makes every chart by time
# useless.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def in_range(moment: datetime) -> bool:
    """Return whether an aware instant lies between `EARLIEST` and `LATEST`, the span the history
    can hold.
    """
    return EARLIEST <= moment < LATEST


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(
            "has no time zone: write UTC as 2026-11-01T10:00:00Z or an offset such as +08:00"
        )
    moment = moment.astimezone(UTC)
    if not in_range(moment):
        raise ValueError(f"is outside {EARLIEST:%Y} to {LATEST:%Y}: {moment.isoformat()}")
    return moment


def _no_blank(value: Any) -> Any:
    return (value.strip() or None) if isinstance(value, str) else value


UtcTime = Annotated[datetime, AfterValidator(_utc)]
"""An instant with a zone, RFC 3339 in JSON, converted to UTC; without a zone, or outside 1970 to 2199, it is refused."""

Text = Annotated[str | None, BeforeValidator(_no_blank)]
"""Text that is either something or null: blanks around it are cut, an empty string counts as absent."""


class Contract(BaseModel):
    """Base of everything that crosses a border: unknown fields are kept, so a producer may be newer
    than its reader.
    """

    model_config = ConfigDict(extra="allow", populate_by_name=True, frozen=True)


class Channel(StrEnum):
    """The way a communication took (沟通方式)."""

    EMAIL = "email"
    CALL = "call"
    CHAT = "chat"
    SMS = "sms"
    SOCIAL = "social"
    FORM = "form"
    OTHER = "other"


class Direction(StrEnum):
    """Who spoke to whom: the customer to us, we to the customer, or we among ourselves."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class Party(Contract):
    """Somebody who takes part: any of id, name, email, phone, handle; the first of id, email,
    phone, handle identifies.
    """

    id: Text = Field(None, description="The sender system's own customer number.")
    name: Text = Field(None, description="Name as shown (客户姓名).")
    email: Text = Field(None, description="Mail address (邮箱), in any case.")
    phone: Text = Field(
        None,
        description=(
            "Telephone number (电话), best in E.164; national numbers need the setting `region`."
        ),
    )
    handle: Text = Field(
        None,
        description="Name or number in a chat or social network, unique within the event's source.",
    )


class Attachment(Contract):
    """What came with a message; only its description travels, never its bytes."""

    name: Text = Field(None, description="File name as the sender gave it.")
    mime: Text = Field(None, description="Media type, such as image/png.")
    bytes: int | None = Field(None, ge=0, description="Size in bytes.")
    sha256: Text = Field(None, description="SHA-256 of the content, hexadecimal.")

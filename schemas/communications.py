"""Data of the comm.* events: a message, a mail or a call, as connectors emit them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Base64Bytes, Field, model_validator

from schemas.types import Attachment, Channel, Contract, Direction, Party, Text, UtcTime


class AutoKind(StrEnum):
    """Kind of automatic message: out of office, bounce, bot, bulk mail, acknowledgement."""

    OOO = "ooo"
    BOUNCE = "bounce"
    BOT = "bot"
    BULK = "bulk"
    ACK = "ack"


class Disposition(StrEnum):
    """How a call ended."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELLED = "cancelled"
    VOICEMAIL = "voicemail"


class Communication(Contract):
    """Fields of every communication; only `channel` is required, and not even that for a call."""

    channel: Channel = Field(description="Communication channel (沟通方式).")
    direction: Direction | None = Field(
        None,
        description=(
            "Direction; default: inbound for *.received, *.completed and *.missed, outbound for"
            " *.sent."
        ),
    )
    conversation: Text = Field(
        None, description="The platform's id of the thread, unique within the event's source."
    )
    in_reply_to: Text = Field(None, description="Id of the message to which this one replies.")
    from_: Party = Field(default_factory=Party, alias="from", description="Sender or caller.")
    to: tuple[Party, ...] = Field((), description="Recipients.")
    cc: tuple[Party, ...] = Field((), description="Recipients of a copy.")
    staff: Text = Field(None, description="Staff member or bot who took part (沟通人员).")
    subject: Text = Field(None, description="Subject line (沟通主题).")
    received_at: UtcTime | None = Field(
        None, description="When our side received it, by a reliable clock."
    )
    result: Text = Field(None, description="Outcome as noted by staff (沟通结果).")
    remarks: Text = Field(None, description="Note by staff (沟通备注).")
    campaign: Text = Field(None, description="Campaign or communication strategy (沟通策略).")
    provider: Text = Field(
        None, description="Platform behind the connector, such as twilio or wecom_kf."
    )
    auto_kind: AutoKind | None = Field(
        None, description="Kind of automatic message; null: a person wrote it."
    )
    attachments: tuple[Attachment, ...] = Field((), description="Attachments.")


class MessageData(Communication):
    """A message of a chat, SMS, social network, form or any other written channel."""

    text: Text = Field(None, description="Text of the message (沟通内容).")
    html: Text = Field(None, description="The message as HTML; used if text is absent.")
    kind: Literal["message", "system", "note"] = Field(
        "message",
        description="message; system: written by the platform; note: private, among staff.",
    )


class EmailData(Communication):
    """A mail: its bytes as received (`mime`), which is best, or its parsed parts."""

    channel: Literal[Channel.EMAIL] = Channel.EMAIL
    mime: Base64Bytes | None = Field(
        None,
        description=(
            "The message as received (RFC 5322), in base64; other fields of the event override its"
            " headers."
        ),
    )
    message_id: Text = Field(None, description="Message-ID without angle brackets.")
    references: tuple[str, ...] = Field(
        (), description="References, oldest first, without angle brackets."
    )
    sent_at: UtcTime | None = Field(None, description="Date header: time by the sender's clock.")
    reply_to: tuple[Party, ...] = Field((), description="Reply-To addresses.")
    text: Text = Field(None, description="Plain-text body, if mime is absent.")
    html: Text = Field(None, description="HTML body, if mime is absent.")
    bcc: tuple[Party, ...] = Field((), description="Recipients of a blind copy.")

    @model_validator(mode="after")
    def _has_a_body(self) -> EmailData:
        if self.mime is None and self.text is None and self.html is None and self.subject is None:
            raise ValueError("needs one of mime, text, html or subject")
        return self


class CallData(Communication):
    """A telephone call; times are instants, and durations are computed from them."""

    channel: Literal[Channel.CALL] = Channel.CALL
    started_at: UtcTime | None = Field(
        None, description="First ring or dial; default: the event's time."
    )
    answered_at: UtcTime | None = Field(
        None, description="When the call was answered; null: nobody answered."
    )
    ended_at: UtcTime | None = Field(None, description="When the call ended.")
    talk_s: float | None = Field(
        None,
        ge=0,
        description=(
            "Talk time in seconds as counted by the exchange; default: ended_at - answered_at."
        ),
    )
    disposition: Disposition | None = Field(None, description="How the call ended.")
    legs: int | None = Field(None, ge=1, description="Number of the exchange's rows for this call.")
    hangup_cause: Text = Field(None, description="Hang-up cause in the exchange's words.")
    transcript: Text = Field(None, description="Transcript of the call (沟通内容).")
    recording: Text = Field(None, description="Reference to a recording; never its bytes.")


def email_from_bytes(fields: dict[str, Any], mime: bytes) -> EmailData:
    """Return the validated data of a mail whose bytes are not encoded; `fields` are all others.

    >>> email_from_bytes({"channel": "email"}, b"Subject: hi").mime
    b'Subject: hi'
    """
    # An empty body passes the base64 check of the contract; no encoding is needed to be decoded.
    return EmailData.model_validate({**fields, "mime": b""}).model_copy(update={"mime": mime})


def default_direction(event_type: str) -> Direction:
    """Return the direction of an event type, used if the data do not state one.

    >>> default_direction("comm.message.sent").value
    'outbound'
    """
    return Direction.OUTBOUND if event_type.endswith(".sent") else Direction.INBOUND


def data_model(event_type: str, data: dict[str, Any]) -> type[Communication] | None:
    """Return the contract of a comm.* event's data, or None for any other type.

    >>> data_model("comm.message.sent", {"channel": "email"}).__name__
    'EmailData'
    """
    if event_type in ("comm.call.completed", "comm.call.missed"):
        return CallData
    if event_type in ("comm.message.received", "comm.message.sent"):
        return EmailData if data.get("channel") == Channel.EMAIL else MessageData
    return None

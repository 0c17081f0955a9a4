"""What connectors emit for a message, a mail or a call: the bodies (`data`) of the comm.*
events.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Base64Bytes, Field, model_validator

from schemas.types import Attachment, Channel, Contract, Direction, Party, Text, UtcTime


class AutoKind(StrEnum):
    """Why a machine, not a person, wrote a message: absence note, bounce, bot, bulk mail,
    acknowledgement.
    """

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
    """What every communication has, whatever its channel; only `channel` is required, and a call
    needs not even that.
    """

    channel: Channel = Field(description="The way it took (沟通方式).")
    direction: Direction | None = Field(
        None,
        description=(
            "Absent: inbound for *.received, *.completed and *.missed, outbound for *.sent."
        ),
    )
    conversation: Text = Field(
        None, description="The platform's own id of the thread, unique within the event's source."
    )
    in_reply_to: Text = Field(None, description="Id of the message that this one answers.")
    from_: Party = Field(default_factory=Party, alias="from", description="Who wrote or called.")
    to: tuple[Party, ...] = Field((), description="Whom it went to.")
    cc: tuple[Party, ...] = Field((), description="Who got a copy.")
    staff: Text = Field(None, description="Our person or bot in it (沟通人员).")
    subject: Text = Field(None, description="Subject line (沟通主题).")
    received_at: UtcTime | None = Field(
        None, description="When our side got it, by a clock we trust."
    )
    result: Text = Field(None, description="Outcome as noted by staff (沟通结果).")
    remarks: Text = Field(None, description="Note of staff (沟通备注).")
    campaign: Text = Field(
        None, description="Campaign or communication strategy it belongs to (沟通策略)."
    )
    provider: Text = Field(
        None, description="Platform behind the connector, such as twilio or wecom_kf."
    )
    auto_kind: AutoKind | None = Field(None, description="Set where a machine wrote it.")
    attachments: tuple[Attachment, ...] = Field((), description="What came with it.")


class MessageData(Communication):
    """A message of a chat, SMS, social network, form or any other written channel."""

    text: Text = Field(None, description="What was written (沟通内容).")
    html: Text = Field(None, description="The same as HTML; read where text is absent.")
    kind: Literal["message", "system", "note"] = Field(
        "message", description="system: the platform's own line; note: private, among staff."
    )


class EmailData(Communication):
    """A mail: either its bytes as received (`mime`), which is best, or its parsed parts."""

    channel: Literal[Channel.EMAIL] = Channel.EMAIL
    mime: Base64Bytes | None = Field(
        None,
        description=(
            "The message as received (RFC 5322), base64; fields given beside it win over its"
            " headers."
        ),
    )
    message_id: Text = Field(None, description="Message-ID without angle brackets.")
    references: tuple[str, ...] = Field(
        (), description="References, oldest first, without angle brackets."
    )
    sent_at: UtcTime | None = Field(None, description="Date by the sender's clock.")
    reply_to: tuple[Party, ...] = Field((), description="Where answers are to go.")
    text: Text = Field(None, description="Plain body, where mime is absent.")
    html: Text = Field(None, description="HTML body, where mime is absent.")
    bcc: tuple[Party, ...] = Field((), description="Blind copies.")

    @model_validator(mode="after")
    def _has_a_body(self) -> EmailData:
        if self.mime is None and self.text is None and self.html is None and self.subject is None:
            raise ValueError("needs one of mime, text, html or subject")
        return self


class CallData(Communication):
    """A telephone call; times are instants, durations follow from them."""

    channel: Literal[Channel.CALL] = Channel.CALL
    started_at: UtcTime | None = Field(
        None, description="First ring or dial; absent: the event's time."
    )
    answered_at: UtcTime | None = Field(
        None, description="When somebody answered; absent: nobody did."
    )
    ended_at: UtcTime | None = Field(None, description="When it was hung up.")
    talk_s: float | None = Field(
        None,
        ge=0,
        description=(
            "Seconds spoken, where the exchange counts them itself; else ended_at - answered_at."
        ),
    )
    disposition: Disposition | None = Field(None, description="How it ended.")
    legs: int | None = Field(None, ge=1, description="Rows of the exchange that make up this call.")
    hangup_cause: Text = Field(None, description="The exchange's own word for the end.")
    transcript: Text = Field(None, description="What was said, as text (沟通内容).")
    recording: Text = Field(None, description="Reference to a recording; never its bytes.")


def default_direction(event_type: str) -> Direction:
    """Return the direction that an event type implies where its data name none."""
    return Direction.OUTBOUND if event_type.endswith(".sent") else Direction.INBOUND


def data_model(event_type: str, data: dict[str, Any]) -> type[Communication] | None:
    """Return the contract of a comm.* event's data, or None for a type that is not a
    communication.
    """
    if event_type in ("comm.call.completed", "comm.call.missed"):
        return CallData
    if event_type in ("comm.message.received", "comm.message.sent"):
        return EmailData if data.get("channel") == Channel.EMAIL else MessageData
    return None

"""What was refused, with everything needed to understand it, mend it and send it again, and the
audit of doing so.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import Base64Bytes, Field

from schemas.envelope import DEFAULT_TENANT
from schemas.types import Contract, UtcTime


class RejectCode(StrEnum):
    """Why something was refused; the word is a metric label and an analyst's filter."""

    UNPARSABLE = "unparsable"  # the bytes are not of the format at all
    OVERSIZE = "oversize"  # larger than one item may be
    CHARSET = "charset"  # text where the format demands UTF-8 and the bytes are not
    UNKNOWN_TYPE = "unknown_type"  # no contract has this event type
    SCHEMA_MISSING_FIELD = "schema_missing_field"
    SCHEMA_TYPE = "schema_type"
    SCHEMA_ENUM = "schema_enum"
    SCHEMA_VALUE = "schema_value"  # right type, impossible value
    TIME_INVALID = "time_invalid"
    UNKNOWN_RECORD = "unknown_record"  # a label for a record that the history does not hold
    UNKNOWN_LABEL = "unknown_label"  # a head or value that no head declares
    CRASH = "crash"  # handling it ended the worker's process, again and alone
    STEP_ERROR = "step_error"  # a step raised, again and alone
    SINK_ERROR = "sink_error"  # the warehouse refuses this row for good


class DeadLetter(Contract):
    """One refused thing: the original bytes, key and headers, where it stood, who refused it and
    why.
    """

    dead_letter_id: UUID = Field(
        description="Hash of stage and origin: refused again, it is the same dead letter."
    )
    tenant: str = DEFAULT_TENANT
    stage: str = Field(description="collect, enrich, resolve, load …")
    step: str = Field(description="The connector or step that refused it.")
    reason_code: RejectCode
    message: str = Field(
        description="What is wrong and what to do, naming the field, record or file."
    )
    failed_at: UtcTime
    connector: str = ""
    locator: str = Field("", description="File and item, where a connector found it.")
    topic: str = Field("", description="Topic it was read from; empty at collect.")
    partition: int | None = None
    offset: int | None = None
    key: Base64Bytes | None = None
    headers: dict[str, str] = {}
    payload: Base64Bytes = Field(description="The original bytes.")
    payload_sha256: str
    payload_bytes: int = Field(ge=0)


class Replay(Contract):
    """One try to send a dead letter again."""

    dead_letter_id: UUID
    replayed_at: UtcTime
    by: str = ""
    outcome: Literal["accepted", "refused"]
    message: str = Field("", description="What refused it, in its own words.")


class StageReplay(Contract):
    """One partition of a stage that somebody set to another offset, to have records handled again
    or passed over.
    """

    replay_id: UUID
    replayed_at: UtcTime
    by: str = ""
    stage: str
    topic: str
    partition: int
    from_offset: int = Field(description="The next offset before.")
    to_offset: int = Field(
        description="The next offset since; smaller: what lies between is handled again."
    )
    asked: str = Field("", description="What was asked for: from when, or which offsets.")

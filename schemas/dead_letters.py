"""Dead letters (rejected inputs with their original bytes), and the audit of their replay."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import Base64Bytes, Field

from schemas.envelope import DEFAULT_TENANT
from schemas.types import Contract, UtcTime


class RejectCode(StrEnum):
    """Why an input was rejected; the value is a metric label and a filter for analysts."""

    UNPARSABLE = "unparsable"  # the bytes do not have the expected format
    OVERSIZE = "oversize"  # larger than the limit of an item
    CHARSET = "charset"  # text in another encoding than the required one
    UNKNOWN_TYPE = "unknown_type"  # no contract has this event type
    SCHEMA_MISSING_FIELD = "schema_missing_field"
    SCHEMA_TYPE = "schema_type"
    SCHEMA_ENUM = "schema_enum"
    SCHEMA_VALUE = "schema_value"  # right type, impossible value
    TIME_INVALID = "time_invalid"
    UNKNOWN_RECORD = "unknown_record"  # a label for a record that is not in the history
    UNKNOWN_LABEL = "unknown_label"  # an undeclared head, or a value that the head does not have
    CRASH = "crash"  # handling it alone ended the worker's process repeatedly
    SLOW = "slow"  # handling it alone took more CPU time than an item may
    BODY_MISSING = "body_missing"  # its reference names no body that is in the body store
    STATE_UNREADABLE = "state_unreadable"  # the state of its key cannot be loaded
    STEP_ERROR = "step_error"  # a step raised an exception on it alone, repeatedly
    SINK_ERROR = "sink_error"  # the warehouse rejects this row permanently


class DeadLetter(Contract):
    """A rejected input: its original bytes, key and headers, its origin, and the reason."""

    dead_letter_id: UUID = Field(
        description="Hash of stage and origin; an input that is rejected again has the same id."
    )
    tenant: str = DEFAULT_TENANT
    stage: str = Field(description="collect, enrich, resolve, load …")
    step: str = Field(description="The connector or step that rejected it.")
    reason_code: RejectCode
    message: str = Field(
        description="What is wrong and what to do, with the field, record or file."
    )
    failed_at: UtcTime
    connector: str = ""
    locator: str = Field("", description="File and item, if a connector read it.")
    topic: str = Field("", description="Topic it was read from; empty at stage collect.")
    partition: int | None = None
    offset: int | None = None
    key: Base64Bytes | None = None
    headers: dict[str, str] = {}
    payload: Base64Bytes = Field(description="The original bytes.")
    payload_sha256: str
    payload_bytes: int = Field(ge=0)


class Replay(Contract):
    """One attempt to replay a dead letter."""

    dead_letter_id: UUID
    replayed_at: UtcTime
    by: str = ""
    outcome: Literal["accepted", "refused"]
    message: str = Field("", description="Error message if it was refused.")


class StageReplay(Contract):
    """One partition of a stage that was set to another offset, to reprocess or skip records."""

    replay_id: UUID
    replayed_at: UtcTime
    by: str = ""
    stage: str
    topic: str
    partition: int
    from_offset: int = Field(description="Next offset before the change.")
    to_offset: int = Field(
        description="Next offset after the change; if smaller, records between are reprocessed."
    )
    asked: str = Field("", description="The requested start: a time, or offsets.")

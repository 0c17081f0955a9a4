"""What live tells: alerts, versioned upserts by id."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import DEFAULT_TENANT
from schemas.types import Contract, UtcTime

AlertKind = Literal["spike", "level"]


class Alert(Contract):
    """Something that is not as it was: a label far more frequent than the day before (spike), or
    lastingly so (level).
    """

    alert_id: UUID = Field(
        description=(
            "Hash of tenant, kind, measure and the minute it was raised; told again, it is the"
            " same."
        )
    )
    tenant: str = DEFAULT_TENANT
    kind: AlertKind = Field(
        description="spike: within minutes; level: the last hour differs from the day before it."
    )
    measure: str = Field(
        description=(
            "What is counted: head:label, business:kind.action, or inbound for the number of"
            " messages."
        )
    )
    measures: tuple[str, ...] = Field(
        (), description="All that rose with it, from the same customers; the strongest first."
    )
    channel: str = Field("", description="The channel that brought most of it.")
    raised_at: UtcTime = Field(description="When it was first seen.")
    last_at: UtcTime = Field(description="When it was last seen.")
    ended_at: UtcTime | None = Field(
        None, description="When it was seen to be over; null: it is not."
    )
    window_s: int = Field(description="Seconds over which was counted.")
    seen: int = Field(ge=0, description="How many were counted, at the highest.")
    of: int = Field(ge=0, description="Among how many messages, or business events.")
    expected: float = Field(ge=0, description="How many the day before lets expect among as many.")
    surprise: float = Field(
        ge=0,
        description=(
            "Powers of ten by which chance alone is unlikely to give so many; 9 is one in a"
            " thousand million."
        ),
    )
    evidence: tuple[UUID, ...] = Field(
        (), description="Some of the records, each of another customer."
    )
    message: str = Field("", description="The same in words.")
    schema_version: Literal[1] = 1

"""Alerts of the stage live: versioned upserts by id."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import DEFAULT_TENANT
from schemas.types import Contract, UtcTime

AlertKind = Literal["spike", "level"]


class Alert(Contract):
    """A count that differs from the day before.

    It is a short peak within minutes (spike) or a lasting change of the last hour (level).
    """

    alert_id: UUID = Field(
        description=(
            "Hash of tenant, kind, measure and the minute it was raised; an update has the same id."
        )
    )
    tenant: str = DEFAULT_TENANT
    kind: AlertKind = Field(
        description="spike: within minutes; level: the last hour differs from the day before it."
    )
    measure: str = Field(
        description=(
            "The counted measure: head:label, business:kind.action, or inbound for the number of"
            " messages."
        )
    )
    measures: tuple[str, ...] = Field(
        (),
        description="All measures that rose together, by the same customers; strongest first.",
    )
    channel: str = Field("", description="The channel with most of the counted events.")
    raised_at: UtcTime = Field(description="When it was first detected.")
    last_at: UtcTime = Field(description="When it was last detected.")
    ended_at: UtcTime | None = Field(None, description="When it ended; null: it has not ended.")
    window_s: int = Field(description="Length of the window in seconds.")
    seen: int = Field(ge=0, description="Highest count in a window.")
    of: int = Field(ge=0, description="Number of all messages, or business events, in the window.")
    expected: float = Field(ge=0, description="Expected count, by the share of the day before.")
    surprise: float = Field(
        ge=0,
        description=(
            "Improbability of the count by chance, as -log10 of the probability: 9 is one in a"
            " thousand million."
        ),
    )
    evidence: tuple[UUID, ...] = Field(
        (), description="Some of the counted records, each of another customer."
    )
    message: str = Field("", description="The alert as a sentence.")
    schema_version: Literal[1] = 1

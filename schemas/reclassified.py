"""Later answers about records in the history, by other models than those that answered first."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from schemas.envelope import DEFAULT_TENANT
from schemas.labels import Name
from schemas.types import Contract, UtcTime


class Reclassification(Contract):
    """One head's answer about a record that is in the history already."""

    reclassification_id: UUID = Field(
        description="Hash of record, head and model; the same answer has the same id."
    )
    tenant: str = DEFAULT_TENANT
    record_id: UUID = Field(description="The reclassified record.")
    head: Name
    label: str = Field(
        description=(
            "The label; empty: the head does not apply, or there is no evidence for any label."
        )
    )
    also: tuple[str, ...] = Field(
        (), description="Additional labels, if a text asks several things."
    )
    p: float = Field(ge=0, le=1, description="Probability of the label.")
    abstained: bool = Field(
        description="The confidence was below the threshold; the label is the most probable one."
    )
    model_version: str = Field(
        description="Model that answered: rules/<hash>, or generation/offset/recipe."
    )
    text_hash: str = Field(
        description="Hash of the classified text; the answer counts while the record has this text."
    )
    judged_at: UtcTime

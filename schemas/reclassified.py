"""Answers given later: a head's answer about a record, by other models than those that judged it
when it came.
"""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from schemas.envelope import DEFAULT_TENANT
from schemas.labels import Name
from schemas.types import Contract, UtcTime


class Reclassification(Contract):
    """One head's answer about a record that the history holds already."""

    reclassification_id: UUID = Field(
        description="Hash of record, head and model: the same answer is the same."
    )
    tenant: str = DEFAULT_TENANT
    record_id: UUID = Field(description="The record judged again.")
    head: Name
    label: str = Field(
        description=(
            "The answer; empty where the head does not apply or nothing speaks for any label."
        )
    )
    also: tuple[str, ...] = Field(
        (), description="Further answers, where a text asks several things."
    )
    p: float = Field(ge=0, le=1, description="Probability of the label.")
    abstained: bool = Field(
        description="The head was not sure enough; the label is its best guess."
    )
    model_version: str = Field(
        description="Model that answered: rules/<hash>, or generation/offset/recipe."
    )
    text_hash: str = Field(
        description="Hash of the text judged; the answer counts while the record has that text."
    )
    judged_at: UtcTime

"""Projections: typed views of a few fields of a contract, read directly from its JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from pipeline.processors.converse.business_hours import to_ms
from schemas.types import Contract

# The last millisecond of the year 9999.
_MAX_MS = 253_402_300_799_999


class Projection(BaseModel):
    """Some fields of `contract`, with the contract's names and defaults.

    Folds that read thousands of records a second need a few fields of each: the other fields of the
    JSON are skipped without building objects. `tests/contract/test_projections.py` compares every
    projection with its contract.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    contract: ClassVar[type[Contract]]

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Return the projection of a contract's JSON; raises ValidationError, a ValueError."""
        return cls.model_validate_json(raw)


def _parse_ms(value: object) -> int:
    """Return the milliseconds of an instant in ISO 8601; an integer is returned unchanged."""
    if isinstance(value, int) and abs(value) <= _MAX_MS:
        return value
    if not isinstance(value, str):
        raise ValueError("an instant is a text in ISO 8601")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return to_ms(moment)


IdText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
"""A UUID of the contract as the text that our stages write."""

Milliseconds = Annotated[int, BeforeValidator(_parse_ms)]
"""An instant of the contract as whole milliseconds since 1970, UTC."""

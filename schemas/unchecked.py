"""Constructs contracts from our own code, and writes them as JSON, without validation.

Events from outside are validated (`Contract(...)`, `model_validate`). The outputs of our own steps
are typed by mypy, and the tests over all steps validate each output. Validating them in production
too, and writing them with pydantic, was a fifth of the cost of a chat message in `enrich` and more
of a fact in `converse` (docs/adr/0008).
"""

from __future__ import annotations

from base64 import b64encode
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import orjson

from schemas.types import Contract

T = TypeVar("T", bound=Contract)


@cache
def _defaults(contract: type[Contract]) -> dict[str, Any]:
    """Return a default for each field in order, None for required fields."""
    return {
        name: None if field.is_required() else field.default
        for name, field in contract.model_fields.items()
    }


def construct(contract: type[T], *parts: dict[str, Any], **fields: Any) -> T:
    """Return a contract of values that have its fields' types already, without validation.

    Values come from dictionaries and keyword arguments; later ones win. A missing field or a value
    of another type is not noticed: use it only for values of our own code.

    >>> from schemas.records import Participant
    >>> construct(Participant, {"role": "from"}, name="Ann").name
    'Ann'
    """
    instance = contract.__new__(contract)
    values = _defaults(contract).copy()
    for part in parts:
        values.update(part)
    values.update(fields)
    object.__setattr__(instance, "__dict__", values)
    object.__setattr__(instance, "__pydantic_fields_set__", set(values))
    object.__setattr__(instance, "__pydantic_extra__", {})
    object.__setattr__(instance, "__pydantic_private__", None)
    return instance


def to_json(contract: Contract) -> bytes:
    """Return a contract as JSON in UTF-8, byte for byte as pydantic's `model_dump_json`.

    Raises TypeError for text with lone surrogates.
    """
    return orjson.dumps(contract, default=_plain, option=orjson.OPT_UTC_Z)


def _plain(value: Any) -> Any:
    if isinstance(value, Contract):
        return {**value.__dict__, **extra} if (extra := value.model_extra) else value.__dict__
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")

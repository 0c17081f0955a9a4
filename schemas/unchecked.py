"""Contracts that we make ourselves: put together, and written as JSON, without being checked again.

What comes from outside is validated (`Contract(...)`, `model_validate`). What our own steps make
has its types by mypy, and the laws over every step validate each output; checking it in production
as well, and having pydantic write it, was a fifth of what a chat cost in `enrich` and more of a
fact in `converse` (docs/adr/0008).
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
    """Return a value for each field, in their order; None where the maker has to name one."""
    return {
        name: None if field.is_required() else field.default
        for name, field in contract.model_fields.items()
    }


def construct(contract: type[T], *parts: dict[str, Any], **fields: Any) -> T:
    """Return a contract of values that have its fields' types already, from dictionaries and names;
    later ones win.

    Neither a missing field nor one of another type is noticed: for what our own code makes, never
    for what came from outside.
    """
    one = contract.__new__(contract)
    values = _defaults(contract).copy()
    for part in parts:
        values.update(part)
    values.update(fields)
    object.__setattr__(one, "__dict__", values)
    object.__setattr__(one, "__pydantic_fields_set__", set(values))
    object.__setattr__(one, "__pydantic_extra__", {})
    object.__setattr__(one, "__pydantic_private__", None)
    return one


def to_json(contract: Contract) -> bytes:
    """Return a contract's JSON, UTF-8, byte for byte what pydantic's `model_dump_json` gives.

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
    raise TypeError(f"{type(value).__name__} is not of JSON")

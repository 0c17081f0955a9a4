"""The contract and the raw topic of an event, and error messages for invalid events."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from schemas import business, communications
from schemas.dead_letters import RejectCode
from schemas.labels import LabelData, MovedData, RetractionData
from schemas.topics import RAW_BUSINESS, RAW_CALL, RAW_CHAT, RAW_EMAIL, RAW_LABELS, Topic
from schemas.types import Contract

LABEL_ADDED, LABEL_RETRACTED, MESSAGE_MOVED = (
    "comm.label.given",
    "comm.label.retracted",
    "comm.message.moved",
)
_LABEL_EVENTS: dict[str, type[Contract]] = {
    LABEL_ADDED: LabelData,
    LABEL_RETRACTED: RetractionData,
    MESSAGE_MOVED: MovedData,
}
EVENT_TYPES: tuple[str, ...] = (
    "comm.message.received",
    "comm.message.sent",
    "comm.call.completed",
    "comm.call.missed",
    *business.TYPES,
    *_LABEL_EVENTS,
)


def contract_of(event_type: str, data: dict[str, Any]) -> type[Contract] | None:
    """Return the contract of an event's data by its type and channel, or None for an unknown type.

    >>> contract_of("comm.message.received", {"channel": "email"}).__name__
    'EmailData'
    """
    if event_type in _LABEL_EVENTS:
        return _LABEL_EVENTS[event_type]
    return communications.data_model(event_type, data) or business.data_model(event_type, data)


def raw_topic_of(contract: type[Contract]) -> Topic:
    """Return the raw topic of a contract's events.

    >>> raw_topic_of(communications.CallData).name
    'raw.call.v1'
    """
    for topic in (RAW_EMAIL, RAW_CALL, RAW_CHAT, RAW_BUSINESS, RAW_LABELS):
        if contract in topic.carries:
            return topic
    raise KeyError(f"no raw topic carries {contract.__name__}")


_CODES = {
    "missing": RejectCode.SCHEMA_MISSING_FIELD,
    "enum": RejectCode.SCHEMA_ENUM,
    "literal_error": RejectCode.SCHEMA_ENUM,
}
# The message must fit a terminal and a table cell; the dead letter keeps the whole payload.
_MAX_PROBLEMS = 5
_MAX_INPUT = 80


def explain(error: ValidationError, prefix: str = "") -> tuple[RejectCode, str]:
    """Return the reject code, and a message with path and problem of each wrong field.

    A path looks like `data.from.phone`.
    """
    problems = error.errors(include_url=False)
    parts = []
    for problem in problems[:_MAX_PROBLEMS]:
        path = ".".join(str(step) for step in (*([prefix] if prefix else []), *problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        value = (
            ""
            if problem["type"] == "missing" or isinstance(problem["input"], (dict, list))
            else f" (value: {str(problem['input'])[:_MAX_INPUT]!r})"
        )
        parts.append(f"{path or 'event'}: {message}{value}")
    if len(problems) > _MAX_PROBLEMS:
        parts.append(f"and {len(problems) - _MAX_PROBLEMS} more")
    return _code(problems[0]), "; ".join(parts)


def _code(problem: Any) -> RejectCode:
    kind = str(problem["type"])
    if kind in _CODES:
        return _CODES[kind]
    path = problem["loc"]
    if path and (str(path[-1]).endswith("_at") or path[-1] == "time"):
        return RejectCode.TIME_INVALID
    return (
        RejectCode.SCHEMA_VALUE
        if kind in ("value_error", "greater_than", "greater_than_equal", "less_than_equal")
        else RejectCode.SCHEMA_TYPE
    )

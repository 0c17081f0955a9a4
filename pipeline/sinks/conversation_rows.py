"""From converse's contracts to rows: conversations, facts, follow-ups, record flags, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.types import Contract

RowsOf = Callable[[Any, int], Iterable[tuple[str, dict[str, Any]]]]


def _mapping(contract: type[Contract], table: str) -> tuple[type[Contract], RowsOf]:
    """Return a contract's mapping to the table whose columns are its fields, `version` beside them."""
    names = tuple(name for name in contract.model_fields if name != "schema_version")

    def rows(told: Contract, version: int) -> Iterable[tuple[str, dict[str, Any]]]:
        row = {name: _plain(getattr(told, name)) for name in names}
        row["version"] = version
        yield table, row

    return contract, rows


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


CONVERSATION_MAPPINGS: dict[type[Contract], RowsOf] = dict(
    (
        _mapping(Conversation, "conversation_rows"),
        _mapping(ConversationFact, "conversation_fact_rows"),
        _mapping(FollowUp, "followup_rows"),
        _mapping(RecordFlag, "record_flag_rows"),
    )
)

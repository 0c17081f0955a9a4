"""`dlq list` and `dlq show`: read dead letters from the history."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.sinks.warehouse import Warehouse, rows
from schemas.dead_letters import DeadLetter
from schemas.registry import explain

logger = logging.getLogger(__name__)

# Everything but the payload, which may be 64 MiB.
_LISTED = (
    "dead_letter_id, stage, step, reason_code, message, failed_at, connector, locator, topic,"
    " partition, offset, payload_bytes, replays, replay_outcome"
)


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """A selection of dead letters; empty fields select all.

    `ids` may be prefixes of ids.

    >>> DeadLetterFilter(stage="enrich").where()
    ('true AND stage = {stage:String}', {'stage': 'enrich'})
    """

    ids: tuple[str, ...] = ()
    stage: str = ""
    code: str = ""
    connector: str = ""
    open_only: bool = False

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the SQL condition and its parameters."""
        conditions = ["true"]
        parameters: dict[str, Any] = {}
        if self.ids:
            conditions.append(
                "arrayExists(prefix -> startsWith(toString(dead_letter_id), prefix),"
                " {ids:Array(String)})"
            )
            parameters["ids"] = list(self.ids)
        for column, value in (("stage", self.stage), ("reason_code", self.code)):
            if value:
                conditions.append(f"{column} = {{{column}:String}}")
                parameters[column] = value
        if self.connector:
            conditions.append("splitByChar('/', connector)[1] = {connector:String}")
            parameters["connector"] = self.connector
        if self.open_only:
            conditions.append("replay_outcome != 'accepted'")
        return " AND ".join(conditions), parameters


def list_dead_letters(
    warehouse: Warehouse, selection: DeadLetterFilter, limit: int
) -> list[dict[str, Any]]:
    """Return dead letters without their payload, newest first."""
    where, parameters = selection.where()
    sql = (
        f"SELECT {_LISTED} FROM dead_letters WHERE {where} ORDER BY failed_at DESC, dead_letter_id"
        f" LIMIT {limit:d}"
    )
    return rows(warehouse, sql, **parameters)


def read_dead_letters(warehouse: Warehouse, selection: DeadLetterFilter) -> Iterator[DeadLetter]:
    """Yield dead letters with their payload, one query each, to keep one at a time in memory."""
    where, parameters = selection.where()
    ids = rows(
        warehouse,
        f"SELECT dead_letter_id FROM dead_letters WHERE {where} ORDER BY failed_at, dead_letter_id",
        **parameters,
    )
    for row in ids:
        letters = rows(
            warehouse,
            "SELECT * EXCEPT (payload, key, replays, replay_outcome),"
            " replaceAll(toString(failed_at), ' ', 'T') || 'Z' AS failed_at, base64Encode(payload)"
            " AS payload, base64Encode(key) AS key FROM dead_letters WHERE dead_letter_id ="
            " {id:UUID}",
            id=row["dead_letter_id"],
        )
        for item in letters:
            try:
                yield DeadLetter.model_validate(item)
            except ValidationError as error:
                # Somebody else wrote it to the topic of dead letters, which has no other check.
                logger.warning(
                    "Dead letter %s is left out, it is not one of ours: %s",
                    row["dead_letter_id"],
                    explain(error)[1],
                )

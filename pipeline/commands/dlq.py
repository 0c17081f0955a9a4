"""Dead letters: listed, shown whole, and sent again; every try is audited, and one that fails says
so.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from getpass import getuser
from typing import Any

from pipeline.envelope import checked, contract_message, to_message
from pipeline.ingest.port import Found, IngestOptions, OptionError, Unit
from pipeline.ingest.registry import CONNECTORS
from pipeline.log.port import LogRecord, Message
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import Replica
from pipeline.outcomes import Reject
from pipeline.processors.identify import Identity
from pipeline.runtime.runner import utc_now
from pipeline.runtime.stages import (
    ENRICH_TOPICS,
    RESOLVE_TOPICS,
    decode_contract,
    enrich_handler,
    labelled_texts,
)
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.dead_letters import DeadLetter, Replay
from schemas.labels import Label
from schemas.topics import DEAD_LETTERS

# Everything but the payload, which may be 64 MiB.
_LISTED = (
    "dead_letter_id, stage, step, reason_code, message, failed_at, connector, locator, topic,"
    " partition, offset, payload_bytes, replays, replay_outcome"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant; empty fields mean all. `ids` may be the first characters of
    ids.
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


def listed(warehouse: Warehouse, wanted: Filter, limit: int) -> list[dict[str, Any]]:
    """Return dead letters without their payload, newest first."""
    where, parameters = wanted.where()
    sql = (
        f"SELECT {_LISTED} FROM dead_letters WHERE {where} ORDER BY failed_at DESC, dead_letter_id"
        f" LIMIT {limit:d}"
    )
    return rows(warehouse, sql, **parameters)


def whole(warehouse: Warehouse, wanted: Filter) -> Iterator[DeadLetter]:
    """Yield dead letters with their payload, one query each, so that memory holds one at a time."""
    where, parameters = wanted.where()
    ids = rows(
        warehouse,
        f"SELECT dead_letter_id FROM dead_letters WHERE {where} ORDER BY failed_at, dead_letter_id",
        **parameters,
    )
    for row in ids:
        found = rows(
            warehouse,
            "SELECT * EXCEPT (payload, key, replays, replay_outcome),"
            " replaceAll(toString(failed_at), ' ', 'T') || 'Z' AS failed_at, base64Encode(payload)"
            " AS payload, base64Encode(key) AS key FROM dead_letters WHERE dead_letter_id ="
            " {id:UUID}",
            id=row["dead_letter_id"],
        )
        yield from (DeadLetter.model_validate(item) for item in found)


class Replayer:
    """Sends dead letters again: what would be refused again is told at once and not sent."""

    def __init__(
        self,
        warehouse: Warehouse,
        identity: Identity,
        options: IngestOptions,
        heads: tuple[Head, ...] = HEADS,
    ) -> None:
        self._warehouse = warehouse
        self._options = options
        self._enrich = enrich_handler(identity, Replica(heads=heads).snapshot, heads=heads)

    def replay(self, letter: DeadLetter) -> tuple[Replay, list[Message]]:
        """Return the audit of a try and the messages to produce with it."""
        messages, problem = self._again(letter)
        now = utc_now()
        audit = Replay(
            dead_letter_id=letter.dead_letter_id,
            replayed_at=now,
            by=getuser(),
            outcome="refused" if problem else "accepted",
            message=problem,
        )
        audited = contract_message(DEAD_LETTERS.name, str(letter.dead_letter_id), audit)
        return audit, [*([] if problem else messages), audited]

    def _again(self, letter: DeadLetter) -> tuple[list[Message], str]:
        if letter.stage == "collect":
            return self._collected_again(letter)
        message = Message(
            letter.topic,
            letter.key or None,
            letter.payload,
            tuple((name, value.encode()) for name, value in letter.headers.items()),
        )
        return [message], self._problem(message)

    def _problem(self, message: Message) -> str:
        """Return why a message would be refused again, "" where it would not, as far as can be told
        without writing.
        """
        record = LogRecord(
            message.topic,
            0,
            0,
            int(utc_now().timestamp() * 1000),
            message.key,
            message.value,
            message.headers,
        )
        if message.topic in ENRICH_TOPICS:
            return _refusals(self._enrich.handle([record]))
        contract = decode_contract(record)
        if isinstance(contract, Reject):
            return contract.detail
        if message.topic in RESOLVE_TOPICS and isinstance(contract, Label):
            known = labelled_texts(self._warehouse, [contract.record_id])
            return (
                ""
                if contract.record_id in known
                else f"the history still holds no record {contract.record_id}"
            )
        return ""

    def _collected_again(self, letter: DeadLetter) -> tuple[list[Message], str]:
        name = letter.connector.partition("/")[0]
        connector = CONNECTORS.get(name)
        if connector is None:
            return [], f"there is no connector {name!r} any more"
        unit = Unit(letter.locator, lambda: io.BytesIO(letter.payload))
        messages: list[Message] = []
        try:
            for item in connector.read(unit, self._options):
                if not isinstance(item, Found):
                    return [], item.detail
                event = item.event.model_copy(
                    update={"locator": letter.locator, "connector": letter.connector}
                )
                data = checked(event)
                if isinstance(data, Reject):
                    return [], data.detail
                messages.append(to_message(event, data))
        except OptionError as error:
            return [], str(error)
        return (messages, "") if messages else ([], "nothing was found in the payload")


def _refusals(messages: Sequence[Message]) -> str:
    letters = [
        DeadLetter.model_validate_json(message.value)
        for message in messages
        if message.topic == DEAD_LETTERS.name
    ]
    return "; ".join(letter.message for letter in letters)

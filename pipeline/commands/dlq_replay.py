"""`dlq replay`: send dead letters again, and write an audit record of every attempt."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from getpass import getuser

from pipeline.commands.dlq import DeadLetterFilter, read_dead_letters
from pipeline.envelope import encode_event, validate_data
from pipeline.errors import is_caused_by_record
from pipeline.ingest.port import IngestOptions, InputUnit, OptionError, ReadEvent
from pipeline.ingest.registry import CONNECTORS
from pipeline.log.claim_check import (
    BodyMissingError,
    BodyStore,
    restore_large_body,
    store_large_bodies,
)
from pipeline.log.clock import utc_now
from pipeline.log.contract_messages import encode_contract
from pipeline.log.dead_letters import original_headers
from pipeline.log.port import LogRecord, Message
from pipeline.models.heads import HEADS, Head
from pipeline.models.replica import Replica
from pipeline.outcomes import Reject
from pipeline.processors.identify import Identity
from pipeline.runtime.stages import (
    ENRICH_TOPICS,
    RESOLVE_TOPICS,
    STAGES,
    decode_contract,
    enrich_handler,
    labelled_texts,
)
from pipeline.sinks.warehouse import Warehouse
from pipeline.workspace import Workspace
from schemas.dead_letters import DeadLetter, Replay
from schemas.labels import Label
from schemas.topics import DEAD_LETTERS

_REPLAYED = frozenset(topic for topics in STAGES.values() for topic in topics)


def replay_dead_letters(
    workspace: Workspace, selection: DeadLetterFilter
) -> tuple[list[Replay], list[Replay]]:
    """Replay the selected dead letters; return the accepted and the rejected attempts."""
    accepted: list[Replay] = []
    rejected: list[Replay] = []
    with workspace.open_warehouse() as warehouse, workspace.open_log() as log:
        options = workspace.ingest_options(None, (), {})
        replayer = DeadLetterReplayer(
            warehouse, workspace.identity(), options, workspace.blobs, workspace.heads()
        )
        for letter in read_dead_letters(warehouse, selection):
            audit, messages = replayer.replay(letter)
            with log.transaction() as transaction:
                transaction.produce(store_large_bodies(messages, workspace.blobs))
            (accepted if audit.outcome == "accepted" else rejected).append(audit)
    return accepted, rejected


class DeadLetterReplayer:
    """Sends dead letters again, except those that would be rejected again."""

    def __init__(
        self,
        warehouse: Warehouse,
        identity: Identity,
        options: IngestOptions,
        bodies: BodyStore,
        heads: tuple[Head, ...] = HEADS,
    ) -> None:
        self._warehouse = warehouse
        self._options = options
        self._bodies = bodies
        self._enrich = enrich_handler(identity, Replica(heads=heads).classifier, heads=heads)

    def replay(self, letter: DeadLetter) -> tuple[Replay, list[Message]]:
        """Return the audit record of an attempt and the messages to produce with it."""
        messages, problem = self._messages(letter)
        now = utc_now()
        audit = Replay(
            dead_letter_id=letter.dead_letter_id,
            replayed_at=now,
            by=getuser(),
            outcome="refused" if problem else "accepted",
            message=problem,
        )
        audit_message = encode_contract(DEAD_LETTERS.name, str(letter.dead_letter_id), audit)
        return audit, [*([] if problem else messages), audit_message]

    def _messages(self, letter: DeadLetter) -> tuple[list[Message], str]:
        if letter.stage == "collect":
            return self._read_again(letter)
        message = Message(
            letter.topic,
            letter.key or None,
            letter.payload,
            original_headers(letter),
        )
        if message.topic not in _REPLAYED:
            return [], f"topic: no stage reads {message.topic!r}"
        try:
            return self._checked(message)
        except BodyMissingError as error:
            return [], str(error)
        except Exception as error:
            if not is_caused_by_record(error):
                raise
            return [], f"reading it raised {type(error).__name__}: {error}"

    def _checked(self, message: Message) -> tuple[list[Message], str]:
        """Return a message with its body, if it has a reference, and why it would be rejected."""
        record = restore_large_body(_as_record(message), self._bodies)
        message = replace(message, value=record.value, headers=record.headers)
        return [message], self._problem(message)

    def _problem(self, message: Message) -> str:
        """Return why a message would be rejected again, or "", as far as known without writing."""
        record = _as_record(message)
        if message.topic in ENRICH_TOPICS:
            return _rejections(self._enrich.handle([record]))
        contract = decode_contract(record)
        if isinstance(contract, Reject):
            return contract.detail
        if message.topic in RESOLVE_TOPICS and isinstance(contract, Label):
            known = labelled_texts(self._warehouse, [contract.record_id])
            return (
                ""
                if contract.record_id in known
                else f"the history still contains no record {contract.record_id}"
            )
        return ""

    def _read_again(self, letter: DeadLetter) -> tuple[list[Message], str]:
        name = letter.connector.partition("/")[0]
        connector = CONNECTORS.get(name)
        if connector is None:
            return [], f"the connector {name!r} does not exist anymore"
        unit = InputUnit(letter.locator, lambda: io.BytesIO(letter.payload))
        messages: list[Message] = []
        try:
            for item in connector.read(unit, self._options):
                if not isinstance(item, ReadEvent):
                    return [], item.detail
                event = item.event.model_copy(
                    update={"locator": letter.locator, "connector": letter.connector}
                )
                data = validate_data(event)
                if isinstance(data, Reject):
                    return [], data.detail
                messages.append(encode_event(event, data))
        except OptionError as error:
            return [], str(error)
        return (messages, "") if messages else ([], "the payload contains no event")


def _as_record(message: Message) -> LogRecord:
    at_ms = int(utc_now().timestamp() * 1000)
    return LogRecord(message.topic, 0, 0, at_ms, message.key, message.value, message.headers)


def _rejections(messages: Sequence[Message]) -> str:
    letters = [
        DeadLetter.model_validate_json(message.value)
        for message in messages
        if message.topic == DEAD_LETTERS.name
    ]
    return "; ".join(letter.message for letter in letters)

"""Validates events and publishes them to their raw topics; what fails becomes a dead letter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import orjson

from pipeline.envelope import encode_event, validate_data
from pipeline.ingest.distinct_items import DistinctItems
from pipeline.ingest.port import ConnectorItem, Rejection
from pipeline.log.claim_check import BodyStore, store_large_bodies
from pipeline.log.clock import Clock, utc_now
from pipeline.log.dead_letters import ingest_dead_letter
from pipeline.log.port import Log, Message
from pipeline.outcomes import Reject
from schemas.dead_letters import RejectCode
from schemas.envelope import DEFAULT_TENANT

# A transaction costs one fsync (a few ms), which a few hundred events share; a limit in bytes
# bounds the memory of a batch of large mails.
MAX_BATCH, MAX_BATCH_BYTES = 1_000, 8 * 1024 * 1024


@dataclass
class Publisher:
    """Publishes items in batches; a batch and its checkpoints become durable in one transaction."""

    log: Log
    blobs: BodyStore
    clock: Clock = utc_now
    counts: Counter[str] = field(default_factory=Counter)
    _messages: list[Message] = field(default_factory=list)
    _checkpoints: dict[str, bytes] = field(default_factory=dict)
    _bytes: int = 0

    def publish(
        self,
        item: ConnectorItem,
        connector: str,
        tenant: str = DEFAULT_TENANT,
        distinct: DistinctItems | None = None,
    ) -> Reject | None:
        """Add an item to the batch; return the rejection if connector or contract rejects it.

        The item is durable after the next `flush`. A rejected item is published as a dead letter.
        `distinct` counts the item if its unit never had it before.
        """
        rejection, message = self._message(item, connector, tenant)
        if distinct is not None:
            event = None if isinstance(item, Rejection) else item.event
            distinct.add(message, event.locator if event else "")
        self.counts["rejected" if rejection else "published"] += 1
        self._messages.append(message)
        self._bytes += len(message.value)
        return rejection

    def _message(
        self, item: ConnectorItem, connector: str, tenant: str
    ) -> tuple[Reject | None, Message]:
        if isinstance(item, Rejection):
            rejection = Reject(item.code, item.detail)
            return rejection, ingest_dead_letter(
                connector, item.raw, rejection, item.locator, tenant, self.clock()
            )
        data = item.data or validate_data(item.event)
        if not isinstance(data, Reject):
            try:
                return None, encode_event(item.event, data)
            except orjson.JSONEncodeError as error:
                data = Reject(
                    RejectCode.CHARSET, f"data: cannot be written as JSON in UTF-8: {error}"
                )
        return data, ingest_dead_letter(
            connector, item.raw, data, item.event.locator, tenant, self.clock()
        )

    @property
    def full(self) -> bool:
        """Whether the batch has reached its largest size and should be flushed."""
        return (
            max(len(self._messages), len(self._checkpoints)) >= MAX_BATCH
            or self._bytes >= MAX_BATCH_BYTES
        )

    def mark(self, name: str, checkpoint: bytes) -> None:
        """Add a checkpoint to the batch; it becomes durable with the items added before it."""
        self._checkpoints[name] = checkpoint

    def flush(self) -> None:
        """Write the batch and its checkpoints in one transaction."""
        if not self._messages and not self._checkpoints:
            return
        messages = store_large_bodies(self._messages, self.blobs)
        with self.log.transaction() as transaction:
            transaction.produce(messages)
            for name, checkpoint in self._checkpoints.items():
                transaction.checkpoint(name, checkpoint)
        self._messages, self._checkpoints, self._bytes = [], {}, 0

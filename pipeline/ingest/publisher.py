"""The publisher: an event is checked against its contract and put on its raw topic, or refused with
its original bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import orjson

from pipeline.envelope import checked, to_message
from pipeline.ingest.port import Item, Refused
from pipeline.log.claim_check import BodyStore, store_large_bodies
from pipeline.log.port import Log, Message
from pipeline.outcomes import Reject
from pipeline.runtime.runner import Clock, collect_letter, utc_now
from schemas.dead_letters import RejectCode
from schemas.envelope import DEFAULT_TENANT

# One transaction is one fsync (a few ms): a few hundred events make it cheap, a few MiB keep a
# batch of large mails in memory.
MAX_BATCH, MAX_BATCH_BYTES = 1_000, 8 * 1024 * 1024


@dataclass
class Publisher:
    """Publishes items in batches, each with the checkpoint that says how far the reading has come,
    durably together.
    """

    log: Log
    blobs: BodyStore
    clock: Clock = utc_now
    counts: Counter[str] = field(default_factory=Counter)
    _messages: list[Message] = field(default_factory=list)
    _checkpoints: dict[str, bytes] = field(default_factory=dict)
    _bytes: int = 0

    def publish(self, item: Item, connector: str, tenant: str = DEFAULT_TENANT) -> Reject | None:
        """Take one item; return why its contract or its connector refused it, None where it was
        accepted.

        It is durable after the next `flush`. A refused item becomes a dead letter: nothing is left
        out.
        """
        refusal, message = self._message(item, connector, tenant)
        self.counts["refused" if refusal else "published"] += 1
        self._messages.append(message)
        self._bytes += len(message.value)
        return refusal

    def _message(self, item: Item, connector: str, tenant: str) -> tuple[Reject | None, Message]:
        if isinstance(item, Refused):
            refusal = Reject(item.code, item.detail)
            return refusal, collect_letter(
                connector, item.raw, refusal, item.locator, tenant, self.clock()
            )
        data = checked(item.event)
        if not isinstance(data, Reject):
            try:
                return None, to_message(item.event, data)
            except orjson.JSONEncodeError as error:
                data = Reject(
                    RejectCode.CHARSET, f"data: cannot be written as JSON in UTF-8: {error}"
                )
        return data, collect_letter(
            connector, item.raw, data, item.event.locator, tenant, self.clock()
        )

    @property
    def full(self) -> bool:
        """Whether the batch is as large as one should be."""
        return (
            max(len(self._messages), len(self._checkpoints)) >= MAX_BATCH
            or self._bytes >= MAX_BATCH_BYTES
        )

    def mark(self, name: str, checkpoint: bytes) -> None:
        """Remember how far the reading has come; it becomes durable together with everything taken
        before it.
        """
        self._checkpoints[name] = checkpoint

    def flush(self) -> None:
        """Make everything taken and marked durable, in one transaction."""
        if not self._messages and not self._checkpoints:
            return
        messages = store_large_bodies(self._messages, self.blobs)
        with self.log.transaction() as transaction:
            transaction.produce(messages)
            for name, checkpoint in self._checkpoints.items():
                transaction.checkpoint(name, checkpoint)
        self._messages, self._checkpoints, self._bytes = [], {}, 0

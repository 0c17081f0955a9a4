"""The state of live in a Faust Table, kept consistent with its changelog.

Faust's own recovery does not fill the Table: its queues are cleared and its partitions change while
it reads, and leftovers would overwrite newer counts. `LiveState` reads the changelog of all
partitions itself, which the view needs anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import faust
import orjson

from pipeline.log.port import Message, TopicPartition
from pipeline.processors.live.panes import PaneKey, read_key
from pipeline.processors.live.view import LiveView
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.topic_scan import offset_bounds
from pipeline.runtime.kafka.topic_tail import KafkaTail
from schemas.topics import LIVE_STATE

logger = logging.getLogger(__name__)

# The longest wait for new changes; the view is at most this far behind.
_POLL_S = 0.5
# Expired panes are removed from the Table this often.
_EXPIRE_MS = 60_000
# Kafka's offsets are below 2^63, which has nineteen digits.
_OFFSET_DIGITS = 20


class UnmanagedTable(faust.Table):  # type: ignore[type-arg]
    """A Table that Faust does not fill from the changelog."""

    def apply_changelog_batch(self, *_args: Any, **_kwargs: Any) -> None:
        """Ignore the batch: `LiveState` fills the Table."""


class LiveState:
    """The counts of live for the partitions of this worker, and the view of all partitions."""

    def __init__(self, broker: Broker, table: Any, view: LiveView) -> None:
        self._broker = broker
        self._table = table
        self._view = view
        self._tail = KafkaTail(broker, LIVE_STATE.name)
        self._reading = asyncio.Lock()
        self._shown: dict[bytes, bytes] = {}
        self._differing: dict[bytes, tuple[bytes, bytes]] = {}
        self._expired_at: dict[int, int] = {}
        self._next: dict[TopicPartition, int] = {}

    @property
    def at_end(self) -> bool:
        """Whether the view has caught up with the changelog once."""
        return self._tail.at_end

    # --- writing

    def owns(self, topic_partition: TopicPartition) -> bool:
        """Return whether this worker owns a partition."""
        return topic_partition in self._next

    def owned_offsets(self) -> dict[TopicPartition, int]:
        """Return the next offset of each owned partition; any thread may call this."""
        return dict(self._next)

    def next_offset(self, topic_partition: TopicPartition) -> int:
        """Return the first offset of an owned partition that is not counted yet."""
        return self._next[topic_partition]

    def state_partition(self, topic: str, key: bytes) -> int:
        """Return the partition that has a key's state; see `StateStore`."""
        assert topic == LIVE_STATE.name
        return _partition_of(key)

    def read_states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the states of the keys that have one; see `StateStore`."""
        assert topic == LIVE_STATE.name
        data = self._table.data
        return {key: data[key] for key in keys if key in data}

    def write(
        self,
        states: Sequence[Message],
        next_offsets: Mapping[TopicPartition, int],
        now_ms: int,
    ) -> list[Any]:
        """Write the changed states of a batch, then its next offsets; return futures."""
        changes: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        for message in states:
            assert message.partition is not None
            changes[message.partition][message.key or b""] = message.value
        for topic_partition, offset in next_offsets.items():
            changes[topic_partition[1]][_next_key(topic_partition)] = str(offset).encode()
        for partition, changed in changes.items():
            changed.update(dict.fromkeys(self._expired_keys(partition, now_ms), b""))
        self._next.update(next_offsets)
        return [
            self._write(partition, key, value)
            for partition, changed in changes.items()
            for key, value in changed.items()
        ]

    def _write(self, partition: int, key: bytes, value: bytes) -> Any:
        self._set(key, value)
        return self._table.send_changelog(partition, key, value or None, value_serializer="raw")

    def _set(self, key: bytes, value: bytes) -> None:
        if value:
            self._table.data[key] = value
        else:
            self._table.data.pop(key, None)

    def _expired_keys(self, partition: int, now_ms: int) -> list[bytes]:
        """Return the keys of a partition's expired panes, once a minute."""
        if now_ms - self._expired_at.get(partition, 0) < _EXPIRE_MS:
            return []
        self._expired_at[partition] = now_ms
        keys = ((raw, read_key(raw)) for raw in list(self._table.data.keys()))
        return [
            raw
            for raw, key in keys
            if isinstance(key, PaneKey)
            and key.partition == partition
            and key.resolution.is_past(key.start_s, now_ms)
        ]

    # --- taking over

    def release(self) -> None:
        """Give all partitions up, until they are taken over again."""
        self._next = {}

    async def take_over(
        self, owned: Sequence[TopicPartition], since_ms: int
    ) -> Mapping[TopicPartition, int]:
        """Take partitions over with the states of their changelog; return their start offsets.

        A partition without a state starts at the instant `since_ms`. Raises BrokerError.
        """
        loop = asyncio.get_running_loop()
        partitions = {partition for _, partition in owned}
        ends = await loop.run_in_executor(
            None, offset_bounds, self._broker.admin, [LIVE_STATE.name]
        )
        # Faust starts its tasks only after partitions are taken over: the task that reads the
        # changelog may not run yet.
        while any(
            self._tail.positions()[partition] < ends[LIVE_STATE.name, partition][1]
            for partition in partitions
        ):
            await self.read_changelog()
        self._restore(partitions)
        counted = {
            topic_partition: offset
            for topic_partition in owned
            if (offset := _read_offset(self._table.data.get(_next_key(topic_partition), b"")))
            is not None
        }
        if fresh := [
            topic_partition for topic_partition in owned if topic_partition not in counted
        ]:
            counted |= await loop.run_in_executor(None, self._broker.offsets_since, fresh, since_ms)
        self._next = counted
        return dict(counted)

    def _restore(self, partitions: set[int]) -> None:
        """Set the Table to the changelog's states of partitions."""
        for key in {*self._table.data.keys(), *self._shown}:
            if _partition_of(key) in partitions:
                self._set(key, self._shown.get(key, b""))

    # --- reading the changelog

    async def read_changelog(self) -> None:
        """Apply new changes of all partitions to the view; raises BrokerUnavailableError."""
        # Faust cancels a take-over when partitions move again: polled changes must be applied
        # nevertheless.
        await asyncio.shield(asyncio.ensure_future(self._apply_changes()))

    async def _apply_changes(self) -> None:
        async with self._reading:
            polled = await asyncio.get_running_loop().run_in_executor(
                None, self._tail.poll, _POLL_S
            )
            changes = [(key, value) for key, value in polled if _is_state_key(key)]
            self._view.apply(changes)
            self._shown.update(changes)

    async def repair(self) -> None:
        """Write the Table's states again where the changelog differs for the second time.

        A worker that was suspended for longer than its session may overwrite a newer state of its
        successor with an old one when it resumes.
        """
        owned = {partition for _, partition in self._next}
        differing: dict[bytes, tuple[bytes, bytes]] = {}
        sent = []
        for key, value in list(self._table.data.items()):
            partition = _partition_of(key)
            if partition in owned and (shown := self._shown.get(key, b"")) != value:
                differing[key] = shown, value
                if self._differing.get(key) == (shown, value):
                    logger.warning(
                        "Another worker overwrote state %s with an old one; writing it again",
                        key.decode(),
                    )
                    sent.append(self._write(partition, key, value))
        await asyncio.gather(*sent)
        self._differing = differing
        self._shown = {key: value for key, value in self._shown.items() if value}


def _partition_of(key: bytes) -> int:
    """Return the partition of a state's key: the second element of its JSON array."""
    return int(orjson.loads(key)[1])


def _is_state_key(key: bytes) -> bool:
    """Return whether a key is one of live's; others may write to its topic, too."""
    try:
        read_key(key)
        _partition_of(key)
    except (ValueError, TypeError, LookupError):
        logger.warning("A message with key %r in the topic of live's state is left out", key[:80])
        return False
    return True


def _read_offset(raw: bytes) -> int | None:
    """Return the offset that bytes contain, or None if they contain none."""
    return int(raw) if raw.isdigit() and len(raw) < _OFFSET_DIGITS else None


def _next_key(topic_partition: TopicPartition) -> bytes:
    topic, partition = topic_partition
    return f'["next",{partition},"{topic}"]'.encode()

"""The state of live in a Faust Table: changed with its changelog, checked against it, and taken
over with partitions.

What Faust's recovery reads is not put into the Table: its queues are cleared, and its partitions
change, while it reads, and what is left in them would be put over newer counts. This reads the
changelog of all partitions beside it, for the view anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import faust
import orjson

from pipeline.log.port import TopicPartition
from pipeline.processors.live.panes import PaneKey, State, read_key
from pipeline.processors.live.view import View
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.topic_scan import log_ends
from pipeline.runtime.kafka.topic_tail import KafkaTail
from schemas.topics import LIVE_STATE

logger = logging.getLogger(__name__)

_TAIL_S = 0.5
# Panes that no window covers any more are taken out of the Table this often.
_TIDY_MS = 60_000


class FollowedTable(faust.Table):  # type: ignore[type-arg]
    """A Table that is not filled by Faust."""

    def apply_changelog_batch(self, *_args: Any, **_kwargs: Any) -> None:
        """Leave it to LiveState."""


class LiveState:
    """What live counts, of the partitions that this worker holds; and the view of all, as the
    changelog shows them.
    """

    def __init__(self, broker: Broker, table: Any, view: View) -> None:
        self._broker = broker
        self._table = table
        self._view = view
        self._tail = KafkaTail(broker, LIVE_STATE.name)
        self._following = asyncio.Lock()
        self._shown: dict[bytes, bytes] = {}
        self._differing: dict[bytes, tuple[bytes, bytes]] = {}
        self._tidied: dict[int, int] = {}
        self._begun: dict[TopicPartition, int] = {}

    @property
    def caught_up(self) -> bool:
        """Whether the view has everything that there was when it began."""
        return self._tail.caught_up

    # --- counting

    def holds(self, lane: TopicPartition) -> bool:
        """Return whether a partition was taken over and not given up since."""
        return lane in self._begun

    def held(self) -> dict[TopicPartition, int]:
        """Return the partitions held, each with its first offset that is not counted yet; for any
        thread.
        """
        return dict(self._begun)

    def expected(self, lane: TopicPartition) -> int:
        """Return the first offset of a partition held that is not counted yet."""
        return self._begun[lane]

    def stored(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the state of those keys that have one."""
        data = self._table.data
        return {key: data[key] for key in keys if key in data}

    def change(self, lane: TopicPartition, changed: State, expected: int, now_ms: int) -> list[Any]:
        """Write what a batch changes, with the offset to go on from; each future tells when its
        change is durable.
        """
        _, partition = lane
        changes = {**changed, _next_key(lane): str(expected).encode()}
        changes |= dict.fromkeys(self._past(partition, now_ms), b"")
        self._begun[lane] = expected
        return [self._write(partition, key, value) for key, value in changes.items()]

    def _write(self, partition: int, key: bytes, value: bytes) -> Any:
        self._set(key, value)
        return self._table.send_changelog(partition, key, value or None, value_serializer="raw")

    def _set(self, key: bytes, value: bytes) -> None:
        if value:
            self._table.data[key] = value
        else:
            self._table.data.pop(key, None)

    def _past(self, partition: int, now_ms: int) -> list[bytes]:
        """Return the keys of a partition's panes that no window covers any more, now and then."""
        if now_ms - self._tidied.get(partition, 0) < _TIDY_MS:
            return []
        self._tidied[partition] = now_ms
        keys = ((raw, read_key(raw)) for raw in list(self._table.data.keys()))
        return [
            raw
            for raw, key in keys
            if isinstance(key, PaneKey)
            and key.partition == partition
            and key.resolution.is_past(key.start_s, now_ms)
        ]

    # --- taking over

    def give_up(self) -> None:
        """Hold no partition any more, until they are taken over again."""
        self._begun = {}

    async def take_over(
        self, lanes: Sequence[TopicPartition], since_ms: int
    ) -> Mapping[TopicPartition, int]:
        """Hold partitions, with the state that their changelog shows; return where to read on, from
        `since_ms` on where nothing counts.

        Raises BrokerError.
        """
        loop = asyncio.get_running_loop()
        partitions = {partition for _, partition in lanes}
        ends = await loop.run_in_executor(None, log_ends, self._broker.admin, [LIVE_STATE.name])
        # Faust starts tasks only when it has taken over: nobody else may be following yet.
        while any(
            self._tail.read()[partition] < ends[LIVE_STATE.name, partition][1]
            for partition in partitions
        ):
            await self.follow()
        self._restore(partitions)
        counted = {
            lane: int(self._table.data[key])
            for lane in lanes
            if (key := _next_key(lane)) in self._table.data
        }
        if fresh := [lane for lane in lanes if lane not in counted]:
            counted |= await loop.run_in_executor(None, self._broker.offsets_at, fresh, since_ms)
        self._begun = counted
        return dict(counted)

    def _restore(self, partitions: set[int]) -> None:
        """Let the Table hold what the changelog shows of partitions."""
        for key in {*self._table.data.keys(), *self._shown}:
            if _partition_of(key) in partitions:
                self._set(key, self._shown.get(key, b""))

    # --- seeing

    async def follow(self) -> None:
        """Take in what came to the changelog of all partitions since; raises BrokerAway."""
        # Faust gives up taking over when partitions move again: what was polled must be taken in
        # all the same.
        await asyncio.shield(asyncio.ensure_future(self._take_in()))

    async def _take_in(self) -> None:
        async with self._following:
            changes = await asyncio.get_running_loop().run_in_executor(
                None, self._tail.poll, _TAIL_S
            )
            self._view.apply(changes)
            self._shown.update(changes)

    async def mend(self) -> None:
        """Write again what the changelog shows otherwise than the Table holds, and did so the last
        time.

        A worker that stood still for longer than its session, and wakes up, may write a state that
        is behind over its successor's.
        """
        held = {partition for _, partition in self._begun}
        differing: dict[bytes, tuple[bytes, bytes]] = {}
        sent = []
        for key, value in list(self._table.data.items()):
            partition = _partition_of(key)
            if partition in held and (shown := self._shown.get(key, b"")) != value:
                differing[key] = shown, value
                if self._differing.get(key) == (shown, value):
                    logger.warning("a state that was behind stood over %s", key.decode())
                    sent.append(self._write(partition, key, value))
        await asyncio.gather(*sent)
        self._differing = differing
        self._shown = {key: value for key, value in self._shown.items() if value}


def _partition_of(key: bytes) -> int:
    """Return the partition that a key of the state belongs to: what stands second in all of
    them.
    """
    return int(orjson.loads(key)[1])


def _next_key(lane: TopicPartition) -> bytes:
    topic, partition = lane
    return f'["next",{partition},"{topic}"]'.encode()

"""Faust's Kafka driver with committed reads, start offsets from the state, and gap detection.

In a rebalance Faust commits offsets past records that no agent got (docs/adr/0012). So a partition
is read from the record after the last one in its state, whatever was committed; the state lies in
the changelog, which live reads to its end first. Redelivered records change nothing, because each
count has the offset of its last record.

Faust also resumes partitions before it seeks, and clears its queues afterwards: a record may come
too early, or not at all. So each message carries the offset of its predecessor (gap_detection.py),
noted in the fetching thread, which also changes the positions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, AppT, ConsumerMessage, Message

from pipeline.runtime.gap_detection import FetchedRecord, FetchTracker

StartOffsets = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
"""Returns the offset to start from, for the partitions that have a state."""


class _ConsumerThread(AIOKafkaConsumerThread):
    fetches: FetchTracker

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetches = FetchTracker()

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for this, and aiokafka reads it when the consumer starts. Without it
        # records of aborted transactions would be counted.
        assert consumer._isolation_level == "read_uncommitted"
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # aiokafka moves all assigned partitions to their committed offsets.
        self.fetches.clear()
        # The main thread answers after it has sought in this one. A thread that stops does not seek
        # any more, and waits for the coordinator, which waits for this answer: each for the other,
        # until the supervisor kills the process.
        answer = asyncio.ensure_future(super().on_partitions_assigned(assigned, generation_id))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({answer, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                await answer
        finally:
            answer.cancel()
            stopped.cancel()

    async def _seek_wait(
        self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]
    ) -> None:
        for tp, offset in partitions.items():
            self.fetches.note_seek((tp.topic, tp.partition), offset)
        try:
            # This seeks before it waits for anything.
            await super()._seek_wait(consumer, partitions)
        except BaseException:
            # The positions of a partition that is not assigned any more, and of those after it, did
            # not change.
            self.fetches.clear()
            raise

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, list[FetchedRecord]]:
        # aiokafka returns records and moves its position without awaiting in between, so no other
        # task interferes.
        records = await super()._fetch_records(*args, **kwargs)
        return {
            tp: self.fetches.note_fetch((tp.topic, tp.partition), batch)
            for tp, batch in records.items()
        }


class StateOffsetConsumer(Consumer):
    """Faust's consumer with start offsets from the state."""

    starts: StartOffsets
    _thread: _ConsumerThread

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: FetchedRecord) -> ConsumerMessage:
        message = super()._to_message(tp, record.record)
        vars(message)["after"] = record.previous_offset
        return message

    async def commit_state_offsets(self, offsets: Mapping[TP, int]) -> None:
        """Commit the offsets of the state, for the lag: Faust's own commits stop at lost events."""
        await self._thread.commit(offsets)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every partition to the offset of its state; Faust calls this before it delivers."""
        counted = await type(self).starts(set(self.assignment()))
        if counted:
            await self.seek_wait(counted)
        return counted


def previous_offset(message: Message) -> int | None:
    """Return the offset of the record before a message; None if it is not known."""
    offset: int | None = vars(message)["after"]
    return offset


def transport(app: AppT, url: Any, starts: StartOffsets) -> Transport:
    """Return the driver of an app, which starts partitions at the offsets that `starts` returns."""
    consumer = type("StateOffsetConsumer", (StateOffsetConsumer,), {"starts": staticmethod(starts)})
    driver: type[Transport] = type("CountedTransport", (Transport,), {"Consumer": consumer})
    return driver([url], app)

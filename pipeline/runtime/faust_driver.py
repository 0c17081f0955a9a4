"""Faust's Kafka driver, made to read what is committed only, to start where the state says, and to
tell what each record follows.

Faust commits offsets past records that it gave to nobody where partitions move (DESIGN §4). Here a
partition is read on from the record after the last one that its own state counts, whatever was
committed: the state lies in the changelog, which live reads to its end first. Records that are
given again change nothing, for each count knows the last offset in it.

Faust also resumes partitions before it seeks, and clears its queues after: a record may come too
early, or not at all. So each message bears the offset that it follows (runtime/gap_detection.py), noted
in the thread that fetches, where positions change too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, AppT, ConsumerMessage, Message

from pipeline.runtime.gap_detection import Chain, Fetched

Starts = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
"""Returns, for those partitions that have a state, the offset to read on from."""


class _Thread(AIOKafkaConsumerThread):
    chain: Chain

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.chain = Chain()

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it; aiokafka reads it when the consumer starts. Without it the
        # records of aborted transactions would be counted.
        assert consumer._isolation_level == "read_uncommitted"
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # aiokafka goes to what was committed, of all that is assigned.
        self.chain.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    async def _seek_wait(
        self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]
    ) -> None:
        for tp, offset in partitions.items():
            self.chain.sought((tp.topic, tp.partition), offset)
        try:
            # It seeks before it waits for anything.
            await super()._seek_wait(consumer, partitions)
        except BaseException:
            # Of a partition that is not assigned any more, and of all after it, the position is
            # what it was.
            self.chain.clear()
            raise

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, list[Fetched]]:
        # aiokafka gives records and moves its position with nothing in between that another task
        # could do.
        records = await super()._fetch_records(*args, **kwargs)
        return {
            tp: self.chain.fetched((tp.topic, tp.partition), batch) for tp, batch in records.items()
        }


class CountedConsumer(Consumer):
    """Faust's consumer, which goes by what the state counts."""

    starts: Starts
    _thread: _Thread

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Fetched) -> ConsumerMessage:
        message = super()._to_message(tp, record.record)
        vars(message)["after"] = record.after
        return message

    async def commit_counted(self, offsets: Mapping[TP, int]) -> None:
        """Commit what the state counts, for whoever asks for the lag: Faust's own commits stand
        still where events were cleared.
        """
        await self._thread.commit(offsets)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Read every partition on from what the state counts; Faust calls this before it gives out
        records.
        """
        counted = await type(self).starts(set(self.assignment()))
        if counted:
            await self.seek_wait(counted)
        return counted


def after(message: Message) -> int | None:
    """Return the offset that a message of a CountedConsumer follows; None where that is not
    known.
    """
    offset: int | None = vars(message)["after"]
    return offset


def transport(app: AppT, url: Any, starts: Starts) -> Transport:
    """Return the driver for an app, which reads partitions on from `starts`."""
    consumer = type("CountedConsumer", (CountedConsumer,), {"starts": staticmethod(starts)})
    driver: type[Transport] = type("CountedTransport", (Transport,), {"Consumer": consumer})
    return driver([url], app)

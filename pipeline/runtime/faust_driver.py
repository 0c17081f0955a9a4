"""Faust's Kafka driver, made to read what is committed only, and to start where the state says instead of where the group was.

Faust commits offsets past records that it gave to nobody where partitions move (DESIGN §4). Here a partition is read on from the
record after the last one that its own state counts, whatever was committed: the state lies in the changelog, which Faust has read
to its end by then. Records that are given again change nothing, for each count knows the last offset in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, AppT

Starts = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
"""Returns, for those partitions that have a state, the offset to read on from."""


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it; aiokafka reads it when the consumer starts. Without it the records of aborted transactions
        # would be counted.
        assert consumer._isolation_level == "read_uncommitted"
        consumer._isolation_level = "read_committed"
        return consumer


class CountedConsumer(Consumer):
    """Faust's consumer, which goes by what the state counts."""

    starts: Starts

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def commit_counted(self, offsets: Mapping[TP, int]) -> None:
        """Commit what the state counts, for whoever asks for the lag: Faust's own commits stand still where events were cleared."""
        await self._thread.commit(offsets)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Read every partition on from what the state counts; Faust calls this when it has read the changelog to its end."""
        committed = dict(await super().seek_to_committed())
        counted = await type(self).starts(set(self.assignment()))
        if counted:
            await self.seek_wait(counted)
        return {**committed, **counted}


def transport(app: AppT, url: Any, starts: Starts) -> Transport:
    """Return the driver for an app, which reads partitions on from `starts`."""
    consumer = type("CountedConsumer", (CountedConsumer,), {"starts": staticmethod(starts)})
    driver: type[Transport] = type("CountedTransport", (Transport,), {"Consumer": consumer})
    return driver([url], app)

"""How far every stage has read, asked of Kafka several times a second.

From it follows how long each partition made no progress after a fault.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.log.port import LogError
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.topic_scan import first_records
from pipeline.runtime.stages import KAFKA_STAGES, STAGES
from schemas.topics import TOPICS

_EVERY_S = 0.25
# After this long without progress a partition's records are counted, not its offsets.
_CHECK_S = 5.0
# Behind the last record lie markers of transactions that no group ever commits past; a larger
# difference is work.
_MARKS = 20
# The topics of those stages whose rows are compared. Live writes no rows of records;
# tests/stack/test_live.py kills it.
_INPUTS = {stage: STAGES[stage] for stage in KAFKA_STAGES}
Offsets = dict[tuple[str, str, int], int]


@dataclass
class FaultClock:
    """A fault, and by stage after how many seconds every partition that had work made progress."""

    what: str
    at: float
    waiting: dict[str, Offsets]
    check_at: float
    back: dict[str, float] = field(default_factory=dict)


class Progress:
    """Polls committed offsets and ends of partitions; `watch` starts a fault's clock."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._connect()
        self.committed: Offsets = {}
        self.ends: dict[tuple[str, int], int] = {}
        self.clocks: list[FaultClock] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        """Open clients that are kept for as long as the broker lives.

        One that has lost its coordinator may not find it again.
        """
        self._admin = AdminClient({"bootstrap.servers": self._broker, "log_level": 0})
        # By consumers that never join; see `Broker.committed`.
        self._groups = {
            group: Consumer({"bootstrap.servers": self._broker, "group.id": group, "log_level": 0})
            for group in KAFKA_STAGES
        }

    def _run(self) -> None:
        while not self._closed.wait(_EVERY_S):
            try:
                self._ask()
            except KafkaException:
                # The broker is down, or was: that is the experiment.
                self._connect()
                continue
            with self._lock:
                for fault in self.clocks:
                    self._look(fault)

    def _ask(self) -> None:
        places = [
            TopicPartition(topic.name, number)
            for topic in TOPICS.values()
            for number in self._partitions(topic.name)
        ]
        latest = self._admin.list_offsets(
            {place: OffsetSpec.latest() for place in places}, request_timeout=5
        )
        for place, future in latest.items():
            self.ends[place.topic, place.partition] = future.result().offset
        for group, topics in _INPUTS.items():
            asked = [TopicPartition(*place) for place in self.ends if place[0] in topics]
            for at in self._groups[group].committed(asked, timeout=5):
                if at.offset >= 0:
                    self.committed[group, at.topic, at.partition] = at.offset

    def _partitions(self, topic: str) -> range:
        count = TOPICS[topic].partitions
        return range(count)

    def behind(self) -> dict[str, int]:
        """Return how many offsets each stage is behind, markers of transactions included."""
        return {
            stage: sum(
                max(end - self.committed.get((stage, topic, partition), 0), 0)
                for (topic, partition), end in self.ends.items()
                if topic in topics
            )
            for stage, topics in _INPUTS.items()
        }

    def done(self) -> int:
        """Return how many offsets all stages together have committed."""
        return sum(offset for (stage, *_), offset in self.committed.items() if stage in _INPUTS)

    def watch(self, what: str) -> FaultClock:
        """Start a fault's clock: a stage is back when every partition with work made progress."""
        with self._lock:
            waiting = {
                stage: {
                    (stage, topic, partition): self.committed.get((stage, topic, partition), 0)
                    for (topic, partition), end in self.ends.items()
                    if topic in topics
                    and end - self.committed.get((stage, topic, partition), 0) > _MARKS
                }
                for stage, topics in _INPUTS.items()
            }
            now = time.monotonic()
            fault = FaultClock(what, now, waiting, now + _CHECK_S)
            self.clocks.append(fault)
            return fault

    def _look(self, fault: FaultClock) -> None:
        for stage, waiting in fault.waiting.items():
            if stage in fault.back:
                continue
            still = {
                place: before
                for place, before in waiting.items()
                if self.committed.get(place, 0) <= before
            }
            if still and time.monotonic() > fault.check_at:
                fault.check_at = time.monotonic() + _CHECK_S
                for place in self._without_records(still):
                    del still[place], waiting[place]
            if not still:
                fault.back[stage] = time.monotonic() - fault.at

    def _without_records(self, waiting: Offsets) -> list[tuple[str, str, int]]:
        """Return where only transaction markers and aborted records follow what is committed."""
        starts = {(topic, partition): before for (_, topic, partition), before in waiting.items()}
        try:
            records = first_records(Broker(self._broker), starts)
        except (KafkaException, LogError):
            return []
        unread = {(record.topic, record.partition) for record in records}
        return [place for place in waiting if place[1:] not in unread]

    def close(self) -> None:
        """End the polling."""
        self._closed.set()
        self._thread.join()
        for consumer in self._groups.values():
            consumer.close()

"""The kafka host: one stage on one consumer, a batch's outputs, states and offsets in one
transaction.
"""

from __future__ import annotations

import faulthandler
import logging
import random
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.claim_check import Blobs, check_in, check_out
from pipeline.log.port import LogRecord, Message, TopicPartition
from pipeline.logs import places
from pipeline.metrics import Meter, Stopwatch
from pipeline.outcomes import Reject
from pipeline.runtime.gc_control import collected_between_batches
from pipeline.runtime.kafka.assignment import Assignment
from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, log_record, produce, reason
from pipeline.runtime.kafka.crash_quarantine import InFlight, Portion
from pipeline.runtime.kafka.state_cache import StateCache
from pipeline.runtime.runner import Handler, dead_letter_message, utc_now
from pipeline.sinks.warehouse import WarehouseBusyError
from schemas.dead_letters import RejectCode

logger = logging.getLogger(__name__)

# An idle worker looks this often whether it shall stop, and keeps its place in the group by it.
_IDLE_S = 0.5
# Records are taken from librdkafka in parts, so that a batch of large ones ends at `max_bytes` and
# not far behind.
_TAKE = 1_000
# A batch that takes longer than this is stuck: the process ends with every thread's stack on
# standard error, counts as dead (crashes.py), and others take over. Below max.poll.interval.ms,
# after which the group would drop the worker anyway.
STUCK_S = 240
# Doubling from a tenth of a second: a warehouse out of memory for a moment is asked again soon, one
# that is down rarely.
_FIRST_WAIT_S, _MAX_WAIT_S = 0.1, 10.0
# What a call of librdkafka may take that was told to end after `REQUEST_TIMEOUT_S`. Some never end:
# send_offsets_to_transaction forgets its time-out where the coordinator went away
# (https://github.com/confluentinc/librdkafka/issues/5456; seen with every worker after a broker was
# killed). Past a transaction's life nothing can be committed anyway, so the process ends and starts
# anew.
_CALL_S = 15.0
# A worker that gets nothing asks so often whether Kafka is there: one small request, and no alert
# is later for it. It waits no longer than this for the answer.
_LOOK_EVERY_S, _LOOK_S = 10.0, 5.0
# Committing is tried again for as long as the transaction can live; then the process ends and
# starts anew.
_COMMIT_S = 30.0


class HostBroken(Exception):
    """The worker cannot go on with its clients (fenced, an error for good): the process must end,
    and may start again.
    """


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a batch is: at most so many records and bytes, and after the first record no longer wait
    than `linger_s`.
    """

    records: int
    max_bytes: int
    linger_s: float


def nothing() -> None:
    """Do nothing."""


@dataclass
class KafkaHost:
    """Runs one stage: `run` until told to stop. One instance is one member of the stage's group,
    with one transactional id.

    `counts` tells what the host did, `outcomes` is where the stage counts what became of records,
    and the host what it set aside.

    Nothing is in hand when the group rebalances: a batch is committed or aborted before the
    consumer is asked again, so giving partitions up needs no flush, only that a batch ends within
    `STUCK_S`.
    """

    broker: Broker
    handler: Handler
    group: str
    transactional_id: str
    blobs: Blobs
    sizes: Sizes
    in_flight: InFlight
    states: StateCache | None = None
    before_batch: Callable[[], object] = nothing
    watched: bool = True
    meter: Meter = field(default_factory=Meter)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    _wait_s: float = _FIRST_WAIT_S
    _look_at: float = 0.0

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` says so; raises HostBroken where only a new process helps, and whatever
        stops a stage for good.
        """
        self._producer = self.broker.producer(self.transactional_id)
        self._consumer: Consumer = self.broker.group_consumer(self.group, self._instance())
        self._assignment = Assignment(self._consumer, self.in_flight, self.states)
        self._watch()
        try:
            self._until_done(
                self._producer.init_transactions, "joining as a transactional producer"
            )
            self._assignment.subscribe(self.handler.topics)
            with collected_between_batches() as collect:
                while not stop():
                    self._turn()
                    collect()
        except KafkaException as error:
            raise HostBroken(f"{self.group}: {reason(error)}") from error
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._assignment.close()

    def _instance(self) -> str:
        """Return the name under which the group knows this worker over restarts; another one where
        the stage reads other topics.

        A static member that comes back is given its old partitions without a rebalance, even where
        it asks for other topics now.
        """
        topics = zlib.crc32(",".join(sorted(self.handler.topics)).encode())
        return f"{self.transactional_id}-{topics:08x}"

    def _watch(self, seconds: float = STUCK_S) -> None:
        """Let the process end, with every thread's stack on standard error, unless this is called
        again within so many seconds.
        """
        if self.watched:
            faulthandler.dump_traceback_later(seconds, exit=True)

    def _turn(self) -> None:
        self._watch()
        self.meter.turned(self.group)
        clock = Stopwatch()
        records = self._take()
        clock.lap("take")
        self.before_batch()
        if not records:
            self.counts["idle"] += 1
            self._look()
            self.meter.idle(self.group, self._assignment.lag())
            return
        self.meter.held(self.group, min(record.timestamp_ms for record in records))
        portions = self.in_flight.portions(records)
        for portion in portions:
            if not self._handled(portion, clock):
                return
        if sum(len(portion.records) for portion in portions) < len(records):
            self._assignment.rewind()

    def _look(self) -> None:
        """Ask Kafka, which sends nothing, whether it is there."""
        if time.monotonic() < self._look_at:
            return
        try:
            self._consumer.list_topics(self.handler.topics[0], timeout=_LOOK_S)
            up = True
        except KafkaException:
            up = False
        self.meter.broker(self.group, up=up)
        self._look_at = time.monotonic() + _LOOK_EVERY_S

    def _take(self) -> list[LogRecord]:
        """Return the next batch, in order within each partition; waits `_IDLE_S` for a first record
        and `linger_s` for more.
        """
        taken = self._consume(1, _IDLE_S)
        if not taken:
            return []
        records, size = taken, len(taken[0].value)
        deadline = time.monotonic() + self.sizes.linger_s
        while len(records) < self.sizes.records and size < self.sizes.max_bytes:
            left = deadline - time.monotonic()
            more = self._consume(min(self.sizes.records - len(records), _TAKE), max(left, 0))
            records += more
            size += sum(len(record.value) for record in more)
            if left <= 0:
                break
        return self._assignment.expected(records)

    def _consume(self, limit: int, timeout: float) -> list[LogRecord]:
        messages: list[KafkaMessage] = self._consumer.consume(limit, timeout)
        self._assignment.raise_failure()
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(log_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._assignment.ended(message)
            elif not error.retriable():
                raise KafkaException(error)
        return records

    def _handled(self, portion: Portion, clock: Stopwatch) -> bool:
        """Handle and commit a portion; return False where it has to be read again."""
        self.in_flight.begin(portion)
        try:
            messages = self._made(portion)
        except WarehouseBusyError as error:
            self._back_off(error)
            return False
        finally:
            # Whatever happens from here on is not the records' doing.
            self.in_flight.release()
        clock.lap("handle")
        if not self._committed(check_in(messages, self.blobs), portion.positions):
            return False
        self.in_flight.done(portion)
        clock.lap("commit")
        self.meter.broker(self.group, up=True)
        self.meter.batch(self.group, len(portion.records), clock.taken(), self._assignment.lag())
        self.counts["records"] += len(portion.records)
        self.counts["batches"] += 1
        self._wait_s = _FIRST_WAIT_S
        return True

    def _made(self, portion: Portion) -> list[Message]:
        if portion.killer:
            record = portion.records[0]
            logger.error(
                "%s/%d@%d has killed its process and is set aside",
                record.topic,
                record.partition,
                record.offset,
                extra={"stage": self.group, **places(record)},
            )
            self.outcomes[f"rejected:{_KILLER.code}"] += 1
            return [dead_letter_message(self.handler.name, record, _KILLER, utc_now())]
        return self.handler.handle(check_out(portion.records, self.blobs))

    def _back_off(self, error: WarehouseBusyError) -> None:
        """Go back to what is committed and stand still for a while, still a member of the group."""
        self.meter.retried(self.group, "busy")
        wait = self._wait_s * random.uniform(0.5, 1.5)
        logger.warning("%s waits %.1f s: %s", self.group, wait, error)
        self._wait_s = min(self._wait_s * 2, _MAX_WAIT_S)
        self._assignment.pause()
        deadline = time.monotonic() + wait
        while (left := deadline - time.monotonic()) > 0:
            self._watch()
            self._consumer.consume(1, min(left, _IDLE_S))
            self._assignment.raise_failure()
        self._assignment.resume()

    def _committed(
        self, messages: Sequence[Message], positions: Mapping[TopicPartition, int]
    ) -> bool:
        """Commit outputs, states and offsets together; return False where the transaction was
        aborted and the batch goes back.
        """
        stored: dict[TopicPartition, int] = {}

        def placed(_error: object, message: KafkaMessage) -> None:
            record = log_record(message)
            place = record.topic, record.partition
            stored[place] = max(record.offset, stored.get(place, 0))

        states = [message for message in messages if message.partition is not None]
        try:
            self._producer.begin_transaction()
            produce(self._producer, [message for message in messages if message.partition is None])
            produce(self._producer, states, placed)
            offsets = [
                KafkaPartition(topic, partition, offset)
                for (topic, partition), offset in positions.items()
            ]
            metadata = self._consumer.consumer_group_metadata()
            self._until_done(
                lambda timeout: self._producer.send_offsets_to_transaction(
                    offsets, metadata, timeout
                ),
                "sending offsets",
            )
            self._until_done(self._producer.commit_transaction, "committing")
        except KafkaException as error:
            self._abort(error)
            return False
        self._assignment.advance(positions)
        self._keep_states(states, stored)
        return True

    def _keep_states(
        self, messages: Sequence[Message], stored: Mapping[TopicPartition, int]
    ) -> None:
        if self.states is None or not messages:
            return
        self._producer.poll(0)
        by_place: dict[TopicPartition, list[Message]] = defaultdict(list)
        for message in messages:
            assert message.partition is not None
            by_place[message.topic, message.partition].append(message)
        for place, group in by_place.items():
            self.states.committed(*place, group, stored[place])

    def _abort(self, error: KafkaException) -> None:
        if error.args[0].fatal() or not error.args[0].txn_requires_abort():
            raise error
        logger.warning("%s takes its batch back: %s", self.group, reason(error))
        self.meter.retried(self.group, "aborted")
        self._until_done(self._producer.abort_transaction, "aborting")
        self._assignment.rewind()

    def _until_done(self, call: Callable[[float], object], what: str) -> None:
        """Call what may be called again after a passing failure, for as long as a transaction can
        live.
        """
        deadline = time.monotonic() + _COMMIT_S
        while True:
            self._watch(_CALL_S)
            try:
                call(REQUEST_TIMEOUT_S)
                self._watch()
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
                logger.warning("%s: %s again: %s", self.group, what, reason(error))


_KILLER = Reject(
    RejectCode.CRASH,
    "handling this record ended the worker's process again and again; report it with the payload,"
    " mend, then replay",
    "host",
)

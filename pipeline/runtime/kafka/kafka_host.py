"""The Kafka host: runs one stage, and commits a batch's outputs, states and offsets together."""

from __future__ import annotations

import faulthandler
import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition

from pipeline.log.claim_check import BodyStore, BodyStoreUnavailableError, store_large_bodies
from pipeline.log.port import LogRecord, Message, TopicPartition
from pipeline.log.retries import backoff_s, retry_call
from pipeline.metrics import BatchMeter, Meter
from pipeline.runtime.check_out import check_out_and_handle
from pipeline.runtime.crash_quarantine import CrashMarkers, SubBatch, quarantine
from pipeline.runtime.gc_control import gc_between_batches
from pipeline.runtime.kafka.assignment import Assignment
from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, error_text, log_record, produce
from pipeline.runtime.kafka.group_check import GroupCheck
from pipeline.runtime.kafka.group_members import instance_id
from pipeline.runtime.kafka.state_cache import StateCache
from pipeline.runtime.runner import Handler
from pipeline.sinks.warehouse import WarehouseBusyError

logger = logging.getLogger(__name__)

# An idle worker checks this often whether to stop; polling also keeps it in the group.
_IDLE_S = 0.5
# Records are consumed in parts, so that a batch of large ones ends at `max_bytes`, not far behind.
_TAKE = 1_000
# A batch that takes longer than this is stuck: the process ends with every thread's stack on
# standard error, which counts as a crash (crash_quarantine.py), and other workers take over. It is
# below max.poll.interval.ms, after which the group would drop the worker anyway.
STUCK_S = 240

# The longest duration of a librdkafka call with a time-out of `REQUEST_TIMEOUT_S`. Some calls never
# return: send_offsets_to_transaction ignores its time-out if the coordinator goes away
# (https://github.com/confluentinc/librdkafka/issues/5456; every worker hung after a broker was
# killed). After a transaction's time-out nothing can be committed anyway, so the process ends and
# is restarted.
_CALL_S = 15.0
# How often an idle worker asks whether Kafka is reachable, and how long it waits for the answer. It
# is one small request, and more often would raise no alert sooner.
_PROBE_EVERY_S, _PROBE_S = 10.0, 5.0
# A commit is retried for as long as a transaction can live; then the process ends and is restarted.
_COMMIT_S = 30.0


# Kafka refuses a message for what it is: the same one will be refused again.
_REFUSED_MESSAGES = (
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
)


class HostFailedError(Exception):
    """The Kafka clients are unusable (fenced, a fatal error): the process must be restarted."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of a batch: records, bytes, and seconds to wait after the first record."""

    records: int
    max_bytes: int
    linger_s: float


def do_nothing() -> None:
    """Do nothing."""


@dataclass
class KafkaHost:
    """Runs one stage until it is stopped, as one member of the group with one transactional id.

    `counts` counts what the host did, `outcomes` what became of records; the host adds those it
    quarantined.

    No batch is in flight when the group rebalances: a batch is committed or aborted before the
    consumer is polled again. So revoking partitions needs no flush, only that a batch ends within
    `STUCK_S`.
    """

    broker: Broker
    handler: Handler
    group: str
    transactional_id: str
    bodies: BodyStore
    limits: BatchLimits
    markers: CrashMarkers
    states: StateCache | None = None
    before_batch: Callable[[], object] = do_nothing
    watchdog: bool = True
    meter: Meter = field(default_factory=Meter)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    _busy_attempts: int = 0
    _probe_at: float = 0.0

    def run(self, stop: Callable[[], bool]) -> None:
        """Handle batches until `stop` returns true.

        Raises HostFailedError if only a new process helps, and every error that stops a stage.
        """
        self._producer = self.broker.producer(self.transactional_id)
        self._create_consumer(instance_id(self.transactional_id, self.handler.topics))
        self._watch()
        try:
            self._retry(self._producer.init_transactions, "Starting the transactional producer")
            self._assignment.subscribe(self.handler.topics)
            check = GroupCheck(self.broker, self.group, self.handler.topics)
            with gc_between_batches() as collect:
                while not stop():
                    self._poll()
                    if abandoned := check.abandoned():
                        self._join_as_new_member(abandoned)
                    collect()
        except KafkaException as error:
            raise HostFailedError(f"{self.group}: {error_text(error)}") from error
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._assignment.close()

    def _create_consumer(self, instance: str) -> None:
        self._consumer: Consumer = self.broker.group_consumer(self.group, instance)
        self._assignment = Assignment(self._consumer, self.markers, self.states)

    def _join_as_new_member(self, abandoned: Collection[TopicPartition]) -> None:
        """Join the group under a new id, so that it assigns the abandoned partitions, too."""
        logger.warning(
            "Group %s has assigned %d partitions to nobody, such as %s/%d; this worker joins it as"
            " a new member, so that all are assigned again",
            self.group,
            len(abandoned),
            *min(abandoned),
        )
        self._assignment.close()
        self._create_consumer(f"{self.transactional_id}-{uuid.uuid4().hex[:8]}")
        self._assignment.subscribe(self.handler.topics)

    def _watch(self, seconds: float = STUCK_S) -> None:
        """Arm the watchdog: it ends the process unless this is called again within `seconds`.

        It writes every thread's stack to standard error.
        """
        if self.watchdog:
            faulthandler.dump_traceback_later(seconds, exit=True)

    def _poll(self) -> None:
        self._watch()
        batch = BatchMeter(self.meter, self.group)
        records = self._read_batch()
        batch.received(records)
        self.before_batch()
        if not records:
            self.counts["idle"] += 1
            self._probe_broker()
            batch.empty(self._assignment.lag())
            return
        for sub_batch in self.markers.split(records):
            if not self._handle(sub_batch, batch):
                return

    def _probe_broker(self) -> None:
        """Ask an idle Kafka now and then whether it is reachable."""
        if time.monotonic() < self._probe_at:
            return
        try:
            self._consumer.list_topics(self.handler.topics[0], timeout=_PROBE_S)
            up = True
        except KafkaException:
            up = False
        self.meter.broker_answered(self.group, up=up)
        self._probe_at = time.monotonic() + _PROBE_EVERY_S

    def _read_batch(self) -> list[LogRecord]:
        """Return the next batch, in order within each partition.

        It waits `_IDLE_S` for the first record and `linger_s` for more.
        """
        records = self._consume(1, _IDLE_S)
        if not records:
            return []
        size = len(records[0].value)
        # Not a retry: records collect until one of the three limits of a batch.
        deadline = time.monotonic() + self.limits.linger_s
        while len(records) < self.limits.records and size < self.limits.max_bytes:
            left = deadline - time.monotonic()
            more = self._consume(min(self.limits.records - len(records), _TAKE), max(left, 0))
            records += more
            size += sum(len(record.value) for record in more)
            if left <= 0:
                break
        return self._assignment.drop_stale(records)

    def _consume(self, limit: int, timeout: float) -> list[LogRecord]:
        messages: list[KafkaMessage] = self._consumer.consume(limit, timeout)
        self._assignment.raise_failure()
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(log_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._assignment.note_end(message)
            elif not error.retriable():
                raise KafkaException(error)
        return records

    def _handle(self, sub_batch: SubBatch, batch: BatchMeter) -> bool:
        """Handle and commit a sub-batch; return False if it has to be read again."""
        self.markers.begin(sub_batch)
        try:
            messages = self._outputs(sub_batch)
        except (WarehouseBusyError, BodyStoreUnavailableError) as error:
            self.markers.fail(error)
            batch.retried("busy")
            self._back_off(error)
            return False
        except BaseException as error:
            self.markers.fail(error)
            raise
        # From here on the process does not end because of its records.
        self.markers.clear_busy()
        batch.handled()
        try:
            committed = self._commit(
                store_large_bodies(messages, self.bodies), sub_batch.commit_offsets
            )
        except KafkaException as error:
            # With one exception: Kafka refuses a message, whenever it is sent.
            if error.args[0].code() in _REFUSED_MESSAGES:
                self.markers.begin(sub_batch)
            raise
        if not committed:
            batch.retried("aborted")
            return False
        self.markers.finish(sub_batch)
        self.meter.broker_answered(self.group, up=True)
        batch.committed(len(sub_batch.records), self._assignment.lag())
        self.counts["records"] += len(sub_batch.records)
        self.counts["batches"] += 1
        self._busy_attempts = 0
        return True

    def _outputs(self, sub_batch: SubBatch) -> list[Message]:
        if sub_batch.rejection is not None:
            return quarantine(self.group, sub_batch.records[0], sub_batch.rejection, self.outcomes)
        return check_out_and_handle(self.handler, sub_batch.records, self.bodies, self.outcomes)

    def _back_off(self, error: WarehouseBusyError | BodyStoreUnavailableError) -> None:
        """Go back to the committed offsets and wait, as a member of the group."""
        self._busy_attempts += 1
        wait = backoff_s(self._busy_attempts)
        logger.warning(
            "A store is busy; %s retries the batch in %.1f s: %s", self.group, wait, error
        )
        self._assignment.pause()
        # Not a plain wait: a consumer must be polled to stay in its group, and takes part in
        # rebalances meanwhile.
        deadline = time.monotonic() + wait
        while (left := deadline - time.monotonic()) > 0:
            self._watch()
            self._consumer.consume(1, min(left, _IDLE_S))
            self._assignment.raise_failure()
        self._assignment.resume()

    def _commit(self, messages: Sequence[Message], positions: Mapping[TopicPartition, int]) -> bool:
        """Commit outputs, states and offsets in one transaction.

        Return False if it was aborted, so that the batch has to be read again.
        """
        stored: dict[TopicPartition, int] = {}

        def on_delivery(_error: object, message: KafkaMessage) -> None:
            record = log_record(message)
            partition = record.topic, record.partition
            stored[partition] = max(record.offset, stored.get(partition, 0))

        states = [message for message in messages if message.partition is not None]
        try:
            self._producer.begin_transaction()
            produce(self._producer, [message for message in messages if message.partition is None])
            produce(self._producer, states, on_delivery)
            offsets = [
                KafkaPartition(topic, partition, offset)
                for (topic, partition), offset in positions.items()
            ]
            metadata = self._consumer.consumer_group_metadata()
            self._retry(
                lambda timeout: self._producer.send_offsets_to_transaction(
                    offsets, metadata, timeout
                ),
                "Sending the offsets",
            )
            self._retry(self._producer.commit_transaction, "The commit")
        except KafkaException as error:
            self._abort(error)
            return False
        self._assignment.mark_committed(positions)
        self._cache_states(states, stored)
        return True

    def _cache_states(
        self, messages: Sequence[Message], stored: Mapping[TopicPartition, int]
    ) -> None:
        if self.states is None or not messages:
            return
        self._producer.poll(0)
        by_partition: dict[TopicPartition, list[Message]] = defaultdict(list)
        for message in messages:
            assert message.partition is not None
            by_partition[message.topic, message.partition].append(message)
        for partition, group in by_partition.items():
            self.states.apply_committed(*partition, group, stored[partition])

    def _abort(self, error: KafkaException) -> None:
        if error.args[0].fatal() or not error.args[0].txn_requires_abort():
            raise error
        logger.warning(
            "Transaction of %s aborted; the batch is read again: %s", self.group, error_text(error)
        )
        self._retry(self._producer.abort_transaction, "The abort")
        self._assignment.seek_to_committed()

    def _retry(self, call: Callable[[float], object], what: str) -> None:
        """Retry a transactional call after retriable errors, for as long as a transaction lives."""

        def watched_call() -> None:
            # A library of retries cannot end a call of librdkafka that never returns (see
            # `_CALL_S`); the watchdog ends the process.
            self._watch(_CALL_S)
            call(REQUEST_TIMEOUT_S)
            self._watch()

        retry_call(
            watched_call,
            retry_if=lambda error: isinstance(error, KafkaException) and error.args[0].retriable(),
            on_retry=lambda error, _: logger.warning(
                "%s of %s failed, retrying: %s", what, self.group, error_text(error)
            ),
            # The call itself has waited already.
            wait_s=lambda _: 0,
            limit_s=_COMMIT_S,
        )

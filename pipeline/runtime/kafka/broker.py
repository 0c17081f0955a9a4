"""How Kafka is reached, and with which properties of librdkafka each client runs; the one place
that names them.

https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.log.port import GroupRunning, LogError, LogRecord, Message
from pipeline.log.port import TopicPartition as Place

logger = logging.getLogger(__name__)
T = TypeVar("T")

# A worker that was killed is missed after this long, and its partitions go to others. Heartbeats
# come from a thread of librdkafka, so a step that computes for long does not delay them; the
# smallest that brokers allow by default.
SESSION_TIMEOUT_MS = 6_000
# What a batch may take before its worker counts as stuck: Kafka's own default. The host's watchdog
# ends the process before.
MAX_POLL_INTERVAL_MS = 300_000
# A transaction is open only while outputs are sent, never while a step computes. Whatever a worker
# killed inside one had sent holds readers back until this long has passed, or until the worker of
# the same transactional.id is back.
TRANSACTION_TIMEOUT_MS = 10_000
# The coordinator still writes the last transaction's marks when the next one begins, and asks to
# try again: with the default of 100 ms that was most of the time of a small batch (138 ms of 150
# each), with this it is 32 ms of 50.
_TRANSACTION_RETRY_MS = 5
# How long one request waits for an answer before it is asked again.
REQUEST_TIMEOUT_S = 10.0
# Between two tries of a request that had no good answer.
_ASK_AGAIN_S = 0.1
# Messages fetched ahead of a batch, over all partitions: memory stays flat however long the backlog
# is.
_FETCH_AHEAD_KIB = 32_768
# What one fetch takes of one partition. With a backlog, partitions take turns by this much: with
# librdkafka's 1 MiB and batches of 50 to 250 records, a worker that had come back reached its last
# partition only after 35 to 60 s (chaos, 200,000 events).
_FETCH_BYTES = 262_144
# Fetches pause while that much is queued; the default of a second would leave the worker idle in a
# replay.
_FETCH_BACKOFF_MS = 10
# Outputs of a batch leave together at its end; waiting longer for a fuller request gains nothing.
_LINGER_MS = 5
# Brokers hold a fetch back for so long where there is nothing new; only then does a scan know that
# it has reached the end.
_SCAN_WAIT_MS = 20
# New partitions are found after at most half a minute, not five.
_METADATA_MS = 30_000
# Messages over a quarter MiB travel as a reference (claims.py); this leaves room for a dead letter
# of one, in Base64.
_MESSAGE_MAX_BYTES = 1_000_000


# A static member that has ended is missed after its session only; a coordinator that has just moved
# answers a little later.
EMPTY_S = 2 * SESSION_TIMEOUT_MS / 1000
# How a coordinator says that a group has members, and that it cannot say anything yet.
_MEMBERS = frozenset(
    {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS}
)
_LATER = _MEMBERS | {
    KafkaError._WAIT_COORD,
    KafkaError._TRANSPORT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}
# RD_KAFKA_PARTITION_UA: the partitioner decides.
_ANY_PARTITION = -1


class BrokerError(LogError):
    """Kafka refuses; the message says what and where."""


class BrokerAway(BrokerError):
    """Kafka is not to be reached, or gives no answer in time: trying again later may help."""


@cache
def _admin(servers: str, security: tuple[tuple[str, str], ...]) -> AdminClient:
    """Return the process's one client for topics of a cluster: its futures are never answered once
    it is forgotten.
    """
    # What went wrong is told by the error of each request; without a logger every attempt to
    # connect is a line on standard error.
    properties: dict[str, Any] = {
        "bootstrap.servers": servers,
        "logger": logging.getLogger("librdkafka"),
        **dict(security),
    }
    return AdminClient(properties)


@dataclass(frozen=True, slots=True)
class Broker:
    """The bootstrap servers (host:port, …) and librdkafka's `security.*`, `sasl.*` and `ssl.*`
    properties.
    """

    servers: str
    security: Mapping[str, str] = field(default_factory=dict, repr=False)

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.servers,
            "topic.metadata.refresh.interval.ms": _METADATA_MS,
            "logger": logging.getLogger("librdkafka"),
            "error_cb": _on_error,
            **self.security,
        }

    def group_consumer(self, group: str, instance: str) -> Consumer:
        """Return a group's consumer, known over restarts as `instance`, that reads committed
        records and commits when told.
        """
        return Consumer(
            {
                **self._common(),
                "group.id": group,
                # Static membership: a worker that comes back within its session takes its
                # partitions up again, and nobody is rebalanced.
                "group.instance.id": instance,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 4,
                "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
                # Told by this that a partition is read to its end, a worker knows its lag though
                # marks of transactions have offsets too.
                "enable.partition.eof": True,
                **self._reading(),
            }
        )

    def consumer(self, *, eof: bool = False) -> Consumer:
        """Return a consumer outside of all groups, for scans; with `eof` it reports the end of a
        partition.
        """
        return Consumer(
            {
                **self._common(),
                "group.id": "switchboard-tools",
                "enable.partition.eof": eof,
                "fetch.wait.max.ms": _SCAN_WAIT_MS,
                **self._reading(),
            }
        )

    def committed(self, group: str, places: Sequence[Place]) -> dict[Place, int]:
        """Return the offsets that a group has committed, of those partitions where it has; raises
        KafkaException.

        By a consumer that never joins: AdminClient.list_consumer_group_offsets ends the process
        with a segmentation fault where a broker answers that it is not the coordinator yet
        (librdkafka 2.16.0, rd_kafka_handle_OffsetFetch).
        """
        # Pending transactions are no reason to wait here: what is committed now is what is asked.
        consumer = Consumer(
            {**self._common(), "group.id": group, "isolation.level": "read_uncommitted"}
        )
        try:
            found = consumer.committed(
                [TopicPartition(*place) for place in places], timeout=REQUEST_TIMEOUT_S
            )
        finally:
            consumer.close()
        return {
            (at.topic, at.partition): at.offset
            for at in found
            if at.error is None and at.offset >= 0
        }

    def set_offsets(self, group: str, positions: Mapping[Place, int]) -> None:
        """Commit offsets for a group that nobody is a member of; raises GroupRunning where somebody
        is, and BrokerError.

        The coordinator itself refuses what comes from no member while there are any, so nobody can
        join in between unseen.
        """
        consumer = Consumer({**self._common(), "group.id": group, "enable.auto.commit": False})
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        deadline = time.monotonic() + EMPTY_S
        try:
            while (error := _committed(consumer, offsets)) is not None:
                if error.code() not in _LATER or time.monotonic() > deadline:
                    break
                time.sleep(_ASK_AGAIN_S)
        finally:
            consumer.close()
        if error is not None and error.code() in _MEMBERS:
            raise GroupRunning(
                f"workers of {group} run: end them first (SIGTERM to their keepers), then try again"
            )
        if error is not None:
            raise BrokerAway(f"the offsets of {group} cannot be set: {error.str()}")

    @staticmethod
    def _reading() -> dict[str, Any]:
        return {
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Where to start is decided on assignment; a position that is gone is an error to be
            # told, not a jump.
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": _FETCH_AHEAD_KIB,
            "max.partition.fetch.bytes": _FETCH_BYTES,
            "fetch.queue.backoff.ms": _FETCH_BACKOFF_MS,
        }

    def producer(
        self, transactional_id: str | None = None, confirm_ms: int | None = None
    ) -> Producer:
        """Return an idempotent producer, transactional where it gets an id.

        With `confirm_ms` a message unconfirmed for so long has failed, and only failures are
        reported.
        """
        properties = {
            **self._common(),
            "enable.idempotence": True,
            # The partitioner of Java and aiokafka: keys must lie where every other client looks for
            # them.
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": _LINGER_MS,
            "message.max.bytes": _MESSAGE_MAX_BYTES,
        }
        if confirm_ms is not None:
            properties |= {"message.timeout.ms": confirm_ms, "delivery.report.only.error": True}
        if transactional_id is not None:
            properties |= {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "retry.backoff.ms": _TRANSACTION_RETRY_MS,
            }
        return Producer(properties)

    @property
    def admin(self) -> AdminClient:
        """The client for topics."""
        return _admin(self.servers, tuple(self.security.items()))

    def check_topics(self, topics: Sequence[str]) -> None:
        """Raise BrokerError where a topic is missing or the broker does not answer."""
        try:
            known = self.admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerAway(f"Kafka at {self.servers} does not answer: {reason(error)}") from error
        if missing := [topic for topic in topics if topic not in known]:
            raise BrokerError(
                f"Kafka at {self.servers} lacks {', '.join(missing)}: run `switchboard topics"
                " apply`"
            )

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; raises BrokerAway."""
        try:
            return len(
                self.admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic].partitions
            )
        except KafkaException as error:
            raise BrokerAway(f"Kafka at {self.servers} does not answer: {reason(error)}") from error

    def offsets_at(self, places: Sequence[Place], at_ms: int) -> dict[Place, int]:
        """Return the offset of each partition's first record that the log took at an instant (ms
        since 1970) or later, or its end.

        Raises KafkaException.
        """

        def ask(wanted: Sequence[Place], spec: OffsetSpec) -> dict[Place, int]:
            asked = {TopicPartition(*place): spec for place in wanted}
            futures = self.admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S)
            return {
                (place.topic, place.partition): future.result().offset
                for place, future in futures.items()
            }

        found = ask(places, OffsetSpec.for_timestamp(at_ms))
        # -1 where nothing is as new as that.
        if none := [place for place, offset in found.items() if offset < 0]:
            found |= ask(none, OffsetSpec.latest())
        return found


def _committed(consumer: Consumer, offsets: list[TopicPartition]) -> KafkaError | None:
    """Commit offsets; return why they were not taken."""
    try:
        answers = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        return error.args[0]  # type: ignore[no-any-return]
    return next((answer.error for answer in answers or () if answer.error is not None), None)


def _on_error(error: KafkaError) -> None:
    # A fatal error is raised by the next call as well; everything else librdkafka mends by itself.
    logger.log(logging.ERROR if error.fatal() else logging.WARNING, "Kafka: %s", error.str())


def patiently(what: str, call: Callable[[], T], seconds: float = REQUEST_TIMEOUT_S) -> T:
    """Return what a request answers, asking again where a broker that starts, or elects a leader,
    cannot answer yet.

    Raises BrokerAway, saying what was wanted, where it cannot for `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise BrokerAway(f"{what}: {reason(error)}") from error
            logger.info("%s, once more: %s", what, reason(error))
            time.sleep(_ASK_AGAIN_S)


def reason(error: KafkaException) -> str:
    """Return a Kafka exception's text in its own words."""
    return (
        str(error.args[0].str())
        if error.args and isinstance(error.args[0], KafkaError)
        else str(error)
    )


def log_record(message: KafkaMessage) -> LogRecord:
    """Return what a consumer gave as a record of the log."""
    kind, timestamp = message.timestamp()
    # By position: this is done for every record, and names cost a third of it.
    return LogRecord(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        message.key(),
        message.value() or b"",
        # A list of pairs, whatever its types say.
        message.headers() or (),  # type: ignore[arg-type]
    )


def produce(producer: Producer, messages: Sequence[Message], on_delivery: Any = None) -> None:
    """Hand messages to a producer, waiting where its queue is full; that they arrived is known
    after a flush or a commit.
    """
    send = producer.produce
    for message in messages:
        partition, value = message.partition, message.value
        if partition is None:
            partition = _ANY_PARTITION
        elif not value:
            # On a compacted topic a null value is what removes a key.
            value = None  # type: ignore[assignment]
        headers = message.headers if type(message.headers) is list else list(message.headers)
        while True:
            try:
                send(message.topic, value, message.key, partition, on_delivery, None, 0, headers)
                break
            except BufferError:
                producer.poll(0.1)

"""Connections to Kafka, and the librdkafka properties of each kind of client.

https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

from __future__ import annotations

import logging
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
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.log.port import GroupRunningError, LogError, LogRecord, Message, TopicPartition
from pipeline.log.retries import retry_call

logger = logging.getLogger(__name__)
T = TypeVar("T")

# After this long the group misses a worker that was killed and reassigns its partitions. Heartbeats
# come from a thread of librdkafka, so a slow step does not delay them. It is the shortest session
# that brokers allow by default.
SESSION_TIMEOUT_MS = 6_000
# A batch that takes longer than this makes its worker count as stuck: Kafka's default. The host's
# watchdog ends the process before that.
MAX_POLL_INTERVAL_MS = 300_000
# A transaction is open only while outputs are sent, never while a step computes. If a worker is
# killed inside one, readers wait this long, or until a worker with the same transactional.id is
# back.
TRANSACTION_TIMEOUT_MS = 10_000
# The coordinator may still write the markers of the last transaction when the next one begins, and
# then asks to try again: with the default of 100 ms this was most of the time of a small batch
# (138 ms of 150 each), with 5 ms it is 32 ms of 50.
_TRANSACTION_RETRY_MS = 5
# How long one request waits for an answer before it is retried.
REQUEST_TIMEOUT_S = 10.0

# Messages fetched ahead of a batch, over all partitions: memory stays the same however long the
# backlog is.
_FETCH_AHEAD_KIB = 32_768
# The size of a fetch from one partition. With a backlog, partitions take turns by this much: with
# librdkafka's 1 MiB and batches of 50 to 250 records, a restarted worker reached its last partition
# only after 35 to 60 s (chaos test, 200,000 events).
_FETCH_BYTES = 262_144
# The pause of fetching while the queue is full; the default of a second leaves the worker idle in a
# replay.
_FETCH_BACKOFF_MS = 10
# Outputs of a batch are sent together at its end; waiting for a fuller request gains nothing.
_LINGER_MS = 5
# A broker delays its answer this long if there is nothing new; only then does a scan know that it
# has reached the end.
_SCAN_WAIT_MS = 20
# New partitions are noticed after at most half a minute, not after five.
_METADATA_MS = 30_000
# Bodies over a quarter MiB travel as a reference (claim_check.py); this leaves room for a dead
# letter of the largest other body, in Base64.
_MESSAGE_MAX_BYTES = 1_000_000
# A static member that ended leaves the group only after its session; a coordinator that just moved
# answers a little later.
GROUP_EMPTY_S = 2 * SESSION_TIMEOUT_MS / 1000
# The errors of a coordinator for a group that has members, and for one it cannot serve yet.
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
    """Kafka rejects a request; the message says which."""


class BrokerUnavailableError(BrokerError):
    """Kafka cannot be reached or does not answer in time: trying again later may help."""


@cache
def _admin(servers: str, security: tuple[tuple[str, str], ...]) -> AdminClient:
    """Return the process's admin client of a cluster.

    It is cached because futures are never resolved once their client is garbage-collected.
    """
    # Each failed request raises its error; without a logger every attempt to connect would also be
    # a line on standard error.
    properties: dict[str, Any] = {
        "bootstrap.servers": servers,
        "logger": logging.getLogger("librdkafka"),
        **dict(security),
    }
    return AdminClient(properties)


@dataclass(frozen=True, slots=True)
class Broker:
    """A Kafka cluster: bootstrap servers (host:port, …) and librdkafka's security properties.

    These are `security.*`, `sasl.*` and `ssl.*`.
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
        """Return a consumer of a group that reads committed records and commits explicitly.

        The group recognises it by `instance` after a restart.
        """
        return Consumer(
            {
                **self._common(),
                "group.id": group,
                # Static membership: a worker that restarts within its session keeps its partitions
                # without a rebalance.
                "group.instance.id": instance,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 4,
                "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
                # With the event at the end of a partition a worker knows its lag, although
                # transaction markers have offsets, too.
                "enable.partition.eof": True,
                **self._reading(),
            }
        )

    def consumer(self, *, eof: bool = False) -> Consumer:
        """Return a consumer outside of all groups; with `eof` it reports ends of partitions."""
        return Consumer(
            {
                **self._common(),
                "group.id": "switchboard-tools",
                "enable.partition.eof": eof,
                "fetch.wait.max.ms": _SCAN_WAIT_MS,
                **self._reading(),
            }
        )

    def committed_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return a group's committed offsets of those partitions that have one.

        Raises KafkaException. A consumer that never joins the group asks for them, because
        AdminClient.list_consumer_group_offsets ends the process with a segmentation fault if a
        broker answers that it is not the coordinator yet (librdkafka 2.16.0,
        rd_kafka_handle_OffsetFetch).
        """
        # Uncommitted reads, because this must not wait for pending transactions.
        consumer = Consumer(
            {**self._common(), "group.id": group, "isolation.level": "read_uncommitted"}
        )
        try:
            found = consumer.committed(
                [KafkaPartition(*partition) for partition in partitions], timeout=REQUEST_TIMEOUT_S
            )
        finally:
            consumer.close()
        return {
            (at.topic, at.partition): at.offset
            for at in found
            if at.error is None and at.offset >= 0
        }

    def set_offsets(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Commit offsets of a group without members.

        Raises GroupRunningError if the group has members, and BrokerError. The coordinator itself
        rejects the commit of a non-member while the group has members, so no worker can join in
        between unnoticed.
        """
        consumer = Consumer({**self._common(), "group.id": group, "enable.auto.commit": False})
        offsets = [KafkaPartition(*partition, offset) for partition, offset in positions.items()]
        try:
            retry_call(
                lambda: _commit(consumer, offsets),
                retry_if=lambda error: _error_code(error) in _LATER,
                on_retry=lambda error, _: logger.info("Setting offsets, retrying: %s", error),
                limit_s=GROUP_EMPTY_S,
            )
        except KafkaException as error:
            if _error_code(error) in _MEMBERS:
                raise GroupRunningError(
                    f"workers of {group} run: stop them first (SIGTERM to their supervisors), then"
                    " try again"
                ) from error
            raise BrokerUnavailableError(
                f"the offsets of {group} cannot be set: {error_text(error)}"
            ) from error
        finally:
            consumer.close()

    @staticmethod
    def _reading() -> dict[str, Any]:
        return {
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # The start is decided on assignment; an offset that no longer exists is an error, not a
            # reason to jump.
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": _FETCH_AHEAD_KIB,
            "max.partition.fetch.bytes": _FETCH_BYTES,
            "fetch.queue.backoff.ms": _FETCH_BACKOFF_MS,
        }

    def producer(
        self, transactional_id: str | None = None, confirm_ms: int | None = None
    ) -> Producer:
        """Return an idempotent producer, a transactional one if it gets an id.

        With `confirm_ms` a message that is not confirmed in this time has failed, and only failures
        are reported.
        """
        properties = {
            **self._common(),
            "enable.idempotence": True,
            # The partitioner of Java and aiokafka: every client must find a key on the same
            # partition.
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
        """The admin client of this cluster, one per process."""
        return _admin(self.servers, tuple(self.security.items()))

    def check_topics(self, topics: Sequence[str]) -> None:
        """Raise BrokerError if a topic is missing or the broker does not answer."""
        try:
            known = self.admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerUnavailableError(
                f"Kafka at {self.servers} does not answer: {error_text(error)}"
            ) from error
        if missing := [topic for topic in topics if topic not in known]:
            raise BrokerError(
                f"Kafka at {self.servers} lacks {', '.join(missing)}: run `switchboard topics"
                " apply`"
            )

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic; raises BrokerUnavailableError."""
        try:
            return len(
                self.admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic].partitions
            )
        except KafkaException as error:
            raise BrokerUnavailableError(
                f"Kafka at {self.servers} does not answer: {error_text(error)}"
            ) from error

    def offsets_since(
        self, partitions: Sequence[TopicPartition], at_ms: int
    ) -> dict[TopicPartition, int]:
        """Return each partition's first offset appended at or after an instant, or its end.

        The instant is in ms since 1970. Raises KafkaException.
        """

        def ask(wanted: Sequence[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
            asked = {KafkaPartition(*partition): spec for partition in wanted}
            futures = self.admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S)
            return {
                (partition.topic, partition.partition): future.result().offset
                for partition, future in futures.items()
            }

        found = ask(partitions, OffsetSpec.for_timestamp(at_ms))
        # -1 means that there is no record that new.
        if none := [partition for partition, offset in found.items() if offset < 0]:
            found |= ask(none, OffsetSpec.latest())
        return found


def _commit(consumer: Consumer, offsets: list[KafkaPartition]) -> None:
    """Commit offsets; raises KafkaException, also if only one partition fails."""
    for answer in consumer.commit(offsets=offsets, asynchronous=False) or ():
        if answer.error is not None:
            raise KafkaException(answer.error)


def _error_code(error: BaseException) -> int | None:
    """Return the code of a Kafka exception; None for other exceptions."""
    return error.args[0].code() if isinstance(error, KafkaException) else None


def _on_error(error: KafkaError) -> None:
    # The next call raises a fatal error again; librdkafka recovers from all other errors by itself.
    logger.log(logging.ERROR if error.fatal() else logging.WARNING, "Kafka: %s", error.str())


def retry_request(what: str, call: Callable[[], T], seconds: float = REQUEST_TIMEOUT_S) -> T:
    """Return the answer to a request, retried while a broker starts or elects a leader.

    Raises BrokerUnavailableError, with `what` failed, if there is none within `seconds`.
    """
    try:
        return retry_call(
            call,
            retry_if=lambda error: isinstance(error, KafkaException),
            on_retry=lambda error, _: logger.info("%s, retrying: %s", what, error_text(error)),
            limit_s=seconds,
        )
    except KafkaException as error:
        raise BrokerUnavailableError(f"{what}: {error_text(error)}") from error


def error_text(error: BaseException) -> str:
    """Return the text of a Kafka exception."""
    return (
        str(error.args[0].str())
        if error.args and isinstance(error.args[0], KafkaError)
        else str(error)
    )


def log_record(message: KafkaMessage) -> LogRecord:
    """Return a consumer's message as a record of the log."""
    kind, timestamp = message.timestamp()
    try:
        headers = message.headers() or ()
    except (UnicodeDecodeError, SystemError):
        # A name that is no UTF-8: the client cannot return any header then, and a record without
        # headers becomes a dead letter.
        headers = ()
    # Positional arguments: this runs for every record, and keywords would cost a third of it.
    return LogRecord(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        message.key(),
        message.value() or b"",
        # The client's types are wrong: this is a list of pairs.
        headers,  # type: ignore[arg-type]
    )


def produce(producer: Producer, messages: Sequence[Message], on_delivery: Any = None) -> None:
    """Enqueue messages in a producer, waiting while its queue is full.

    Whether they arrived is known after a flush or a commit.
    """
    send = producer.produce
    for message in messages:
        partition, value = message.partition, message.value
        if partition is None:
            partition = _ANY_PARTITION
        elif not value:
            # On a compacted topic a null value deletes the key.
            value = None  # type: ignore[assignment]
        headers = message.headers if type(message.headers) is list else list(message.headers)
        while True:
            try:
                send(message.topic, value, message.key, partition, on_delivery, None, 0, headers)
                break
            except BufferError:
                producer.poll(0.1)

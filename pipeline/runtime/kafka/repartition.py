"""Adding partitions without loss. A fold's states lie by key beside their records, so they move
with them; all else only grows.

Order matters where states move: the topic of states grows first, then its states move, then the
topic of records grows. A worker of the fold that is given a partition in between finds two
different numbers and refuses, so a growth that broke off is only ever taken up again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewPartitions

from pipeline.log.port import GroupRunning, Message, TopicPartition
from pipeline.runtime.kafka.broker import (
    EMPTY_S,
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerError,
    produce,
    reason,
)
from pipeline.runtime.kafka.partitioner import home_of
from pipeline.runtime.kafka.state_cache import open_states
from pipeline.runtime.kafka.topic_admin import Change

# States are at most some 55 kB: a transaction of a few MiB.
_MOVED_AT_ONCE = 100
_TRANSACTIONAL_ID = "switchboard-grow"
_POLL_S = 0.2


def grow(
    broker: Broker, changes: Sequence[Change], state_topics: Mapping[str, str], group: str
) -> int:
    """Add the partitions that changes name; return how many states have moved.

    `state_topics` names the topic of states of each topic that has one, `group` who folds them.
    Raises BrokerError where a topic has more partitions than are wanted, GroupRunning where the
    group has members and states would have to move.
    """
    wanted = {change.topic: int(change.wanted) for change in changes if change.what == "partitions"}
    if too_many := [
        c.topic for c in changes if c.what == "partitions" and int(c.found) > int(c.wanted)
    ]:
        raise BrokerError(
            f"{', '.join(too_many)} have more partitions than wanted: Kafka cannot take partitions"
            " away"
        )
    keyed = {*state_topics, *state_topics.values()}
    _add(broker, {topic: count for topic, count in wanted.items() if topic not in keyed})
    if wanted.keys() & keyed:
        _no_members(broker, group)
    elif _members(broker, group):
        # Nothing is to grow, and who folds has found its states in their places.
        return 0
    moved = 0
    for topic, state_topic in state_topics.items():
        _add(broker, {state_topic: wanted[state_topic]} if state_topic in wanted else {})
        # Whoever joined while the topic grew is seen now, and whoever joins from now on refuses.
        _no_members(broker, group)
        moved += _rehome(broker, state_topic)
        _add(broker, {topic: wanted[topic]} if topic in wanted else {})
    return moved


def _add(broker: Broker, wanted: Mapping[str, int]) -> None:
    if not wanted:
        return
    new = [NewPartitions(topic, count) for topic, count in wanted.items()]
    for topic, future in broker.admin.create_partitions(
        new, request_timeout=REQUEST_TIMEOUT_S
    ).items():
        try:
            future.result()
        except KafkaException as error:
            raise BrokerError(f"{topic}: {reason(error)}") from error
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while any(_partitions(broker, topic) < count for topic, count in wanted.items()):
        if time.monotonic() > deadline:
            raise BrokerError(
                f"partitions of {', '.join(wanted)} were added and are not there"
                f" {REQUEST_TIMEOUT_S:.0f} s later"
            )
        time.sleep(_POLL_S)


def _partitions(broker: Broker, topic: str) -> int:
    return len(broker.admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic].partitions)


def _no_members(broker: Broker, group: str) -> None:
    """Return when a group has no member; raises GroupRunning where it still has some after a
    session has surely ended.
    """
    deadline = time.monotonic() + EMPTY_S
    while (members := _members(broker, group)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if members:
        raise GroupRunning(
            f"{members} workers of {group} run, and their states would move under their hands: end"
            " them (SIGTERM to their keepers; all other stages may run), and run this again"
        )


def _members(broker: Broker, group: str) -> int:
    try:
        (future,) = broker.admin.describe_consumer_groups(
            [group], request_timeout=REQUEST_TIMEOUT_S
        ).values()
        return len(future.result().members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise BrokerError(f"the members of {group} cannot be had: {reason(error)}") from error


def _rehome(broker: Broker, topic: str) -> int:
    """Move every state to the partition on which its key lies; return how many have moved."""
    count = _partitions(broker, topic)
    producer, moved = broker.producer(_TRANSACTIONAL_ID), 0
    try:
        producer.init_transactions(REQUEST_TIMEOUT_S)
        with tempfile.TemporaryDirectory(prefix="switchboard-") as folder:
            for partition in range(count):
                away = _away(broker, (topic, partition), count, Path(folder))
                while part := list(islice(away, _MOVED_AT_ONCE)):
                    _move(producer, (topic, partition), part, count)
                    moved += len(part)
    except KafkaException as error:
        raise BrokerError(
            f"the states of {topic} could not all be moved, run this again: {reason(error)}"
        ) from error
    return moved


def _away(
    broker: Broker, place: TopicPartition, count: int, folder: Path
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the states of a partition whose keys lie on another."""
    file = open_states(broker, place, folder)
    try:
        for key, value in file.execute("SELECT key, value FROM states"):
            if home_of(key, count) != place[1]:
                yield key, value
    finally:
        file.close()


def _move(
    producer: Producer, place: TopicPartition, states: Sequence[tuple[bytes, bytes]], count: int
) -> None:
    """Write states to their new partition and remove them from the old, both or neither."""
    topic, partition = place
    producer.begin_transaction()
    produce(
        producer,
        [Message(topic, key, value, partition=home_of(key, count)) for key, value in states],
    )
    produce(producer, [Message(topic, key, b"", partition=partition) for key, _ in states])
    producer.commit_transaction(REQUEST_TIMEOUT_S)

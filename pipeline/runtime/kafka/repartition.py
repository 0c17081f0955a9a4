"""Adds partitions without loss: the states of folds move with the keys of their records.

The order matters: first the state topic gets its partitions, then its states move, then the topic
of records gets its partitions. A worker of the fold that is assigned a partition in between sees
two different partition counts and stops, so an interrupted run can only be continued.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewPartitions

from pipeline.log.port import GroupRunningError, Message, TopicPartition
from pipeline.log.retries import poll_until
from pipeline.runtime.kafka.broker import (
    GROUP_EMPTY_S,
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerError,
    error_text,
    produce,
)
from pipeline.runtime.kafka.group_members import describe_groups
from pipeline.runtime.kafka.partitioner import key_partition
from pipeline.runtime.kafka.state_cache import open_state_file
from pipeline.runtime.kafka.topic_admin import TopicChange

# States are at most some 55 kB: a transaction of a few MiB.
_MOVED_AT_ONCE = 100
_TRANSACTIONAL_ID = "switchboard-grow"
_POLL_S = 0.2


def add_partitions(
    broker: Broker, changes: Sequence[TopicChange], state_topics: Mapping[str, str], group: str
) -> int:
    """Add the partitions that changes name; return how many states have moved.

    `state_topics` maps a topic to its state topic, `group` is the consumer group of the fold.
    Raises BrokerError if a topic has more partitions than wanted, and GroupRunningError if states
    would have to move while the group has members.
    """
    wanted = {
        change.topic: int(change.wanted) for change in changes if change.setting == "partitions"
    }
    if too_many := [
        c.topic for c in changes if c.setting == "partitions" and int(c.current) > int(c.wanted)
    ]:
        raise BrokerError(
            f"{', '.join(too_many)} have more partitions than wanted, and Kafka cannot remove"
            " partitions: raise the setting partitions"
        )
    keyed = {*state_topics, *state_topics.values()}
    _add(broker, {topic: count for topic, count in wanted.items() if topic not in keyed})
    if wanted.keys() & keyed:
        _no_members(broker, group)
    elif _members(broker, group):
        # No partitions are to be added, and running workers have checked their states already.
        return 0
    moved = 0
    for topic, state_topic in state_topics.items():
        _add(broker, {state_topic: wanted[state_topic]} if state_topic in wanted else {})
        # A worker that joined meanwhile is noticed now; one that joins from now on stops by itself.
        _no_members(broker, group)
        moved += _move_states(broker, state_topic)
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
            raise BrokerError(f"{topic}: {error_text(error)}") from error

    def all_listed() -> bool | None:
        listed = all(_partitions(broker, topic) >= count for topic, count in wanted.items())
        return listed or None

    # The brokers learn of new partitions one by one, within the time of one request.
    if not poll_until(all_listed, limit_s=REQUEST_TIMEOUT_S, wait_s=_POLL_S):
        raise BrokerError(
            f"partitions of {', '.join(wanted)} were added but are not listed"
            f" {REQUEST_TIMEOUT_S:.0f} s later: check the brokers, then run this again"
        )


def _partitions(broker: Broker, topic: str) -> int:
    return len(broker.admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic].partitions)


def _no_members(broker: Broker, group: str) -> None:
    """Wait until a group has no member; raises GroupRunningError if it has some for too long."""
    members = 0

    def is_empty() -> bool | None:
        nonlocal members
        members = _members(broker, group)
        return members == 0 or None

    # Static members that ended leave the group only after their session.
    if not poll_until(is_empty, limit_s=GROUP_EMPTY_S, wait_s=_POLL_S):
        raise GroupRunningError(
            f"{members} workers of {group} run while their states would have to move: stop them"
            " (SIGTERM to their supervisors; other stages may run), then run this again"
        )


def _members(broker: Broker, group: str) -> int:
    try:
        described = describe_groups(broker, [group]).get(group)
    except KafkaException as error:
        raise BrokerError(f"the members of {group} cannot be read: {error_text(error)}") from error
    return len(described.members) if described else 0


def _move_states(broker: Broker, topic: str) -> int:
    """Move every state to the partition of its key; return how many have moved."""
    count = _partitions(broker, topic)
    producer, moved = broker.producer(_TRANSACTIONAL_ID), 0
    try:
        producer.init_transactions(REQUEST_TIMEOUT_S)
        with tempfile.TemporaryDirectory(prefix="switchboard-") as folder:
            for partition in range(count):
                misplaced = _states_to_move(broker, (topic, partition), count, Path(folder))
                while part := list(islice(misplaced, _MOVED_AT_ONCE)):
                    _move(producer, (topic, partition), part, count)
                    moved += len(part)
    except KafkaException as error:
        raise BrokerError(
            f"the states of {topic} could not all be moved, run this again: {error_text(error)}"
        ) from error
    return moved


def _states_to_move(
    broker: Broker, partition: TopicPartition, count: int, folder: Path
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the states of a partition whose keys belong to another partition."""
    file = open_state_file(broker, partition, folder)
    try:
        for key, value in file.execute("SELECT key, value FROM states"):
            if key_partition(key, count) != partition[1]:
                yield key, value
    finally:
        file.close()


def _move(
    producer: Producer, source: TopicPartition, states: Sequence[tuple[bytes, bytes]], count: int
) -> None:
    """Move states to their new partition in one transaction."""
    topic, partition = source
    producer.begin_transaction()
    produce(
        producer,
        [Message(topic, key, value, partition=key_partition(key, count)) for key, value in states],
    )
    produce(producer, [Message(topic, key, b"", partition=partition) for key, _ in states])
    producer.commit_transaction(REQUEST_TIMEOUT_S)

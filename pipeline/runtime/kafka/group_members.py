"""The members of consumer groups, as the brokers know them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState

from pipeline.log.port import TopicPartition
from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, retry_request


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A worker: its name, which restarts do not change, its address and its partition count."""

    group: str
    name: str
    host: str
    partitions: int


def group_members(broker: Broker, groups: Sequence[str]) -> list[GroupMember]:
    """Return the members of groups, sorted by group and name; an unknown group has none.

    Raises BrokerUnavailableError.
    """

    def ask() -> list[GroupMember]:
        futures = broker.admin.describe_consumer_groups(
            list(groups), request_timeout=REQUEST_TIMEOUT_S
        )
        members = []
        for group, future in futures.items():
            for member in future.result().members:
                partitions = member.assignment.topic_partitions if member.assignment else ()
                name = member.group_instance_id or member.client_id
                members.append(GroupMember(group, name, member.host.lstrip("/"), len(partitions)))
        return members

    members = retry_request("the members of the groups cannot be read", ask)
    return sorted(members, key=lambda member: (groups.index(member.group), member.name))


def instance_id(transactional_id: str, topics: Sequence[str]) -> str:
    """Return the static member id of a worker, which depends on the topics of its stage.

    A static member that restarts gets its old partitions without a rebalance, even if it subscribes
    to other topics now.
    """
    return f"{transactional_id}-{zlib.crc32(','.join(sorted(topics)).encode()):08x}"


def unassigned_partitions(
    broker: Broker, group: str, topics: Sequence[str]
) -> set[TopicPartition] | None:
    """Return the partitions of topics that a group has assigned to no member.

    It is None while the group rebalances or has no members. Raises KafkaException.
    """
    (future,) = broker.admin.describe_consumer_groups(
        [group], request_timeout=REQUEST_TIMEOUT_S
    ).values()
    described = future.result()
    if described.state != ConsumerGroupState.STABLE:
        return None
    assigned = {
        (partition.topic, partition.partition)
        for member in described.members
        if member.assignment
        for partition in member.assignment.topic_partitions
    }
    known = broker.admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    return {
        (topic, partition)
        for topic in topics
        if topic in known
        for partition in known[topic].partitions
    } - assigned

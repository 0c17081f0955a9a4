"""The members of consumer groups, as the brokers know them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import ConsumerGroupDescription

from pipeline.log.port import TopicPartition
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerUnavailableError,
    error_text,
    retry_request,
)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A worker: its name, which restarts do not change, its address and its partition count."""

    group: str
    name: str
    host: str
    partitions: int


def describe_groups(broker: Broker, groups: Sequence[str]) -> dict[str, ConsumerGroupDescription]:
    """Return what the coordinators know of groups, without unknown ones; raises KafkaException."""
    futures = broker.admin.describe_consumer_groups(list(groups), request_timeout=REQUEST_TIMEOUT_S)
    described = {}
    for group, future in futures.items():
        try:
            described[group] = future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
    return described


def group_members(broker: Broker, groups: Sequence[str]) -> list[GroupMember]:
    """Return the members of groups, sorted by group and name; an unknown group has none.

    Raises BrokerUnavailableError.
    """

    def ask() -> list[GroupMember]:
        members = []
        for group, described in describe_groups(broker, groups).items():
            for member in described.members:
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

    It is None while the group rebalances or has no members. Raises BrokerUnavailableError.
    """
    try:
        described = describe_groups(broker, [group]).get(group)
    except KafkaException as error:
        raise BrokerUnavailableError(
            f"the members of {group} cannot be read: {error_text(error)}"
        ) from error
    if described is None or described.state != ConsumerGroupState.STABLE:
        return None
    assigned = {
        (partition.topic, partition.partition)
        for member in described.members
        if member.assignment
        for partition in member.assignment.topic_partitions
    }
    return {
        (topic, number) for topic in topics for number in range(broker.partitions(topic))
    } - assigned

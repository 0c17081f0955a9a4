"""The members of consumer groups, as the brokers know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

"""Who works: the members of consumer groups, as the brokers know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, patiently


@dataclass(frozen=True, slots=True)
class Member:
    """One worker: the name that it keeps over restarts, the address it comes from, how many
    partitions it holds.
    """

    group: str
    name: str
    host: str
    partitions: int


def members(broker: Broker, groups: Sequence[str]) -> list[Member]:
    """Return the members of groups, by group and name; none for one that is not known. Raises
    BrokerAway.
    """

    def ask() -> list[Member]:
        futures = broker.admin.describe_consumer_groups(
            list(groups), request_timeout=REQUEST_TIMEOUT_S
        )
        found = []
        for group, future in futures.items():
            for one in future.result().members:
                held = one.assignment.topic_partitions if one.assignment else ()
                name = one.group_instance_id or one.client_id
                found.append(Member(group, name, one.host.lstrip("/"), len(held)))
        return found

    found = patiently("the workers cannot be had", ask)
    return sorted(found, key=lambda one: (groups.index(one.group), one.name))

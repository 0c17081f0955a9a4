"""Kafka's topics as `schemas/topics.py` declares them: what differs, and what makes it so. Nothing
is ever deleted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from pipeline.runtime.kafka.broker import REQUEST_TIMEOUT_S, Broker, BrokerAway, BrokerError, reason
from schemas.topics import TOPICS, Topic

# A compacted topic is read whole when a worker starts without a cache: cleaned early it stays near
# its live size.
_DIRTY_RATIO = "0.1"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a topic as it is and as it is declared; `manual` ones are told and
    never applied.
    """

    topic: str
    what: str
    found: str
    wanted: str
    manual: bool = False


def declared_configs(topic: Topic) -> dict[str, str]:
    """Return the topic configuration of a declaration, by Kafka's names."""
    configs = {
        "cleanup.policy": topic.cleanup,
        # The broker's own clock stamps every record: versions and lag in seconds rest on it.
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "-1" if topic.retention_ms is None else str(topic.retention_ms),
        "segment.ms": str(topic.segment_ms),
    }
    return configs | ({"min.cleanable.dirty.ratio": _DIRTY_RATIO} if topic.compacted else {})


class TopicPlan:
    """What differs from the declarations, and the way to apply it.

    `partitions` (None: as declared) and `replication` (-1: the brokers' default) are the
    installation's; a topic of one keeps one.
    """

    def __init__(self, broker: Broker, partitions: int | None, replication: int) -> None:
        self._admin: AdminClient = broker.admin
        self._servers = broker.servers
        self._partitions = partitions
        self._replication = replication

    def _wanted_partitions(self, topic: Topic) -> int:
        return topic.partitions if topic.partitions == 1 else self._partitions or topic.partitions

    def changes(self) -> list[Change]:
        """Return the differences, topic by topic; raises BrokerError where Kafka does not
        answer.
        """
        try:
            known = self._admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
            present = [topic for topic in TOPICS.values() if topic.name in known]
            configs = self._configs(present)
        except KafkaException as error:
            raise BrokerAway(
                f"Kafka at {self._servers} does not answer: {reason(error)}"
            ) from error
        changes: list[Change] = []
        for topic in TOPICS.values():
            if topic.name not in known:
                changes.append(
                    Change(
                        topic.name,
                        "topic",
                        "absent",
                        f"{self._wanted_partitions(topic)} partitions",
                    )
                )
                continue
            changes.extend(self._partition_changes(topic, len(known[topic.name].partitions)))
            for name, wanted in declared_configs(topic).items():
                if (found := configs[topic.name].get(name, "")) != wanted:
                    changes.append(Change(topic.name, name, found, wanted))
        return changes

    def _partition_changes(self, topic: Topic, found: int) -> list[Change]:
        wanted = self._wanted_partitions(topic)
        if found == wanted:
            return []
        # Fewer cannot be; more moves keys to other partitions, so a person decides when:
        # growing.py, docs/guide/runbook.md.
        return [Change(topic.name, "partitions", str(found), str(wanted), manual=True)]

    def _configs(self, topics: list[Topic]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics]
        futures = self._admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
        return {
            resource.name: {name: str(entry.value) for name, entry in future.result().items()}
            for resource, future in futures.items()
        }

    def apply(self, changes: list[Change]) -> None:
        """Make absent topics and set differing configurations; `manual` changes are left. Raises
        BrokerError naming the topic.
        """
        absent = {change.topic for change in changes if change.what == "topic"}
        new = [
            NewTopic(
                name,
                num_partitions=self._wanted_partitions(TOPICS[name]),
                replication_factor=self._replication,
                config=declared_configs(TOPICS[name]),
            )
            for name in sorted(absent)
        ]
        if new:
            self._wait(self._admin.create_topics(new, request_timeout=REQUEST_TIMEOUT_S))
        altered: dict[str, list[ConfigEntry]] = {}
        for change in changes:
            if change.topic not in absent and not change.manual:
                entry = ConfigEntry(
                    change.what, change.wanted, incremental_operation=AlterConfigOpType.SET
                )
                altered.setdefault(change.topic, []).append(entry)
        self._until_known(absent)
        if altered:
            resources = [
                ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
                for name, entries in altered.items()
            ]
            futures = self._admin.incremental_alter_configs(
                resources, request_timeout=REQUEST_TIMEOUT_S
            )
            self._wait({resource.name: future for resource, future in futures.items()})

    def _until_known(self, names: set[str]) -> None:
        """Wait until the brokers tell of topics that were just made: they learn of them one after
        the other.
        """
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while missing := names - set(self._admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"{', '.join(sorted(missing))} were made but are not there"
                    f" {REQUEST_TIMEOUT_S:.0f} s later"
                )

    @staticmethod
    def _wait(futures: Mapping[str, object]) -> None:
        for name, future in futures.items():
            try:
                future.result()  # type: ignore[attr-defined]  # concurrent.futures.Future, untyped in the client
            except KafkaException as error:
                # Another one who applies at the same time was first.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"{name}: {reason(error)}") from error

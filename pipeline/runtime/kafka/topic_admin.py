"""Creates and configures Kafka's topics as `schemas/topics.py` declares them; deletes nothing."""

from __future__ import annotations

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

from pipeline.log.retries import poll_until
from pipeline.runtime.kafka.broker import (
    REQUEST_TIMEOUT_S,
    Broker,
    BrokerError,
    BrokerUnavailableError,
    error_text,
)
from schemas.topics import TOPICS, Topic

# A worker that starts without a cache reads a compacted topic from the beginning: early cleaning
# keeps it small.
_DIRTY_RATIO = "0.1"


@dataclass(frozen=True, slots=True)
class TopicChange:
    """A difference between a topic and its declaration; `manual` ones are reported, not applied."""

    topic: str
    setting: str
    current: str
    wanted: str
    manual: bool = False


def declared_configs(topic: Topic) -> dict[str, str]:
    """Return the topic configuration of a declaration, under Kafka's names."""
    configs = {
        "cleanup.policy": topic.cleanup,
        # The broker's clock timestamps every record: row versions and lag in seconds depend on it.
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "-1" if topic.retention_ms is None else str(topic.retention_ms),
        "segment.ms": str(topic.segment_ms),
    }
    return configs | ({"min.cleanable.dirty.ratio": _DIRTY_RATIO} if topic.compacted else {})


class TopicPlan:
    """Compares the topics with their declarations and applies the differences.

    `partitions` (None: as declared) and `replication` (-1: the brokers' default) are settings of
    the installation; a topic with one declared partition always has one.
    """

    def __init__(self, broker: Broker, partitions: int | None, replication: int) -> None:
        self._admin: AdminClient = broker.admin
        self._servers = broker.servers
        self._partitions = partitions
        self._replication = replication

    def _wanted_partitions(self, topic: Topic) -> int:
        return topic.partitions if topic.partitions == 1 else self._partitions or topic.partitions

    def changes(self) -> list[TopicChange]:
        """Return the differences by topic; raises BrokerUnavailableError."""
        try:
            known = self._admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
            present = [topic for topic in TOPICS.values() if topic.name in known]
            configs = self._configs(present)
        except KafkaException as error:
            raise BrokerUnavailableError(
                f"Kafka at {self._servers} does not answer: {error_text(error)}"
            ) from error
        changes: list[TopicChange] = []
        for topic in TOPICS.values():
            if topic.name not in known:
                changes.append(
                    TopicChange(
                        topic.name,
                        "topic",
                        "absent",
                        f"{self._wanted_partitions(topic)} partitions",
                    )
                )
                continue
            changes.extend(self._partition_changes(topic, len(known[topic.name].partitions)))
            for name, wanted in declared_configs(topic).items():
                if (current := configs[topic.name].get(name, "")) != wanted:
                    changes.append(TopicChange(topic.name, name, current, wanted))
        return changes

    def _partition_changes(self, topic: Topic, current: int) -> list[TopicChange]:
        wanted = self._wanted_partitions(topic)
        if current == wanted:
            return []
        # Kafka cannot remove partitions, and adding some moves keys to other partitions, so a
        # person decides when: repartition.py, docs/guide/runbook.md.
        return [TopicChange(topic.name, "partitions", str(current), str(wanted), manual=True)]

    def _configs(self, topics: list[Topic]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics]
        futures = self._admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
        return {
            resource.name: {name: str(entry.value) for name, entry in future.result().items()}
            for resource, future in futures.items()
        }

    def apply(self, changes: list[TopicChange]) -> None:
        """Create absent topics and set differing configurations, except for `manual` changes.

        Raises BrokerError that names the topic.
        """
        absent = {change.topic for change in changes if change.setting == "topic"}
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
                    change.setting, change.wanted, incremental_operation=AlterConfigOpType.SET
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
        """Wait until the brokers list newly created topics: they learn of them one by one."""

        def all_listed() -> bool | None:
            return names <= set(self._admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics) or None

        # They learn of them within the time of one request.
        if not poll_until(all_listed, limit_s=REQUEST_TIMEOUT_S):
            raise BrokerError(
                f"{', '.join(sorted(names))} were created but are not all listed"
                f" {REQUEST_TIMEOUT_S:.0f} s later: check the brokers, then run this again"
            )

    @staticmethod
    def _wait(futures: Mapping[str, object]) -> None:
        for name, future in futures.items():
            try:
                future.result()  # type: ignore[attr-defined]  # concurrent.futures.Future, untyped in the client
            except KafkaException as error:
                # Another process that applied the topics at the same time was first.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"{name}: {error_text(error)}") from error

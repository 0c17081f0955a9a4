"""`topics apply`: make the topics of Kafka match their declarations."""

from __future__ import annotations

from pipeline.runtime.kafka.repartition import add_partitions
from pipeline.runtime.kafka.topic_admin import TopicChange, TopicPlan
from pipeline.runtime.stages import STATE_TOPICS
from pipeline.workspace import Workspace


def topic_changes(workspace: Workspace) -> list[TopicChange]:
    """Return the differences between the declared topics and those of Kafka."""
    return _plan(workspace).changes()


def apply_topics(workspace: Workspace, changes: list[TopicChange], *, grow: bool) -> int:
    """Apply changes; with `grow`, add partitions too. Return how many states moved."""
    _plan(workspace).apply(changes)
    return add_partitions(workspace.broker(), changes, STATE_TOPICS, "converse") if grow else 0


def manual_step(change: TopicChange) -> str:
    """Return what a person has to do for a change that is not applied by default, or ""."""
    if not change.manual:
        return ""
    keyed = {*STATE_TOPICS, *STATE_TOPICS.values()}
    return "stop converse, then use --grow" if change.topic in keyed else "use --grow"


def _plan(workspace: Workspace) -> TopicPlan:
    settings = workspace.settings
    return TopicPlan(workspace.broker(), settings.partitions, settings.replication)

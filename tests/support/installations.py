"""One installation as a test sees it, on either engine: events go in, the stages run until nothing
is left, rows come out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.commands.host_factory import HandlerWrapper, embedded_host, kafka_host, unwrapped
from pipeline.commands.lag import lags
from pipeline.ingest.registry import CONNECTORS
from pipeline.ingest.resumable_ingest import Ingest
from pipeline.log.clock import now_ms
from pipeline.runtime.kafka.topic_admin import TopicPlan
from pipeline.runtime.stages import KAFKA_STAGES, STAGES
from pipeline.settings import Settings, load_settings
from pipeline.sinks.migrations import migrate
from pipeline.workspace import Workspace
from tests.support.migrated_store import copy_migrated_store

SECRET = "a secret for tests only"
# What of a row says when it was written or taken, not what was written.
_CLOCKS = {
    "communications": ("ingested_at", "received_at"),
    "business_events": ("ingested_at", "received_at"),
    "predictions": ("predicted_at",),
    "dead_letters": ("failed_at", "partition", "offset", "dead_letter_id"),
    "labels": ("labelled_at",),
}
VIEWS = (
    "communications",
    "business_events",
    "predictions",
    "customers",
    "links",
    "labels",
    "repeats",
    "dead_letters",
    "history",
    "conversations",
    "conversation_facts",
    "followups",
    "record_flags",
)
Rows = dict[str, list[str]]


class Installation(Protocol):
    """What a host conformance test needs of an engine."""

    @property
    def workspace(self) -> Workspace: ...

    def run(self, wrap: HandlerWrapper = unwrapped) -> None:
        """Run every stage until nothing is left to do."""
        ...


Make = Callable[..., Installation]
"""Makes an empty installation with settings."""


def publish(installation: Installation, path: Path) -> None:
    """Ingest a file of events; broken lines become dead letters."""
    workspace = installation.workspace
    with workspace.open_publisher() as publisher:
        options = workspace.ingest_options(None, (), {})
        for result in Ingest(CONNECTORS["events"], options, publisher).run([path]):
            assert not result.problem, result.problem


def rows_in(installation: Installation, views: Sequence[str] = VIEWS) -> Rows:
    """Return the rows of every view, sorted, without what says when they were written."""
    found: Rows = {}
    with installation.workspace.open_warehouse() as warehouse:
        for view in views:
            but = f" EXCEPT ({', '.join(_CLOCKS[view])})" if view in _CLOCKS else ""
            found[view] = sorted(
                warehouse.query(f"SELECT *{but} FROM {view}")
                .decode("utf-8", "replace")
                .splitlines()
            )
    return found


class Embedded:
    """The embedded engine in a folder."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.workspace = Workspace(settings_in(folder, **settings))

    def run(self, wrap: HandlerWrapper = unwrapped) -> None:
        """See `Installation.run`."""
        store = self.workspace.root / "store"
        if not store.exists():
            copy_migrated_store(store)
        with embedded_host(self.workspace, wrap) as host:
            while host.run_once():
                pass


class Distributed:
    """Kafka and a ClickHouse server; one worker of each stage, in turn, in this process."""

    def __init__(self, folder: Path, broker: str, warehouse: str, **settings: Any) -> None:
        self.workspace = Workspace(
            settings_in(folder, broker=broker, warehouse=warehouse, **settings)
        )
        plan = TopicPlan(self.workspace.broker(), self.workspace.settings.partitions, -1)
        plan.apply(plan.changes())
        server = self.workspace.connect_clickhouse()
        migrate(server)
        server.close()

    def run(self, wrap: HandlerWrapper = unwrapped) -> None:
        """See `Installation.run`."""
        while behind := self.behind():
            self.run_stage(behind[0], wrap)

    def behind(self) -> list[str]:
        """Return the stages that have something to do, in the order of the flow."""
        with self.workspace.open_log() as log:
            waiting = {lag.group for lag in lags(log, now_ms()) if lag.records}
        return [stage for stage in KAFKA_STAGES if stage in waiting]

    def run_stage(self, stage: str, wrap: HandlerWrapper = unwrapped) -> None:
        """Run one worker of a stage until it has caught up."""
        with self.workspace.open_log() as log, kafka_host(self.workspace, stage, wrap) as host:
            asked = 0

            def caught_up() -> bool:
                nonlocal asked
                if host.counts["idle"] == asked:
                    return False
                asked = host.counts["idle"]
                return not any(lag.records for lag in log.lag(stage, STAGES[stage], now_ms()))

            host.run(caught_up)


def settings_in(folder: Path, **settings: Any) -> Settings:
    """Return settings for a folder, with the secret of tests."""
    return load_settings(data_dir=folder, secret=SECRET, **settings)


def as_lines(events: Iterable[dict[str, Any]]) -> str:
    """Return events as JSON lines."""
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)

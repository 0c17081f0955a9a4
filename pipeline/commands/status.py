"""`status`: the state of all parts of an installation, even if some are unreachable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.commands.lag import lags
from pipeline.commands.reconciliation import Account, accounts_from_counts, items_read
from pipeline.errors import UserError, describe_machine_error
from pipeline.log.port import Lag, Log, TopicSize
from pipeline.runtime.stages import STAGES
from pipeline.sinks.migrations import migrations, missing
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.workspace import Workspace

# From metadata: the server reads no rows for it.
_TABLES = """
SELECT name, toUInt64(total_rows) AS rows, toUInt64(total_bytes) AS bytes
FROM system.tables
WHERE database = currentDatabase() AND total_rows IS NOT NULL AND endsWith(engine, 'MergeTree')
ORDER BY name
"""
_CHANNELS = """
SELECT channel, toUInt64(count()) AS rows,
    toString(max(occurred_at)) AS last_event, toString(max(ingested_at)) AS last_row
FROM communication_rows
GROUP BY channel
ORDER BY channel
"""
# The version that answered last: during an upgrade or a promotion several versions answer.
_MODELS = """
SELECT head, argMax(model_version, predicted_at) AS version, toString(max(predicted_at)) AS last
FROM prediction_rows
GROUP BY head
ORDER BY head
"""
_DEAD_LETTERS = """
SELECT stage, topic, reason_code AS reason, toUInt64(count()) AS letters,
    toString(max(failed_at)) AS last
FROM dead_letters
WHERE replay_outcome != 'accepted'
GROUP BY stage, topic, reason
ORDER BY letters DESC, stage, topic, reason
"""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Where an installation is: `way` is embedded or distributed; addresses without passwords."""

    way: str
    log: str
    warehouse: str
    bodies: str
    data_dir: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of one part, and what to do."""

    part: str
    message: str


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A running worker: stage (`run`: all stages), name, host and number of partitions."""

    stage: str
    name: str
    host: str
    partitions: int


@dataclass
class Status:
    """The state of an installation; an unreachable part is None, and `problems` says why.

    Sizes are in bytes, times are ISO 8601 in UTC. `tables` counts stored rows, including replaced
    rows until ClickHouse merges them.
    """

    engine: EngineInfo
    problems: list[Problem] = field(default_factory=list)
    spool: Mapping[str, int] | None = None
    bodies: Mapping[str, int] | None = None
    topics: Mapping[str, TopicSize] | None = None
    stages: list[Lag] | None = None
    workers: list[WorkerInfo] | None = None
    migrations: Mapping[str, Any] | None = None
    tables: list[dict[str, Any]] | None = None
    channels: list[dict[str, Any]] | None = None
    models: list[dict[str, Any]] | None = None
    dead_letters: list[dict[str, Any]] | None = None
    accounts: list[Account] | None = None

    @contextmanager
    def record_problems(self, part: str) -> Iterator[None]:
        """Record errors inside the block as a problem of a part; keep what was set before."""
        try:
            yield
        except (UserError, OSError) as error:
            message = describe_machine_error(error) if isinstance(error, OSError) else str(error)
            self.problems.append(Problem(part, message))

    def rejected(self, stage: str, topic: str) -> int:
        """Return the number of open dead letters of a stage and topic."""
        letters = self.dead_letters or ()
        return sum(
            letter["letters"]
            for letter in letters
            if (letter["stage"], letter["topic"]) == (stage, topic)
        )


def collect_status(workspace: Workspace, now_ms: int) -> Status:
    """Collect the state of every part of an installation; `now_ms` is the time for the lag."""
    state = Status(_engine(workspace))
    read: Mapping[str, int] | None = None
    with state.record_problems("bodies"):
        count, size = workspace.blobs.usage()
        state.bodies = {"bodies": count, "bytes": size}
    with state.record_problems("log"), workspace.open_log() as log:
        # Checkpoints and spool are on this machine, whether Kafka answers or not.
        read = items_read(log)
        _ask_spool(state, log)
        if workspace.settings.distributed:
            _ask_kafka(state, workspace)
        state.topics = log.sizes()
        state.stages = lags(log, now_ms)
    with state.record_problems("warehouse"), workspace.open_warehouse() as warehouse:
        if not workspace.settings.distributed:
            state.workers = _embedded_run(warehouse)
        _ask_warehouse(state, warehouse)
        if read is not None and state.tables is not None:
            state.accounts = accounts_from_counts(read, warehouse)
    _check_workers(state, distributed=workspace.settings.distributed)
    return state


def _check_workers(state: Status, *, distributed: bool) -> None:
    """Add a problem if records wait for stages of which no worker runs."""
    if state.stages is None or state.workers is None:
        # An unreachable part is a problem already.
        return
    # The embedded run works for all stages.
    running = set(STAGES) if state.workers and not distributed else {w.stage for w in state.workers}
    waiting: Counter[str] = Counter()
    for lag in state.stages:
        if lag.records and lag.group not in running:
            waiting[lag.group] += lag.records
    if waiting:
        counts = ", ".join(f"{stage} ({count:,})" for stage, count in waiting.items())
        start = "`switchboard worker STAGE`" if distributed else "`switchboard run`"
        state.problems.append(
            Problem("workers", f"no worker runs and records wait for {counts}: start {start}")
        )


def _engine(workspace: Workspace) -> EngineInfo:
    settings, root = workspace.settings, workspace.root
    bodies = settings.bodies or str(root / "bodies")
    if settings.broker is None or settings.warehouse is None:
        return EngineInfo(
            "embedded", str(root / "log.sqlite"), str(root / "store"), bodies, str(root)
        )
    from pipeline.sinks.clickhouse_url import parse_address

    address = parse_address(settings.warehouse.get_secret_value())
    return EngineInfo("distributed", settings.broker, str(address), bodies, str(root))


def _ask_spool(state: Status, log: Log) -> None:
    count, size = log.spooled()
    state.spool = {"messages": count, "bytes": size}
    if count:
        state.problems.append(
            Problem(
                "spool",
                f"{count} messages are spooled: run `switchboard spool` when Kafka is reachable",
            )
        )


def _ask_kafka(state: Status, workspace: Workspace) -> None:
    """Add what only Kafka knows: whether topics match their declarations, and the workers."""
    from pipeline.runtime.kafka.group_members import group_members
    from pipeline.runtime.kafka.topic_admin import TopicPlan

    broker, settings = workspace.broker(), workspace.settings
    changes = TopicPlan(broker, settings.partitions, settings.replication).changes()
    # A person chose the number of partitions; a later setting does not make it wrong.
    if differing := sorted({change.topic for change in changes if not change.manual}):
        state.problems.append(
            Problem(
                "topics",
                f"{', '.join(differing)} differ from their declarations: run `switchboard topics"
                " apply`",
            )
        )
    state.workers = [
        WorkerInfo(one.group, one.name, one.host, one.partitions)
        for one in group_members(broker, list(STAGES))
    ]


def _ask_warehouse(state: Status, warehouse: Warehouse) -> None:
    lacking = [migration.name for migration in missing(warehouse)]
    state.migrations = {"known": len(migrations()), "missing": lacking}
    if lacking:
        state.problems.append(
            Problem("migrations", f"{', '.join(lacking)} missing: run `switchboard migrate`")
        )
    if len(lacking) == len(migrations()):
        # There are no tables yet.
        return
    state.tables = rows(warehouse, _TABLES)
    state.channels = _in_utc(rows(warehouse, _CHANNELS), "last_event", "last_row")
    state.models = _in_utc(rows(warehouse, _MODELS), "last")
    state.dead_letters = _in_utc(rows(warehouse, _DEAD_LETTERS), "last")


def _embedded_run(warehouse: Warehouse) -> list[WorkerInfo]:
    from pipeline.sinks.store_server import RemoteWarehouse

    if not isinstance(warehouse, RemoteWarehouse):
        return []
    return [WorkerInfo("run", f"process {warehouse.pid}", "localhost", 0)]


def _in_utc(table: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """Return rows with the times of ClickHouse converted to ISO 8601 in UTC."""
    return [
        row | {column: row[column].replace(" ", "T") + "Z" for column in columns} for row in table
    ]

"""Everything about an installation at one glance, on either engine: what is away or missing is
told, and all else still shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.commands.reconciliation import Account, accounts_of, items_read, lags
from pipeline.errors import UserError
from pipeline.log.port import Lag, Log, TopicSize
from pipeline.runtime.stages import STAGES
from pipeline.sinks.migrations import migrations, missing
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.workspace import Workspace

# Of parts, not of rows: a server knows it without reading any.
_TABLES = """
SELECT name, toUInt64(total_rows) AS rows, toUInt64(total_bytes) AS bytes FROM system.tables
WHERE database = currentDatabase() AND total_rows IS NOT NULL AND endsWith(engine, 'MergeTree') ORDER BY name
"""
_CHANNELS = """
SELECT channel, toUInt64(count()) AS rows, toString(max(occurred_at)) AS last_event, toString(max(ingested_at)) AS last_row
FROM communication_rows GROUP BY channel ORDER BY channel
"""
# The one that answered last: in an upgrade or a promotion several answer beside each other for a
# while.
_MODELS = """
SELECT head, argMax(model_version, predicted_at) AS version, toString(max(predicted_at)) AS last
FROM prediction_rows GROUP BY head ORDER BY head
"""
_DEAD_LETTERS = """
SELECT stage, topic, reason_code AS reason, toUInt64(count()) AS letters, toString(max(failed_at)) AS last
FROM dead_letters WHERE replay_outcome != 'accepted' GROUP BY stage, topic, reason ORDER BY letters DESC, stage, topic, reason
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """Where an installation lives: `way` is embedded or distributed; addresses without
    passwords.
    """

    way: str
    log: str
    warehouse: str
    bodies: str
    data_dir: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is away or not as it must be: of which part, and what to do."""

    part: str
    message: str


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works: its stage (run: all of them), its name, where it runs, how many
    partitions it holds.
    """

    stage: str
    name: str
    host: str
    partitions: int


@dataclass
class Status:
    """What is known of an installation; a part that could not be asked is None, and `problems` says
    why.

    Sizes are in bytes, instants ISO 8601 in UTC. `tables` counts rows as stored, replaced ones
    included until ClickHouse merges them.
    """

    engine: Engine
    problems: list[Problem] = field(default_factory=list)
    spool: Mapping[str, int] | None = None
    bodies: Mapping[str, int] | None = None
    topics: Mapping[str, TopicSize] | None = None
    stages: list[Lag] | None = None
    workers: list[Worker] | None = None
    migrations: Mapping[str, Any] | None = None
    tables: list[dict[str, Any]] | None = None
    channels: list[dict[str, Any]] | None = None
    models: list[dict[str, Any]] | None = None
    dead_letters: list[dict[str, Any]] | None = None
    accounts: list[Account] | None = None

    @contextmanager
    def noting(self, part: str) -> Iterator[None]:
        """Note what goes wrong inside as a problem of a part; what was learnt before stands."""
        try:
            yield
        except (UserError, OSError) as error:
            self.problems.append(Problem(part, str(error)))

    def rejected(self, stage: str, topic: str) -> int:
        """Return how many dead letters of a topic a stage has open."""
        found = self.dead_letters or ()
        return sum(
            letter["letters"]
            for letter in found
            if (letter["stage"], letter["topic"]) == (stage, topic)
        )


def status(workspace: Workspace, now_ms: int) -> Status:
    """Ask every part of an installation what there is; the lag in seconds is as of `now_ms`."""
    found = Status(_engine(workspace))
    read: Mapping[str, int] | None = None
    with found.noting("bodies"):
        count, size = workspace.blobs.usage()
        found.bodies = {"bodies": count, "bytes": size}
    with found.noting("log"), workspace.log() as log:
        # What is read and what waits is known on this machine, whether Kafka answers or not.
        read = items_read(log)
        _ask_spool(found, log)
        if workspace.settings.distributed:
            _ask_kafka(found, workspace)
        found.topics = log.sizes()
        found.stages = lags(log, now_ms)
    with found.noting("warehouse"), workspace.reading() as warehouse:
        if not workspace.settings.distributed:
            found.workers = _embedded_run(warehouse)
        _ask_warehouse(found, warehouse)
        if read is not None and found.tables is not None:
            found.accounts = accounts_of(read, warehouse)
    return found


def _engine(workspace: Workspace) -> Engine:
    settings, root = workspace.settings, workspace.root
    bodies = settings.bodies or str(root / "bodies")
    if settings.broker is None or settings.warehouse is None:
        return Engine("embedded", str(root / "log.sqlite"), str(root / "store"), bodies, str(root))
    from pipeline.sinks.clickhouse_url import parse_address

    address = parse_address(settings.warehouse.get_secret_value())
    return Engine("distributed", settings.broker, str(address), bodies, str(root))


def _ask_spool(found: Status, log: Log) -> None:
    count, size = log.waiting()
    found.spool = {"messages": count, "bytes": size}
    if count:
        found.problems.append(
            Problem(
                "spool", f"{count} messages wait for Kafka: run `switchboard spool` when it is back"
            )
        )


def _ask_kafka(found: Status, workspace: Workspace) -> None:
    """Ask what only Kafka knows: whether topics are as declared, and who works."""
    from pipeline.runtime.kafka.group_members import members
    from pipeline.runtime.kafka.topic_admin import TopicPlan

    broker, settings = workspace.broker(), workspace.settings
    changes = TopicPlan(broker, settings.partitions, settings.replication).changes()
    # Partitions are a person's choice, which a later setting does not make wrong.
    if differing := sorted({change.topic for change in changes if not change.manual}):
        found.problems.append(
            Problem("topics", f"{', '.join(differing)} differ: run `switchboard topics apply`")
        )
    found.workers = [
        Worker(one.group, one.name, one.host, one.partitions)
        for one in members(broker, list(STAGES))
    ]


def _ask_warehouse(found: Status, warehouse: Warehouse) -> None:
    lacking = [migration.name for migration in missing(warehouse)]
    found.migrations = {"known": len(migrations()), "missing": lacking}
    if lacking:
        found.problems.append(
            Problem("migrations", f"{', '.join(lacking)} missing: run `switchboard migrate`")
        )
    if len(lacking) == len(migrations()):
        # There is nothing yet that could be asked.
        return
    found.tables = rows(warehouse, _TABLES)
    found.channels = _in_utc(rows(warehouse, _CHANNELS), "last_event", "last_row")
    found.models = _in_utc(rows(warehouse, _MODELS), "last")
    found.dead_letters = _in_utc(rows(warehouse, _DEAD_LETTERS), "last")


def _embedded_run(warehouse: Warehouse) -> list[Worker]:
    from pipeline.sinks.store_server import RemoteWarehouse

    if not isinstance(warehouse, RemoteWarehouse):
        return []
    return [Worker("run", f"process {warehouse.pid}", "localhost", 0)]


def _in_utc(found: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """Return rows whose instants, as ClickHouse prints them, are ISO 8601 in UTC."""
    return [
        row | {column: row[column].replace(" ", "T") + "Z" for column in columns} for row in found
    ]

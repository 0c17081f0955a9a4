"""Build the hosts of an installation: each stage with its dependencies, on the engine in use."""

from __future__ import annotations

import socket
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from pipeline.commands.health_server import serve_health
from pipeline.errors import UserError
from pipeline.log.clock import now_ms
from pipeline.metrics import Meter
from pipeline.runtime.crash_quarantine import CrashMarkers, limit_cpu_time
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.kafka_host import BatchLimits, KafkaHost, do_nothing
from pipeline.runtime.kafka.state_cache import StateCache
from pipeline.runtime.kafka.topic_scan import KafkaScan
from pipeline.runtime.record_guard import attempt
from pipeline.runtime.runner import Handler, LoadHandler
from pipeline.runtime.stages import (
    BATCH_BYTES,
    KAFKA_STAGES,
    LOAD_FACTOR,
    STATE_TOPICS,
    converse_handler,
    enrich_handler,
    load_handler,
    resolve_handler,
)
from pipeline.settings import Settings
from pipeline.sinks.warehouse import Warehouse
from pipeline.workspace import Workspace
from schemas.topics import EXAMPLES, LIVE_STATE, TOPICS

if TYPE_CHECKING:
    from pipeline.runtime.embedded_host import EmbeddedHost
    from pipeline.runtime.faust_app import LiveApp
    from pipeline.runtime.model_worker import ModelWorker

# How long a stage waits for more records after the first one of a batch. In enrich, 0.05 s is
# unnoticeable and makes batches of 100 at 2,000 records/s; load waits longer, because ClickHouse
# needs few large inserts.
_LINGER_S = {"enrich": 0.05, "converse": 0.1, "load": 0.5, "resolve": 0.5}
# More workers of one stage on one machine are a mistake.
_MAX_SLOTS = 256


class CountingHandler(Handler, Protocol):
    """A stage that counts the outcomes of its records."""

    @property
    def counts(self) -> Counter[str]: ...


HandlerWrapper = Callable[[Handler], Handler]
"""Wraps the handler of a stage: a worker does not, a test injects faults."""


def unwrapped(handler: Handler) -> Handler:
    """Return a handler unchanged."""
    return handler


def _measured(handler: LoadHandler, meter: Meter) -> LoadHandler:
    return replace(handler, on_insert=lambda seconds: meter.insert_finished(handler.name, seconds))


def _traces(root: Path) -> Path:
    """Return the folder of what the limit of CPU time writes; no stage has its name."""
    return root / "in-flight" / "slow"


def _markers(root: Path, stage: str) -> CrashMarkers:
    return CrashMarkers(root / "in-flight" / stage, _traces(root))


def _serve_metrics(meter: Meter, settings: Settings, slot: int) -> AbstractContextManager[object]:
    """Serve the metrics of the worker with a slot number, if the settings name a port."""
    if settings.metrics_port is None:
        return nullcontext()
    return serve_health(meter, settings.metrics_host, settings.metrics_port + slot)


@contextmanager
def embedded_host(workspace: Workspace, wrap: HandlerWrapper = unwrapped) -> Iterator[EmbeddedHost]:
    """Open everything that an embedded run needs; raises StoreInUseError if another one runs."""
    # The embedded store takes most of a second to import: a worker on Kafka restarts faster
    # without it.
    from pipeline.processors.converse.converse import Converse
    from pipeline.processors.live.alerts import AlertMonitor
    from pipeline.processors.live.view import LiveView
    from pipeline.runtime.embedded_host import EmbeddedHost, EmbeddedStage
    from pipeline.runtime.live_handler import LiveHandler, recent_alerts
    from pipeline.runtime.model_worker import ModelWorker
    from pipeline.sinks.store_server import open_for_running

    settings, root = workspace.settings, workspace.root
    with ExitStack() as stack:
        warehouse = open_for_running(root)
        stack.callback(warehouse.close)
        log = workspace.open_sqlite_log()
        stack.callback(log.close)
        log.expire()
        workspace.expire_bodies()
        heads = workspace.heads()
        # Examples that `resolve` has not committed are learnt, and reported, by `resolve` itself.
        waiting = next(log.unread("resolve", (EXAMPLES.name,)), None)
        learner = ModelWorker(
            log, root / "models" / "snapshot", heads, None if waiting is None else waiting.offset
        )
        view, watch = LiveView(), AlertMonitor()
        view.apply(log.compacted_entries(LIVE_STATE.name))
        watch.restore(recent_alerts(log, now_ms()))
        batch_records = settings.batch_records
        meter = Meter()
        handlers: tuple[tuple[CountingHandler, int], ...] = (
            (enrich_handler(workspace.identity(), learner.models, heads=heads), batch_records),
            (converse_handler(Converse(workspace.service_rules()), log), batch_records),
            (_measured(load_handler(warehouse), meter), batch_records * LOAD_FACTOR),
            (resolve_handler(warehouse, lambda _: learner), batch_records),
            (LiveHandler(log, view, watch), batch_records),
        )
        for handler, _ in handlers:
            meter.start_stage(handler.name, handler.counts)
        meter.register_model_offset("enrich", lambda: learner.fold.live.offset)
        stack.enter_context(_serve_metrics(meter, settings, 0))
        stages = [
            EmbeddedStage(wrap(handler), limit, _markers(root, handler.name), handler.counts)
            for handler, limit in handlers
        ]
        host = EmbeddedHost(log, workspace.blobs, learner, stages, meter)
        stack.enter_context(limit_cpu_time(_traces(root)))
        yield host
        host.close()


class SlotsTakenError(UserError):
    """The maximum number of workers of a stage runs on this machine."""


@dataclass
class Slot:
    """The lowest free number among the workers of a stage on this machine, until the process ends.

    It names the transactional id, state cache and snapshot, so that a restarted worker reuses them.
    """

    number: int
    folder: Path
    _lock: FileLock

    @classmethod
    def take(cls, root: Path, stage: str) -> Slot:
        """Take the lowest free slot; raises SlotsTaken."""
        for number in range(_MAX_SLOTS):
            folder = root / "workers" / f"{stage}-{number}"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # The kernel releases it when the process ends. Without flock it fails instead of
            # writing a marker file, which would outlive a killed process.
            lock = FileLock(folder / "lock", timeout=0, thread_local=False, fallback_to_soft=False)
            try:
                lock.acquire()
            except Timeout:
                continue
            return cls(number, folder, lock)
        raise SlotsTakenError(f"{_MAX_SLOTS} workers of {stage} run on {root} already")

    def transactional_id(self, stage: str) -> str:
        """Return an id that is stable over restarts and differs between data folders."""
        folder = zlib.crc32(str(self.folder.parent.absolute()).encode())
        return f"{stage}-{socket.gethostname()}-{folder:08x}-{self.number}"

    def release(self) -> None:
        """Release the slot."""
        self._lock.release()


@dataclass(frozen=True, slots=True)
class _Stage:
    handler: CountingHandler
    before_batch: Callable[[], object] = do_nothing
    states: StateCache | None = None


@contextmanager
def kafka_host(
    workspace: Workspace, stage: str, wrap: HandlerWrapper = unwrapped
) -> Iterator[KafkaHost]:
    """Open everything that one worker of a stage needs.

    Raises UserError for an unknown stage, missing settings or missing topics.
    """
    if stage not in KAFKA_STAGES:
        raise UserError(f"there is no stage {stage!r}; the stages are {', '.join(KAFKA_STAGES)}")
    broker, settings = workspace.broker(), workspace.settings
    # All topics, also those that are written or scanned: a worker that misses one later would be
    # restarted forever.
    broker.check_topics(sorted(TOPICS))
    with ExitStack() as stack:
        slot = Slot.take(workspace.root, stage)
        stack.callback(slot.release)
        meter = Meter()
        parts = _stage(workspace, stage, slot, broker, stack, meter)
        meter.start_stage(stage, parts.handler.counts)
        stack.enter_context(_serve_metrics(meter, settings, slot.number))
        stack.enter_context(limit_cpu_time(_traces(workspace.root)))
        records = settings.batch_records * (LOAD_FACTOR if stage == "load" else 1)
        yield KafkaHost(
            broker=broker,
            handler=wrap(parts.handler),
            group=stage,
            transactional_id=slot.transactional_id(stage),
            bodies=workspace.blobs,
            limits=BatchLimits(records, BATCH_BYTES, _LINGER_S[stage]),
            markers=_markers(workspace.root, stage),
            states=parts.states,
            before_batch=parts.before_batch,
            meter=meter,
            outcomes=parts.handler.counts,
        )


@contextmanager
def live_host(workspace: Workspace) -> Iterator[LiveApp]:
    """Open what one worker of live needs, on Faust.

    Raises UserError for missing settings or topics.
    """
    from pipeline.reporting.live_page import page
    from pipeline.runtime.faust_app import LiveApp

    settings, broker = workspace.settings, workspace.broker()
    with ExitStack() as stack:
        slot = Slot.take(workspace.root, "live")
        stack.callback(slot.release)
        meter = Meter()
        port = None if settings.live_port is None else settings.live_port + slot.number
        markers = _markers(workspace.root, "live")
        live = LiveApp(
            broker,
            slot.folder,
            workspace.blobs,
            markers,
            settings.metrics_host,
            port,
            meter,
            page,
        )
        meter.start_stage("live", live.counts)
        stack.enter_context(limit_cpu_time(_traces(workspace.root)))
        stack.enter_context(_serve_metrics(meter, settings, slot.number))
        yield live


def _stage(
    workspace: Workspace, stage: str, slot: Slot, broker: Broker, stack: ExitStack, meter: Meter
) -> _Stage:
    # Each stage imports only what it needs, so that a killed worker restarts quickly.
    if stage == "enrich":
        from pipeline.models.learner import warm_up
        from pipeline.runtime.model_worker import ModelWorker

        heads = workspace.heads()
        scan = KafkaScan(broker)
        stack.callback(scan.close)
        # Compile before the worker joins the group.
        warm_up()
        learner = ModelWorker(scan, slot.folder / "snapshot", heads)
        stack.callback(learner.save)
        meter.register_model_offset(stage, lambda: learner.fold.live.offset)
        return _Stage(
            enrich_handler(workspace.identity(), learner.models, heads=heads), learner.catch_up
        )
    if stage == "converse":
        from pipeline.processors.converse.converse import Converse

        fold = Converse(workspace.service_rules())

        def is_state(raw: bytes) -> bool:
            return not isinstance(attempt(partial(fold.load, raw)), Exception)

        states = StateCache(broker, STATE_TOPICS, slot.folder / "states", is_state)
        return _Stage(converse_handler(fold, states), states=states)
    warehouse: Warehouse = workspace.connect_clickhouse()
    stack.callback(warehouse.close)
    if stage == "load":
        return _Stage(_measured(load_handler(warehouse), meter))

    def make_learner(first: int) -> ModelWorker:
        from pipeline.models.learner import warm_up
        from pipeline.runtime.model_worker import ModelWorker

        warm_up()
        scan = KafkaScan(broker)
        stack.callback(scan.close)
        learner = ModelWorker(scan, slot.folder / "snapshot", workspace.heads(), first)
        stack.callback(learner.save)
        meter.register_model_offset(stage, lambda: learner.fold.live.offset)
        return learner

    return _Stage(resolve_handler(warehouse, make_learner))

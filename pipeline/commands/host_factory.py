"""Putting hosts together: the stages of an installation, with everything that each needs, on the
engine that the settings name.
"""

from __future__ import annotations

import fcntl
import socket
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from pipeline.commands.health_server import watched
from pipeline.errors import UserError
from pipeline.log.port import now_ms
from pipeline.metrics import Meter
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.crash_quarantine import InFlight
from pipeline.runtime.kafka.kafka_host import KafkaHost, Sizes, nothing
from pipeline.runtime.kafka.state_cache import StateCache
from pipeline.runtime.kafka.topic_scan import KafkaScan
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
    from pipeline.runtime.model_worker import Learner

# What a stage waits after a batch's first record for more of them. Where people wait for the row, a
# twentieth of a second costs nobody anything and makes a batch of a hundred at 2,000 records/s;
# load waits longer, for ClickHouse wants few large inserts.
_LINGER_S = {"enrich": 0.05, "converse": 0.1, "load": 0.5, "resolve": 0.5}
# More workers of one stage than this on one machine is a slip of the finger.
_MAX_SLOTS = 256


class CountingHandler(Handler, Protocol):
    """A stage that counts what becomes of records."""

    @property
    def counts(self) -> Counter[str]: ...


Wrap = Callable[[Handler], Handler]
"""What stands between a host and a stage: nothing in a worker, faults in a test."""


def bare(handler: Handler) -> Handler:
    """Return a stage as it is."""
    return handler


def _timed(handler: LoadHandler, meter: Meter) -> LoadHandler:
    return replace(handler, took=lambda seconds: meter.inserted(handler.name, seconds))


def _served(meter: Meter, settings: Settings, place: int) -> AbstractContextManager[object]:
    """Serve a process's metrics on the port of its place on this machine, where the settings name
    one.
    """
    if settings.metrics_port is None:
        return nullcontext()
    return watched(meter, settings.metrics_host, settings.metrics_port + place)


@contextmanager
def embedded_host(workspace: Workspace, wrap: Wrap = bare) -> Iterator[EmbeddedHost]:
    """Open everything that an embedded run needs; raises StoreHeldError where one is running
    already.
    """
    # The embedded store takes most of a second to import, which a worker on Kafka need not spend
    # when it comes back.
    from pipeline.processors.converse.converse import Converse
    from pipeline.processors.live.alerts import Watch
    from pipeline.processors.live.view import View
    from pipeline.runtime.embedded_host import EmbeddedHost
    from pipeline.runtime.live_handler import LiveHandler, recent_alerts
    from pipeline.runtime.model_worker import Learner
    from pipeline.sinks.store_server import open_for_running

    settings, root = workspace.settings, workspace.root
    with ExitStack() as stack:
        warehouse = open_for_running(root)
        stack.callback(warehouse.close)
        log = workspace.sqlite_log()
        stack.callback(log.close)
        log.expire()
        workspace.expire_bodies()
        heads = settings.head_table()
        # What `resolve` has not committed it learns itself, and tells of it.
        waiting = next(log.unread("resolve", (EXAMPLES.name,)), None)
        learner = Learner(
            log, root / "models" / "snapshot", heads, None if waiting is None else waiting.offset
        )
        view, watch = View(), Watch()
        view.apply(log.kept(LIVE_STATE.name))
        watch.recall(recent_alerts(log, now_ms()))
        some = settings.batch_records
        meter = Meter()
        handlers: tuple[tuple[CountingHandler, int], ...] = (
            (enrich_handler(settings.identity(), learner.models, heads=heads), some),
            (converse_handler(Converse(settings.converse_rules()), log), some),
            (_timed(load_handler(warehouse), meter), some * LOAD_FACTOR),
            (resolve_handler(warehouse, lambda _: learner), some),
            (LiveHandler(log, view, watch), some),
        )
        for handler, _ in handlers:
            meter.watch_outcomes(handler.name, handler.counts)
            meter.started(handler.name)
        meter.watch_models("enrich", lambda: learner.fold.live.offset)
        stack.enter_context(_served(meter, settings, 0))
        wrapped = [(wrap(handler), limit) for handler, limit in handlers]
        host = EmbeddedHost(log, workspace.blobs, learner, wrapped, meter)
        yield host
        host.close()


class SlotsTaken(UserError):
    """There are as many workers of a stage on this machine as there may be."""


@dataclass
class Slot:
    """A worker's place among those of its stage on this machine: the lowest that is free, held
    until its process ends.

    Transactional ids, state caches and snapshots are named by it, so that a worker that comes back
    finds its own.
    """

    number: int
    folder: Path
    _lock: IO[bytes]

    @classmethod
    def take(cls, root: Path, stage: str) -> Slot:
        """Take the lowest free slot; raises SlotsTaken."""
        for number in range(_MAX_SLOTS):
            folder = root / "workers" / f"{stage}-{number}"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = open(folder / "lock", "ab")  # noqa: SIM115  # held for as long as the process
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            return cls(number, folder, lock)
        raise SlotsTaken(f"{_MAX_SLOTS} workers of {stage} run on {root} already")

    def transactional_id(self, stage: str) -> str:
        """Return group-host-slot: the same after every restart, another for every data folder of a
        machine.
        """
        folder = zlib.crc32(str(self.folder.parent.absolute()).encode())
        return f"{stage}-{socket.gethostname()}-{folder:08x}-{self.number}"

    def release(self) -> None:
        """Give the slot up."""
        self._lock.close()


@dataclass(frozen=True, slots=True)
class _Stage:
    handler: CountingHandler
    before_batch: Callable[[], object] = nothing
    states: StateCache | None = None


@contextmanager
def kafka_host(workspace: Workspace, stage: str, wrap: Wrap = bare) -> Iterator[KafkaHost]:
    """Open everything that one worker of a stage needs; raises UserError for an unknown stage or
    settings that lack something.
    """
    if stage not in KAFKA_STAGES:
        raise UserError(f"there is no stage {stage!r}; there are {', '.join(KAFKA_STAGES)}")
    broker, settings = workspace.broker(), workspace.settings
    # Those that are written and scanned too: a worker that finds one missing on the way would be
    # started again for ever.
    broker.check_topics(sorted(TOPICS))
    with ExitStack() as stack:
        slot = Slot.take(workspace.root, stage)
        stack.callback(slot.release)
        meter = Meter()
        parts = _stage(workspace, stage, slot, broker, stack, meter)
        meter.watch_outcomes(stage, parts.handler.counts)
        meter.started(stage)
        stack.enter_context(_served(meter, settings, slot.number))
        records = settings.batch_records * (LOAD_FACTOR if stage == "load" else 1)
        yield KafkaHost(
            broker=broker,
            handler=wrap(parts.handler),
            group=stage,
            transactional_id=slot.transactional_id(stage),
            blobs=workspace.blobs,
            sizes=Sizes(records, BATCH_BYTES, _LINGER_S[stage]),
            in_flight=InFlight(workspace.root / "in-flight" / stage),
            states=parts.states,
            before_batch=parts.before_batch,
            meter=meter,
            outcomes=parts.handler.counts,
        )


@contextmanager
def live_worker(workspace: Workspace) -> Iterator[LiveApp]:
    """Open what one worker of live needs, on Faust; raises UserError for settings or topics that
    lack something.
    """
    from pipeline.reporting.live_page import page
    from pipeline.runtime.faust_app import LiveApp

    settings, broker = workspace.settings, workspace.broker()
    with ExitStack() as stack:
        slot = Slot.take(workspace.root, "live")
        stack.callback(slot.release)
        meter = Meter()
        port = None if settings.live_port is None else settings.live_port + slot.number
        live = LiveApp(broker, slot.folder, settings.metrics_host, port, meter, page)
        meter.watch_outcomes("live", live.counts)
        stack.enter_context(_served(meter, settings, slot.number))
        yield live


def _stage(
    workspace: Workspace, stage: str, slot: Slot, broker: Broker, stack: ExitStack, meter: Meter
) -> _Stage:
    # Each stage imports what it needs and no more: a worker that was killed is back the sooner.
    settings = workspace.settings
    if stage == "enrich":
        from pipeline.models.learner import warm_up
        from pipeline.runtime.model_worker import Learner

        heads = settings.head_table()
        scan = KafkaScan(broker)
        stack.callback(scan.close)
        # Compiled before the group counts on this worker.
        warm_up()
        learner = Learner(scan, slot.folder / "snapshot", heads)
        stack.callback(learner.save)
        meter.watch_models(stage, lambda: learner.fold.live.offset)
        return _Stage(
            enrich_handler(settings.identity(), learner.models, heads=heads), learner.catch_up
        )
    if stage == "converse":
        from pipeline.processors.converse.converse import Converse

        states = StateCache(broker, STATE_TOPICS, slot.folder / "states")
        return _Stage(converse_handler(Converse(settings.converse_rules()), states), states=states)
    warehouse: Warehouse = workspace.server()
    stack.callback(warehouse.close)
    if stage == "load":
        return _Stage(_timed(load_handler(warehouse), meter))

    def make_learner(first: int) -> Learner:
        from pipeline.models.learner import warm_up
        from pipeline.runtime.model_worker import Learner

        warm_up()
        scan = KafkaScan(broker)
        stack.callback(scan.close)
        learner = Learner(scan, slot.folder / "snapshot", settings.head_table(), first)
        stack.callback(learner.save)
        meter.watch_models(stage, lambda: learner.fold.live.offset)
        return learner

    return _Stage(resolve_handler(warehouse, make_learner))

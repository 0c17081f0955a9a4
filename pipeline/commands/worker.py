"""The commands `worker` and `run` on Kafka: worker processes, kept running by one that watches
them.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FrameType

from pipeline.cli.console import fail, note
from pipeline.commands.periodic_tasks import looking_back
from pipeline.commands.reconciliation import lags
from pipeline.errors import UserError
from pipeline.log.port import now_ms
from pipeline.runtime.kafka.broker import BrokerAway
from pipeline.runtime.kafka.kafka_host import HostBroken
from pipeline.runtime.stages import STAGES
from pipeline.sinks.warehouse import WarehouseBusyError
from pipeline.workspace import Workspace

logger = logging.getLogger(__name__)

# sysexits.h, EX_CONFIG: only a person can mend it, so starting again is of no use. Everything else
# may pass.
_FOR_GOOD = 78
# sysexits.h, EX_TEMPFAIL: the worker lost its clients; a new process may go on.
_AGAIN = 75
# A worker that dies at once is started again after a tenth of a second, and ever later; one that
# had lived a minute, at once.
_FIRST_WAIT_S, _MAX_WAIT_S, _HEALTHY_S = 0.1, 10.0, 60.0
# A worker ends after the batch in hand, which takes seconds; a minute is what Kubernetes and
# systemd may grant.
_GRACE_S = 60.0
_WATCH_S = 0.05
# How often a run until idle asks for the lags; twice without any, and nothing is on its way between
# two stages.
_IDLE_S = 0.5


class Stopping:
    """Whether SIGTERM or SIGINT has asked this process to stop, or its parent is gone."""

    def __init__(self, *, with_parent: bool = False) -> None:
        self.asked = threading.Event()
        self._parent = os.getppid() if with_parent else 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked.set()

    def __call__(self) -> bool:
        """Return whether it is time to stop."""
        return self.asked.is_set() or (self._parent != 0 and os.getppid() != self._parent)


@contextmanager
def leaving(stage: str) -> Iterator[None]:
    """End the process with a code that says whether a new one may do better, where what is inside
    cannot go on.
    """
    try:
        yield
    except (HostBroken, BrokerAway, WarehouseBusyError) as error:
        fail(f"{stage}: {error}", _AGAIN)
    except UserError as error:
        fail(f"{stage}: {error}", _FOR_GOOD)


def run_live(workspace: Workspace) -> None:
    """Be one worker of live until stopped; Faust has its own way to stop and ends the process."""
    from faust import Worker

    from pipeline.commands.host_factory import live_worker

    with leaving("live"), live_worker(workspace) as live:
        live.parent = os.getppid()
        worker = Worker(
            live.app, override_logging=False, redirect_stdouts=False, quiet=True, daemon=True
        )
        worker.execute_from_commandline()


def run_worker(workspace: Workspace, stage: str) -> None:
    """Be one worker of a stage until stopped; see `leaving` for how it ends where it cannot go
    on.
    """
    if stage == "live":
        run_live(workspace)
        return
    from pipeline.commands.host_factory import kafka_host

    stop = Stopping(with_parent=True)
    with leaving(stage), kafka_host(workspace, stage) as host:
        host.run(stop)


@dataclass
class _Kept:
    """One worker that is kept running."""

    stage: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wait: float = _FIRST_WAIT_S
    due: float = 0.0
    deaths: int = field(default=0)

    def start(self) -> None:
        self.process = subprocess.Popen(self.command)
        self.started = time.monotonic()
        logger.info("%s is process %d", self.stage, self.process.pid)

    def died(self, code: int) -> None:
        lived = time.monotonic() - self.started
        self.deaths += 1
        self.wait = _FIRST_WAIT_S if lived > _HEALTHY_S else min(self.wait * 2, _MAX_WAIT_S)
        self.due = time.monotonic() + self.wait
        self.process = None
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        note(f"{self.stage} ended {how} after {lived:.0f} s; again in {self.wait:.1f} s")


def supervise(
    workspace: Workspace, wanted: Mapping[str, int], until: Callable[[], bool] | None = None
) -> bool:
    """Keep so many workers of each stage running until stopped or `until` holds; return False where
    one failed for good.

    Who keeps `resolve` without an end looks for outcomes now and then. Raises UserError for a stage
    that does not exist.
    """
    if unknown := sorted(set(wanted) - set(STAGES)):
        raise UserError(f"there is no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    stop = Stopping()
    # By the keeper, and beside all else: a worker that was killed does not look through a bucket
    # before it is back.
    threading.Thread(target=workspace.expire_bodies, name="expire", daemon=True).start()
    kept = [
        _Kept(stage, _command(workspace, stage))
        for stage, count in wanted.items()
        for _ in range(count)
    ]
    good = True
    with looking_back(workspace) if "resolve" in wanted and until is None else nullcontext():
        try:
            while good and not stop() and not (until and until()):
                good = all(_looked_after(one) for one in kept)
                if all(one.process is None and one.due == 0 for one in kept):
                    break
                stop.asked.wait(_WATCH_S)
        finally:
            _end(kept)
    return good


def _looked_after(one: _Kept) -> bool:
    """Start a worker that should run and does not; return False where it failed for good."""
    if one.process is None:
        if time.monotonic() >= one.due:
            one.start()
        return True
    code = one.process.poll()
    if code is None:
        return True
    if code == _FOR_GOOD:
        return False
    one.died(code)
    return True


def _command(workspace: Workspace, stage: str) -> list[str]:
    words = [sys.executable, "-m", "pipeline", "--data-dir", str(workspace.root)]
    if logging.getLogger().isEnabledFor(logging.INFO):
        words.append("--verbose")
    return [*words, "worker", stage, "--child"]


def _end(kept: list[_Kept]) -> None:
    running = [
        one.process for one in kept if one.process is not None and one.process.poll() is None
    ]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _GRACE_S
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            note(
                f"process {process.pid} does not end within {_GRACE_S:.0f} s and is killed; its"
                " batch is done again"
            )
            process.kill()
            process.wait()


def run_all(workspace: Workspace, *, until_idle: bool) -> bool:
    """Keep one worker of every stage running, until stopped or, where asked for, until nothing is
    left to do.
    """
    if not until_idle:
        return supervise(workspace, dict.fromkeys(STAGES, 1))
    idle = _Idle(workspace)
    try:
        return supervise(workspace, dict.fromkeys(STAGES, 1), idle)
    finally:
        idle.close()


class _Idle:
    """Whether every stage has caught up, asked of Kafka now and then."""

    def __init__(self, workspace: Workspace) -> None:
        self._opened = workspace.log()
        self._log = self._opened.__enter__()
        self._due = 0.0
        self._quiet = 0

    def __call__(self) -> bool:
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _IDLE_S
        behind = any(lag.records for lag in lags(self._log, now_ms()))
        self._quiet = 0 if behind else self._quiet + 1
        return self._quiet > 1

    def close(self) -> None:
        self._opened.__exit__(None, None, None)

"""`worker` and `run` on Kafka: start worker processes and restart those that end."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

from pipeline.commands.lag import lags
from pipeline.commands.outcomes import periodic_outcome_scan
from pipeline.commands.worker import EXIT_PERMANENT, StopSignal
from pipeline.errors import UserError
from pipeline.log.clock import now_ms
from pipeline.runtime.stages import STAGES
from pipeline.workspace import Workspace

logger = logging.getLogger(__name__)

# A worker that ends at once is restarted after a tenth of a second, then ever later; one that ran
# for a minute is restarted after the first wait again.
_FIRST_WAIT_S, _MAX_WAIT_S, _HEALTHY_S = 0.1, 10.0, 60.0
# A worker ends after its in-flight batch, which takes seconds; a minute is what Kubernetes and
# systemd can grant.
_GRACE_S = 60.0
_WATCH_S = 0.05
# How often a run until idle asks for the lags. It stops after two answers without lag: then nothing
# is on its way between two stages.
_IDLE_S = 0.5


@dataclass
class _WorkerProcess:
    """One worker that is restarted whenever it ends."""

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
        logger.info("Started a worker of %s as process %d", self.stage, self.process.pid)

    def schedule_restart(self, code: int) -> None:
        lifetime = time.monotonic() - self.started
        self.deaths += 1
        self.wait = _FIRST_WAIT_S if lifetime > _HEALTHY_S else min(self.wait * 2, _MAX_WAIT_S)
        self.due = time.monotonic() + self.wait
        self.process = None
        logger.warning(
            "A worker of %s ended %s after %.0f s; restarting it in %.1f s",
            self.stage,
            f"by signal {-code}" if code < 0 else f"with exit code {code}",
            lifetime,
            self.wait,
        )


def supervise(
    workspace: Workspace, counts: Mapping[str, int], until: Callable[[], bool] | None = None
) -> bool:
    """Keep workers running, so many of each stage, until stopped or until `until` is true.

    Returns False if a worker failed permanently. Without `until`, the supervisor of `resolve` also
    scans for outcomes. Raises UserError for a stage that does not exist.
    """
    if unknown := sorted(set(counts) - set(STAGES)):
        raise UserError(
            f"there is no stage {', '.join(unknown)}; the stages are {', '.join(STAGES)}"
        )
    stop = StopSignal()
    # By the supervisor in a thread, so that a restarted worker does not first list a bucket.
    threading.Thread(target=workspace.expire_bodies, name="expire", daemon=True).start()
    workers = [
        _WorkerProcess(stage, _command(workspace, stage))
        for stage, count in counts.items()
        for _ in range(count)
    ]
    good = True
    scans = "resolve" in counts and until is None
    with periodic_outcome_scan(workspace) if scans else nullcontext():
        try:
            while good and not stop() and not (until and until()):
                good = all(_keep_running(worker) for worker in workers)
                if all(worker.process is None and worker.due == 0 for worker in workers):
                    break
                stop.asked.wait(_WATCH_S)
        finally:
            _stop_all(workers)
    return good


def _keep_running(worker: _WorkerProcess) -> bool:
    """Start a worker that should run and does not; return False if it failed permanently."""
    if worker.process is None:
        if time.monotonic() >= worker.due:
            worker.start()
        return True
    code = worker.process.poll()
    if code is None:
        return True
    if code == EXIT_PERMANENT:
        return False
    worker.schedule_restart(code)
    return True


def _command(workspace: Workspace, stage: str) -> list[str]:
    words = [sys.executable, "-m", "pipeline", "--data-dir", str(workspace.root)]
    if logging.getLogger().isEnabledFor(logging.INFO):
        words.append("--verbose")
    return [*words, "worker", stage, "--child"]


def _stop_all(workers: list[_WorkerProcess]) -> None:
    running = [
        worker.process
        for worker in workers
        if worker.process is not None and worker.process.poll() is None
    ]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _GRACE_S
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            logger.warning(
                "Process %d did not end within %.0f s; killing it, its batch will be processed"
                " again",
                process.pid,
                _GRACE_S,
            )
            process.kill()
            process.wait()


def supervise_all(workspace: Workspace, *, until_idle: bool) -> bool:
    """Keep one worker of every stage running until stopped or, if asked, until all are idle."""
    if not until_idle:
        return supervise(workspace, dict.fromkeys(STAGES, 1))
    idle = _IdleCheck(workspace)
    try:
        return supervise(workspace, dict.fromkeys(STAGES, 1), idle)
    finally:
        idle.close()


class _IdleCheck:
    """Whether every stage has caught up; asks Kafka now and then."""

    def __init__(self, workspace: Workspace) -> None:
        self._opened = workspace.open_log()
        self._log = self._opened.__enter__()
        self._due = 0.0
        self._idle_checks = 0

    def __call__(self) -> bool:
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _IDLE_S
        behind = any(lag.records for lag in lags(self._log, now_ms()))
        self._idle_checks = 0 if behind else self._idle_checks + 1
        return self._idle_checks > 1

    def close(self) -> None:
        self._opened.__exit__(None, None, None)

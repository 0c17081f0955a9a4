"""Keeps workers running as `switchboard worker` would, and knows the process of each.

So each can be killed by its own id.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.stack import die_with_parent

# A worker that died is started again after this long, as after a supervisor's first back-off.
_RESTART_S = 0.2
_GRACE_S = 60.0


@dataclass
class Worker:
    """One worker that is restarted until it is removed."""

    stage: str
    process: subprocess.Popen[bytes]
    deaths: list[str] = field(default_factory=list)
    removed: bool = False


class ChaosSupervisor:
    """Starts, restarts, adds and removes workers; a thread restarts those that died."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._orders = folder / "orders"
        self._orders.mkdir(parents=True)
        self._environment = environment
        self._log = open(folder / "workers.log", "ab")  # noqa: SIM115  # for as long as workers run
        self._lock = threading.Lock()
        self.workers: list[Worker] = []
        self.deaths = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._restart_dead_workers, daemon=True)
        self._thread.start()

    def add(self, stage: str) -> Worker:
        """Start one more worker of a stage."""
        with self._lock:
            worker = Worker(stage, self._spawn(stage))
            self.workers.append(worker)
        return worker

    def of(self, stage: str) -> list[Worker]:
        """Return the workers of a stage that are not removed."""
        return [worker for worker in self.workers if worker.stage == stage and not worker.removed]

    def remove(self, worker: Worker) -> None:
        """Stop a worker in order; it is not started again."""
        worker.removed = True
        worker.process.terminate()

    def kill(self, worker: Worker) -> None:
        """kill -9."""
        worker.process.kill()

    def order(self, worker: Worker, moment: str) -> None:
        """Order a worker to die at a moment: `transaction` or `insert`."""
        (self._orders / str(worker.process.pid)).write_text(moment)

    def _spawn(self, stage: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.worker", stage, str(self._orders)],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # it calls prctl and nothing else
        )

    def _restart_dead_workers(self) -> None:
        while not self._closed.wait(_RESTART_S):
            with self._lock:
                for worker in self.workers:
                    code = worker.process.poll()
                    if code is None or worker.removed:
                        continue
                    self.deaths += 1
                    worker.deaths.append(str(code))
                    worker.process = self._spawn(worker.stage)

    def close(self) -> None:
        """Stop all workers in order."""
        self._closed.set()
        self._thread.join()
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for worker in self.workers:
            try:
                worker.process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._log.close()

"""`worker`: one worker process of a stage on Kafka, as its supervisor starts it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import UserError
from pipeline.runtime.kafka.broker import BrokerUnavailableError
from pipeline.runtime.kafka.kafka_host import HostFailedError
from pipeline.sinks.warehouse import WarehouseBusyError
from pipeline.workspace import Workspace

# sysexits.h, EX_CONFIG: only a person can repair this, so a restart is useless. The supervisor
# restarts a worker that ends with any other code.
EXIT_PERMANENT = 78
# sysexits.h, EX_TEMPFAIL: the worker lost its connections; a new process may succeed.
EXIT_TEMPORARY = 75


class WorkerError(UserError):
    """A worker cannot continue; `exit_code` tells the supervisor whether to restart it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StopSignal:
    """Whether SIGTERM or SIGINT asked this process to stop, or its parent process ended."""

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
def worker_errors(stage: str) -> Iterator[None]:
    """Raise WorkerError, with the exit code for the supervisor, instead of other user errors."""
    try:
        yield
    except (HostFailedError, BrokerUnavailableError, WarehouseBusyError) as error:
        raise WorkerError(f"{stage}: {error}", EXIT_TEMPORARY) from error
    except UserError as error:
        raise WorkerError(f"{stage}: {error}", EXIT_PERMANENT) from error


def run_worker(workspace: Workspace, stage: str) -> None:
    """Run one worker of a stage until it is stopped; raises WorkerError if it cannot continue."""
    if stage == "live":
        _run_live(workspace)
        return
    from pipeline.commands.host_factory import kafka_host

    stop = StopSignal(with_parent=True)
    with worker_errors(stage), kafka_host(workspace, stage) as host:
        host.run(stop)


def _run_live(workspace: Workspace) -> None:
    """Run one worker of live until it is stopped; Faust handles signals and ends the process."""
    from faust import Worker

    from pipeline.commands.host_factory import live_host

    with worker_errors("live"), live_host(workspace) as live:
        live.supervisor_pid = os.getppid()
        worker = Worker(
            live.app, override_logging=False, redirect_stdouts=False, quiet=True, daemon=True
        )
        worker.execute_from_commandline()

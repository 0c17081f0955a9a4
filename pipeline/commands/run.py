"""`run`: all stages in this process on the embedded engine, until idle or stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from types import FrameType

from pipeline.commands.host_factory import embedded_host
from pipeline.commands.outcomes import periodic_outcome_scan
from pipeline.runtime.gc_control import gc_between_batches
from pipeline.workspace import Workspace

# How often an idle run looks for new records: soon enough for a person who waits, and almost no
# load.
_IDLE_WAIT_S = 0.2


def run_embedded(
    workspace: Workspace,
    *,
    until_idle: bool,
    on_progress: Callable[[Counter[str]], object] = lambda _: None,
    with_parent: bool = False,
) -> Counter[str]:
    """Run all stages; return how many records each handled, and report them after each batch.

    SIGTERM and SIGINT end the run after the in-flight batch; `with_parent`: so does the end of the
    parent process.
    """
    stop = threading.Event()
    parent = os.getppid()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {
        number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        with (
            embedded_host(workspace) as host,
            nullcontext() if until_idle else periodic_outcome_scan(workspace),
            gc_between_batches() as collect,
        ):
            host.on_commit = on_progress
            while not stop.is_set() and not (with_parent and os.getppid() != parent):
                handled = host.run_once()
                collect()
                if not handled and (until_idle or stop.wait(_IDLE_WAIT_S)):
                    break
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return host.committed

"""`run`: all stages in this process on the embedded engine, until idle or stopped."""

from __future__ import annotations

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
) -> Counter[str]:
    """Run all stages; return how many records each handled, and report them after each batch.

    SIGTERM and SIGINT end the run after the in-flight batch.
    """
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {
        number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    total: Counter[str] = Counter()
    try:
        with (
            embedded_host(workspace) as host,
            nullcontext() if until_idle else periodic_outcome_scan(workspace),
            gc_between_batches() as collect,
        ):
            while not stop.is_set():
                handled = host.run_once()
                collect()
                total += handled
                on_progress(total)
                if not handled and (until_idle or stop.wait(_IDLE_WAIT_S)):
                    break
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return total

"""The command `run`: the embedded host turns until it is idle, or until somebody stops it."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from contextlib import nullcontext
from types import FrameType

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.cli import console
from pipeline.commands.host_factory import embedded_host
from pipeline.commands.periodic_tasks import looking_back
from pipeline.runtime.gc_control import collected_between_batches
from pipeline.workspace import Workspace

# How often a caught-up run looks for new records: often enough for a person who watches, and next
# to no load.
_IDLE_WAIT_S = 0.2


def run_host(workspace: Workspace, *, until_idle: bool, as_json: bool = False) -> Counter[str]:
    """Turn the host and print what each stage handled; SIGTERM and SIGINT end it after the batch in
    hand.
    """
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {
        number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    total: Counter[str] = Counter()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with (
            embedded_host(workspace) as host,
            nullcontext() if until_idle else looking_back(workspace),
            Progress(*columns, console=console.err, transient=True) as bar,
            collected_between_batches() as collect,
        ):
            task = bar.add_task("starting")
            while not stop.is_set():
                handled = host.turn()
                collect()
                total += handled
                bar.update(task, description=_words(total))
                if not handled and (until_idle or stop.wait(_IDLE_WAIT_S)):
                    break
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if as_json:
        console.json(total)
    else:
        console.note(_words(total))
    return total


def _words(total: Counter[str]) -> str:
    return ", ".join(f"{stage} {count:,}" for stage, count in total.items()) or "nothing to do"

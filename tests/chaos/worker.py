"""A worker of one stage as in production that can be ordered to die at the worst moment.

`python -m tests.chaos.worker STAGE ORDERS …`

DeathOrders come as a file named after the process in a folder: `transaction` dies inside the next
transaction, its messages sent and not committed; `insert` dies while rows are on their way to
ClickHouse. A text with `FATAL_TEXT` ends the process whenever it is handled.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.host_factory import kafka_host
from pipeline.commands.worker import StopSignal, WorkerError, worker_errors
from pipeline.log.port import LogRecord
from pipeline.runtime.kafka import kafka_host as host_module
from pipeline.runtime.runner import Handler, LoadHandler
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.support.faults import around

FATAL_TEXT = b"KILLS ITS PROCESS"
# Long enough to be anywhere inside an insert of some thousand rows.
_WITHIN_S = 0.05
# The environment variable with a factor for all of these delays.
DRAG = "CHAOS_DRAG"
# Seconds a record: a burst of some hundred keeps every stage busy for some seconds.
_DRAG_S = {"enrich": 0.008, "converse": 0.005, "load": 0.002, "resolve": 0.0}


def die() -> None:
    """End as kill -9 ends a process: nothing is flushed or logged."""
    os.kill(os.getpid(), signal.SIGKILL)


class DeathOrders:
    """The moment at which this process was ordered to die."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / str(os.getpid())

    def has(self, moment: str) -> bool:
        """Return whether the order is to die at this moment."""
        return self._file.exists() and self._file.read_text() == moment


def die_inside_transactions(orders: DeathOrders) -> None:
    """Die inside a transaction when ordered to: its messages are sent and not committed."""
    produce = host_module.produce

    def sent(producer: Any, messages: Sequence[Any], on_delivery: Any = None) -> None:
        produce(producer, messages, on_delivery)
        if orders.has("transaction"):
            producer.flush()
            die()

    host_module.produce = sent


class FatalWarehouse:
    """The warehouse of load, which ends the process inside an insert when ordered to."""

    def __init__(self, inner: Any, orders: DeathOrders) -> None:
        self._inner = inner
        self._orders = orders

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def insert_all(self, blocks: Iterable[Mapping[str, Any]]) -> None:
        """Insert; see `Warehouse.insert_all`."""
        if self._orders.has("insert"):
            threading.Thread(target=_die_soon, daemon=True).start()
        self._inner.insert_all(blocks)


def _die_soon() -> None:
    time.sleep(random.uniform(0, _WITHIN_S))
    die()


def die_of_fatal_text(records: Sequence[LogRecord]) -> None:
    """Die of a record's text, as by a fault in a C library."""
    if any(FATAL_TEXT in record.value for record in records):
        die()


def main(stage: str, orders_folder: str) -> None:
    """Run one worker until it is asked to stop, or dies."""
    logging.basicConfig(
        level=logging.WARNING, format=f"%(asctime)s {stage} {os.getpid()} %(levelname)s %(message)s"
    )
    orders = DeathOrders(Path(orders_folder))
    die_inside_transactions(orders)
    seconds = _DRAG_S[stage] * float(os.environ.get(DRAG, "1"))

    def drag(records: Sequence[LogRecord]) -> None:
        # Not to wait for anything: the stage is as slow as a busy one, so that faults meet batches
        # in flight on an idle machine.
        time.sleep(len(records) * seconds)

    def wrap(handler: Handler) -> Handler:
        if isinstance(handler, LoadHandler):
            handler.warehouse = FatalWarehouse(handler.warehouse, orders)
        return around("enrich", before=die_of_fatal_text)(around(stage, before=drag)(handler))

    stop = StopSignal(with_parent=True)
    try:
        with worker_errors(stage), kafka_host(Workspace(load_settings()), stage, wrap) as host:
            host.run(stop)
    except WorkerError as error:
        logging.error("%s", error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

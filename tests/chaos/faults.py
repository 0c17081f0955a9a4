"""How each fault is injected into processes that this experiment started."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.progress import FaultClock, Progress
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.kafka_server import KafkaServer
from tests.support.tcp_gate import TcpGate

if TYPE_CHECKING:
    from tests.chaos.feeding import Feeder
    from tests.chaos.supervisor import ChaosSupervisor

# A stalled connection is cut by the client's own time-outs, or after this long by the gate.
_STALL_S = 8.0
# An order that no batch carries out for so long met a stage without work: its worker is killed.
_ORDER_S = 20.0


@dataclass
class Targets:
    """Everything that faults strike."""

    kafka: KafkaServer
    clickhouse: ClickHouseServer
    gate: TcpGate
    supervisor: ChaosSupervisor | None = None
    feeder: Feeder | None = None


def strike(what: str, targets: Targets, progress: Progress) -> FaultClock:
    """Inject a fault and return its running clock."""
    supervisor = targets.supervisor
    assert supervisor is not None
    words = what.split()
    if what == "kill the broker":
        targets.kafka.kill()
        clock = progress.watch(what)
        targets.kafka.start()
        return clock
    if what == "kill ClickHouse":
        targets.clickhouse.kill()
        clock = progress.watch(what)
        targets.clickhouse.start()
        return clock
    if what == "kill the feeder":
        assert targets.feeder is not None
        targets.feeder.kill()
    elif what == "kill all workers":
        for worker in supervisor.workers:
            if not worker.removed:
                supervisor.kill(worker)
    elif words[0] == "drop":
        targets.gate.drop_after(random.Random(progress.done()).randrange(1, 200_000))
    elif words[0] == "stall":
        targets.gate.stall()
        timer = threading.Timer(_STALL_S, targets.gate.resume)
        timer.daemon = True
        timer.start()
    elif words[0] == "add":
        supervisor.add(words[1])
    elif words[0] == "remove":
        supervisor.remove(supervisor.of(words[1])[-1])
    else:
        _kill(what, words[1], targets)
    return progress.watch(what)


def _kill(what: str, stage: str, targets: Targets) -> None:
    assert targets.supervisor is not None
    worker = targets.supervisor.of(stage)[0]
    if "inside" not in what:
        targets.supervisor.kill(worker)
        return
    process = worker.process
    targets.supervisor.order(worker, what.rsplit(maxsplit=1)[-1])
    try:
        process.wait(_ORDER_S)
    except Exception:
        process.kill()

"""How each fault is done, to processes that this experiment started."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.progress import Progress, Watched
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.kafka_server import KafkaServer
from tests.support.tcp_gate import TcpGate

if TYPE_CHECKING:
    from tests.chaos.feeding import Feeder
    from tests.chaos.keeper import Keeper

# A connection that swallows everything is cut by the client's own time-outs, or after this long by
# the gate.
_STALL_S = 8.0
# An order that no batch carries out for so long has found its stage without work: the worker is
# killed as it is.
_ORDER_S = 20.0


@dataclass
class Cast:
    """Everybody that faults strike."""

    kafka: KafkaServer
    clickhouse: ClickHouseServer
    gate: TcpGate
    keeper: Keeper | None = None
    feeder: Feeder | None = None


def strike(what: str, cast: Cast, progress: Progress) -> Watched:
    """Do a fault and return its open clock."""
    keeper = cast.keeper
    assert keeper is not None
    words = what.split()
    if what == "kill the broker":
        cast.kafka.kill()
        watched = progress.watch(what)
        cast.kafka.start()
        return watched
    if what == "kill ClickHouse":
        cast.clickhouse.kill()
        watched = progress.watch(what)
        cast.clickhouse.start()
        return watched
    if what == "kill the feeder":
        assert cast.feeder is not None
        cast.feeder.kill()
    elif what == "kill all workers":
        for worker in keeper.workers:
            if not worker.removed:
                keeper.kill(worker)
    elif words[0] == "drop":
        cast.gate.drop_after(random.Random(progress.done()).randrange(1, 200_000))
    elif words[0] == "stall":
        cast.gate.stall()
        timer = threading.Timer(_STALL_S, cast.gate.resume)
        timer.daemon = True
        timer.start()
    elif words[0] == "add":
        keeper.add(words[1])
    elif words[0] == "remove":
        keeper.remove(keeper.of(words[1])[-1])
    else:
        _kill(what, words[1], cast)
    return progress.watch(what)


def _kill(what: str, stage: str, cast: Cast) -> None:
    assert cast.keeper is not None
    worker = cast.keeper.of(stage)[0]
    if "inside" not in what:
        cast.keeper.kill(worker)
        return
    process = worker.process
    cast.keeper.order(worker, what.rsplit(maxsplit=1)[-1])
    try:
        process.wait(_ORDER_S)
    except Exception:
        process.kill()

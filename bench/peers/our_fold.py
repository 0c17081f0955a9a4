"""The stateful job on our Kafka host: a `Fold` with states in a compacted topic."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import orjson

from bench.peers.common import BATCH
from bench.peers.folding import FoldJob, fold_job
from pipeline.log.claim_check import FolderBodyStore
from pipeline.log.port import LogRecord
from pipeline.outcomes import Context, Emit, Outcome, Output
from pipeline.runtime.crash_quarantine import CrashMarkers
from pipeline.runtime.fold_handler import FoldHandler
from pipeline.runtime.kafka.broker import Broker
from pipeline.runtime.kafka.kafka_host import BatchLimits, KafkaHost
from pipeline.runtime.kafka.state_cache import StateCache
from schemas.types import Contract

_MAX_BYTES, _LINGER_S = 32 * 1024 * 1024, 0.2
# A key and a number.
Item = tuple[str, int]


class KeyState(Contract):
    """The state of a key, and the output of each of its inputs."""

    count: int
    items: list[int]


class CountFold:
    """A fold that counts and lists the numbers of a key."""

    name = "count"

    def __init__(self, target: str) -> None:
        self._target = target

    def empty(self) -> KeyState:
        """See `Fold`."""
        return KeyState(count=0, items=[])

    def load(self, raw: bytes) -> KeyState:
        """See `Fold`."""
        return KeyState.model_validate_json(raw)

    def dump(self, state: KeyState) -> bytes:
        """See `Fold`."""
        return state.model_dump_json().encode()

    def __call__(
        self, state: KeyState, batch: Sequence[Item], ctx: Context
    ) -> tuple[KeyState, Sequence[Outcome[Contract]]]:
        """See `Fold`."""
        outcomes: list[Outcome[Contract]] = []
        for key, number in batch:
            state = KeyState(count=state.count + 1, items=[*state.items, number])
            outcomes.append(Emit((Output(state, self._target, key),)))
        return state, outcomes


def _decode(record: LogRecord) -> Item:
    return (record.key or b"").decode(), orjson.loads(record.value)["number"]


def run(job: FoldJob) -> None:
    """Run the host until the process is killed."""
    broker = Broker(job.broker)
    states = StateCache(broker, {job.source: job.states}, job.folder / "states")
    handler = FoldHandler(
        "count", (job.source,), _decode, CountFold(job.target), {job.source: job.states}, states
    )
    KafkaHost(
        broker=broker,
        handler=handler,
        group=job.group,
        transactional_id=f"{job.group}-{job.slot}",
        bodies=FolderBodyStore(job.folder / "bodies"),
        limits=BatchLimits(BATCH, _MAX_BYTES, _LINGER_S),
        markers=CrashMarkers(job.folder / "in-flight"),
        states=states,
    ).run(lambda: False)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run(fold_job())

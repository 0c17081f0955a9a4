"""A stateful job on two workers under kill -9: exactly-once outputs, and seconds to recover.

`python -m bench.peers.fold_chaos [--systems quix,ours] [--records 30000] [--rate 600] [--kills 4]
[--seed 1]`

First the rate: two idle workers get all records at once, without kills. Then the chaos: records
come at a steady rate, workers are killed (which and when depends on the seed) and restarted after a
second with their folder. All outputs are read as they are committed; at the end the outputs and the
last states in the state topic are compared with the expected ones. Recovery is the time from a kill
until every partition has new committed outputs.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.peers.common import CONSUMER, PRODUCER
from bench.peers.environments import ROOT, PeerUnavailableError, python_of
from bench.peers.folding import Differences, Outputs, compare, expected_outputs, key_of
from tests.support.kafka_server import KafkaServer

_PARTITIONS, _WORKERS = 6, 2
_TEXT = "x" * 300
# A supervisor restarts a dead process after about this time.
_RESTART_S = 1.0
# Outputs committed just before a kill arrive within this time; only later ones prove progress.
_LATE_S = 0.5
# Several times what either system needs to recover: outputs missing for this long are lost.
_STUCK_S = 60.0
# Inputs before the measurement, so that groups are formed and files are open.
_WARM_UP = 1_000
# A syslog level: librdkafka logs critical errors, not that the bench stopped the broker.
_QUIET_LOG = 2
# Duplicate outputs come soon after the first ones.
_QUIET_S = 3.0


@dataclass(frozen=True)
class System:
    """How to run a system, and its state topic."""

    module: str
    peer: str
    states: str


SYSTEMS = {
    "quix": System("bench.peers.quix_fold", "quix", "changelog__{group}--{source}--default"),
    "ours": System("bench.peers.our_fold", "ours", "{group}-states"),
}


@dataclass
class Run:
    """One run of a system over its own topics."""

    system: System
    broker: str
    name: str
    folder: Path
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    arrivals: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    outputs: Outputs = field(default_factory=lambda: defaultdict(list))
    count: int = 0

    def __post_init__(self) -> None:
        """Create the topics and the clients."""
        self.source, self.target = f"{self.name}-in", f"{self.name}-out"
        self.states = self.system.states.format(group=self.name, source=self.source)
        topics = [NewTopic(topic, _PARTITIONS, 1) for topic in (self.source, self.target)]
        topics.append(NewTopic(self.states, _PARTITIONS, 1, config={"cleanup.policy": "compact"}))
        admin = AdminClient(self._client())
        for future in admin.create_topics(topics).values():
            future.result(30)
        self._producer = Producer(
            {**PRODUCER, **self._client(), "transactional.id": f"{self.name}-feed"}
        )
        self._producer.init_transactions()
        self._reader = self._consumer(self.target)

    def _client(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.broker, "log_level": _QUIET_LOG}

    def _consumer(self, topic: str) -> Consumer:
        own = {
            "group.id": f"{self.name}-check",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
        consumer = Consumer({**CONSUMER, **self._client(), **own})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(_PARTITIONS)])
        return consumer

    def feed(self, numbers: range) -> None:
        """Append inputs in one transaction and return when it is committed."""
        if not numbers:
            return
        self._producer.begin_transaction()
        for number in numbers:
            body = orjson.dumps({"number": number, "text": _TEXT})
            self._producer.produce(self.source, body, key_of(number).encode())
        self._producer.commit_transaction()

    def start(self, slot: int) -> None:
        """Start a worker with the folder of its slot."""
        folder = self.folder / str(slot)
        folder.mkdir(parents=True, exist_ok=True)
        words = {
            "broker": self.broker,
            "source": self.source,
            "target": self.target,
            "states": self.states,
            "group": self.name,
            "slot": str(slot),
            "folder": str(folder),
        }
        command = [str(python_of(self.system.peer)), "-m", self.system.module]
        command += [word for key, value in words.items() for word in (f"--{key}", value)]
        with (folder / "log").open("ab") as log:
            self.workers[slot] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def kill(self, slot: int) -> None:
        """Kill a worker with -9."""
        self.workers[slot].kill()
        self.workers[slot].wait()

    def read(self, seconds: float) -> None:
        """Read newly committed outputs."""
        messages: list[Any] = self._reader.consume(1_000, seconds)
        for message in messages:
            if message.error() is None:
                body = orjson.loads(message.value())
                self.outputs[message.key().decode()].append((body["count"], body["items"]))
                self.arrivals[message.partition()].append(time.time())
                self.count += 1

    def last_states(self) -> dict[str, tuple[int, list[int]]]:
        """Return the last state of each key in the state topic."""
        last: dict[bytes, bytes | None] = {}
        consumer = self._consumer(self.states)
        ended = 0
        while ended < _PARTITIONS:
            messages: list[Any] = consumer.consume(1_000, 1.0)
            for message in messages:
                if message.error() is None:
                    last[message.key()] = message.value()
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended += 1
        consumer.close()
        bodies = [
            body
            for body in (orjson.loads(value) for value in last.values() if value)
            if _is_state(body)
        ]
        return {key_of(body["items"][0]): (body["count"], body["items"]) for body in bodies}

    def close(self) -> None:
        """Kill the workers and close the clients."""
        for slot in self.workers:
            self.kill(slot)
        self._reader.close()


def _is_state(body: Any) -> bool:
    return isinstance(body, dict) and body.get("items") is not None


def rate(run: Run, records: int) -> float:
    """Return the records a second of two idle workers, up to the last committed output."""
    _warm_up(run)
    run.feed(range(_WARM_UP, records))
    started = time.time()
    _until(run, records)
    return (records - _WARM_UP) / (max(max(moments) for moments in run.arrivals.values()) - started)


def _warm_up(run: Run) -> None:
    """Start the workers and return when both have partitions and wrote outputs."""
    for slot in range(_WORKERS):
        run.start(slot)
    for part in range(2):
        run.feed(range(part * _WARM_UP // 2, (part + 1) * _WARM_UP // 2))
        _until(run, (part + 1) * _WARM_UP // 2)
        _drain(run)


def _drain(run: Run) -> None:
    """Read outputs for a while."""
    until = time.time() + _QUIET_S
    while time.time() < until:
        run.read(0.1)


def chaos(
    run: Run, records: int, per_second: float, kills: int, seed: int
) -> tuple[Differences, list[float]]:
    """Return the differences and the seconds to recover from each kill."""
    random_ = random.Random(seed)
    span = records / per_second
    # Kills happen after the workers have their partitions and before the records end.
    schedule = [span * (at + random_.uniform(0.2, 0.6)) / (kills + 0.5) for at in range(kills)]
    _warm_up(run)
    started, fed, killed, dead = time.time(), _WARM_UP, list[float](), dict[int, float]()
    while fed < records:
        now = time.time()
        due = min(records, _WARM_UP + int((now - started) * per_second))
        run.feed(range(fed, due))
        fed = due
        if len(killed) < kills and now - started > schedule[len(killed)] and not dead:
            victim = random_.randrange(_WORKERS)
            run.kill(victim)
            killed.append(time.time())
            dead[victim] = killed[-1] + _RESTART_S
        for slot in [slot for slot, at in dead.items() if now > at]:
            run.start(slot)
            del dead[slot]
        run.read(0.02)
    _until(run, records)
    _drain(run)
    return compare(expected_outputs(range(records)), run.outputs, run.last_states()), [
        _recovery(run, at) for at in killed
    ]


def _recovery(run: Run, killed: float) -> float:
    """Return the seconds from a kill to new outputs in all partitions; infinite if one has none."""
    firsts = [
        min((at for at in run.arrivals[partition] if at > killed + _LATE_S), default=float("inf"))
        for partition in range(_PARTITIONS)
    ]
    return max(firsts) - killed


def _until(run: Run, count: int) -> None:
    """Read until `count` outputs are there, or none has come for a long time."""
    previous, changed = run.count, time.time()
    while run.count < count:
        run.read(0.1)
        if run.count != previous:
            previous, changed = run.count, time.time()
        if time.time() - changed > _STUCK_S:
            logs = "\n".join(
                (run.folder / str(slot) / "log").read_text()[-1200:] for slot in run.workers
            )
            print(
                f"{run.name}: {run.count} of {count} outputs and no more for {_STUCK_S:.0f}"
                f" s:\n{logs}",
                file=sys.stderr,
            )
            return


def main() -> int:
    """Run the selected systems; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument(
        "--rate", type=float, default=600.0, help="inputs a second while workers are killed"
    )
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = False
    print(
        "| system | records/s, 2 workers | missing | surplus | wrong keys | wrong states | seconds"
        " to recover |"
    )
    print("|" + "---|" * 7, flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-fold-") as folder,
        KafkaServer(Path(folder) / "kafka") as server,
    ):
        for name in options.systems.split(","):
            try:
                python_of(SYSTEMS[name].peer)
            except PeerUnavailableError as error:
                print(error, file=sys.stderr)
                continue
            first = Run(SYSTEMS[name], server.broker, f"{name}-rate", Path(folder) / f"{name}-rate")
            speed = rate(first, options.records)
            first.close()
            second = Run(
                SYSTEMS[name], server.broker, f"{name}-chaos", Path(folder) / f"{name}-chaos"
            )
            differences, recoveries = chaos(
                second, options.records, options.rate, options.kills, options.seed
            )
            second.close()
            failed |= not differences.clean
            print(
                f"| {name} | {speed:,.0f} | {differences.missing} | {differences.surplus} |"
                f" {differences.wrong_keys} | {differences.wrong_states} |"
                f" {', '.join(f'{seconds:.1f}' for seconds in recoveries)} |",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

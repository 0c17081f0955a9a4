"""A stateful job on two workers, killed with -9 four times: is everything there, once, and how long
until all flows again?

`python -m bench.peers.fold_chaos [--systems quix,ours] [--records 30000] [--rate 600] [--kills 4]
[--seed 1]`

First the rate: two workers that wait, all records at once, no kills. Then the chaos: records flow
at a steady rate, one worker after another is killed (which and when by the seed) and started again
after a second, with its folder. All outputs are read as they are committed; at the end outputs and
the last states in the state topic are compared with the truth. Recovery is the time from a kill
until every partition has put out something newly committed.
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
from bench.peers.environments import ROOT, PeerMissing, python_of
from bench.peers.folding import Truth, Verdict, judge, key_of, truth
from tests.support.kafka_server import KafkaServer

_PARTITIONS, _WORKERS = 6, 2
_TEXT = "x" * 300
# An operator's supervisor starts a dead process again about that soon.
_RESTART_S = 1.0
# What was committed just before a kill arrives within this long; only what comes later shows that
# work goes on.
_LATE_S = 0.5
# Several times what either needs to recover: whoever puts out nothing for so long has lost what is
# missing.
_STUCK_S = 60.0
# Inputs before the clock runs, so that groups are formed and files are open.
_WARM_UP = 1_000
# Of syslog: librdkafka is to say what is critical, and not that the broker went away when the bench
# ended it.
_QUIET_LOG = 2
# Outputs that come twice come soon after.
_QUIET_S = 3.0


@dataclass(frozen=True)
class System:
    """How to run one of the systems, and where its states lie."""

    module: str
    peer: str
    states: str


SYSTEMS = {
    "quix": System("bench.peers.quix_fold", "quix", "changelog__{group}--{source}--default"),
    "ours": System("bench.peers.our_fold", "ours", "{group}-states"),
}


@dataclass
class Run:
    """One run of a system over topics of its own."""

    system: System
    broker: str
    name: str
    folder: Path
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    arrivals: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    outputs: Truth = field(default_factory=lambda: defaultdict(list))
    count: int = 0

    def __post_init__(self) -> None:
        """Make the topics and the clients."""
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
        """Append inputs, in order, all to be seen at once, and return when they are."""
        if not numbers:
            return
        self._producer.begin_transaction()
        for number in numbers:
            body = orjson.dumps({"number": number, "text": _TEXT})
            self._producer.produce(self.source, body, key_of(number).encode())
        self._producer.commit_transaction()

    def start(self, slot: int) -> None:
        """Start a worker, in the folder it had before."""
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
        """Take in the outputs that are committed by now."""
        messages: list[Any] = self._reader.consume(1_000, seconds)
        for message in messages:
            if message.error() is None:
                body = orjson.loads(message.value())
                self.outputs[message.key().decode()].append((body["count"], body["items"]))
                self.arrivals[message.partition()].append(time.time())
                self.count += 1

    def last_states(self) -> dict[str, tuple[int, list[int]]]:
        """Return what the state topic says last of each key: the key is that of the state's own
        numbers.
        """
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
        """End the workers at once; everything they did is judged before."""
        for slot in self.workers:
            self.kill(slot)
        self._reader.close()


def _is_state(body: Any) -> bool:
    return isinstance(body, dict) and body.get("items") is not None


def rate(run: Run, records: int) -> float:
    """Return records a second of two workers that wait for work, from the moment they can see it to
    the last committed output.
    """
    _warmed_up(run)
    run.feed(range(_WARM_UP, records))
    begun = time.time()
    _until(run, records)
    return (records - _WARM_UP) / (max(max(moments) for moments in run.arrivals.values()) - begun)


def _warmed_up(run: Run) -> None:
    """Start the workers and return when they have shared the partitions and put something out."""
    for slot in range(_WORKERS):
        run.start(slot)
    for part in range(2):
        run.feed(range(part * _WARM_UP // 2, (part + 1) * _WARM_UP // 2))
        _until(run, (part + 1) * _WARM_UP // 2)
        _rest(run)


def _rest(run: Run) -> None:
    """Read for a while whatever comes."""
    until = time.time() + _QUIET_S
    while time.time() < until:
        run.read(0.1)


def chaos(
    run: Run, records: int, per_second: float, kills: int, seed: int
) -> tuple[Verdict, list[float]]:
    """Return the verdict and the seconds that each kill took to recover from."""
    random_ = random.Random(seed)
    span = records / per_second
    # None before the workers have their partitions, none so late that nothing flows any more.
    schedule = [span * (at + random_.uniform(0.2, 0.6)) / (kills + 0.5) for at in range(kills)]
    _warmed_up(run)
    begun, fed, killed, dead = time.time(), _WARM_UP, list[float](), dict[int, float]()
    while fed < records:
        now = time.time()
        due = min(records, _WARM_UP + int((now - begun) * per_second))
        run.feed(range(fed, due))
        fed = due
        if len(killed) < kills and now - begun > schedule[len(killed)] and not dead:
            victim = random_.randrange(_WORKERS)
            run.kill(victim)
            killed.append(time.time())
            dead[victim] = killed[-1] + _RESTART_S
        for slot in [slot for slot, at in dead.items() if now > at]:
            run.start(slot)
            del dead[slot]
        run.read(0.02)
    _until(run, records)
    _rest(run)
    return judge(truth(range(records)), run.outputs, run.last_states()), [
        _recovery(run, at) for at in killed
    ]


def _recovery(run: Run, killed: float) -> float:
    """Return how long after a kill the last partition had something newly committed; endless where
    one never had.
    """
    firsts = [
        min((at for at in run.arrivals[partition] if at > killed + _LATE_S), default=float("inf"))
        for partition in range(_PARTITIONS)
    ]
    return max(firsts) - killed


def _until(run: Run, count: int) -> None:
    """Read until so many outputs are there or none has come for long."""
    seen, changed = run.count, time.time()
    while run.count < count:
        run.read(0.1)
        if run.count != seen:
            seen, changed = run.count, time.time()
        if time.time() - changed > _STUCK_S:
            logs = "\n".join(
                (run.folder / str(slot) / "log").read_text()[-1200:] for slot in run.workers
            )
            print(
                f"{run.name}: {run.count} of {count} outputs and no more for {_STUCK_S:.0f}"
                f" s\n{logs}",
                file=sys.stderr,
            )
            return


def main() -> int:
    """Run what the command line asks for; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument(
        "--rate", type=float, default=600.0, help="inputs a second while workers are killed"
    )
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    unclean = False
    print(
        "| system | records/s, 2 workers | missing | surplus | wrong keys | wrong states | seconds"
        " to recover |"
    )
    print("|" + "---|" * 7, flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-fold-") as folder,
        KafkaServer(Path(folder) / "kafka") as server,
    ):
        for name in given.systems.split(","):
            try:
                python_of(SYSTEMS[name].peer)
            except PeerMissing as error:
                print(error, file=sys.stderr)
                continue
            first = Run(SYSTEMS[name], server.broker, f"{name}-rate", Path(folder) / f"{name}-rate")
            speed = rate(first, given.records)
            first.close()
            second = Run(
                SYSTEMS[name], server.broker, f"{name}-chaos", Path(folder) / f"{name}-chaos"
            )
            verdict, recoveries = chaos(second, given.records, given.rate, given.kills, given.seed)
            second.close()
            unclean |= not verdict.clean
            print(
                f"| {name} | {speed:,.0f} | {verdict.missing} | {verdict.surplus} |"
                f" {verdict.wrong_keys} | {verdict.wrong_states} |"
                f" {', '.join(f'{seconds:.1f}' for seconds in recoveries)} |",
                flush=True,
            )
    return 1 if unclean else 0


if __name__ == "__main__":
    raise SystemExit(main())

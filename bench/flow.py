"""The whole pipeline on real servers: latency, throughput by worker processes, replay memory.

`python bench/flow.py latency [--rate 2000] [--seconds 60]`
`python bench/flow.py scale   [--records 30000]`
`python bench/flow.py replay  [--records 5000000]`

All three run the installed `switchboard worker` on chats of at most 200 characters. Latency is the
time from produce to queryable, measured by querying ClickHouse four times a second for new records:
it is at most a quarter of a second too high, never too low.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pipeline.commands.lag import lags
from pipeline.envelope import encode_event, validate_data
from pipeline.log.clock import now_ms
from pipeline.log.port import Message
from pipeline.outcomes import Reject
from pipeline.runtime.kafka.broker import Broker, produce
from pipeline.runtime.stages import KAFKA_STAGES
from schemas.envelope import Event
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events
from tests.support.installations import SECRET, Distributed
from tests.support.kafka_server import KafkaServer

_POLL_S = 0.25
_BAR_P99_S = 2.0


def chats(count: int) -> list[Message]:
    """Return the messages of `count` different chat events, ready to produce."""
    messages: list[Message] = []
    events = (
        event
        for event in make_events(count * 3)
        if event["data"].get("channel") in ("chat", "sms", "social")
    )
    for number, fields in enumerate(islice(events, count)):
        event = Event.model_validate(fields | {"id": str(number)})
        data = validate_data(event)
        assert not isinstance(data, Reject), data
        messages.append(encode_event(event, data))
    return messages


class Stack:
    """Servers, an installation on them, and its worker processes."""

    def __init__(self, folder: Path, kafka: KafkaServer, clickhouse: ClickHouseServer) -> None:
        self._folder = folder
        self.kafka = kafka
        self.clickhouse = clickhouse
        self.installation = Distributed(folder / "data", kafka.broker, clickhouse.url)
        self._workers: list[subprocess.Popen[bytes]] = []

    def start_workers(self, stage: str, processes: int = 1) -> None:
        """Start the workers of a stage."""
        environment = os.environ | {
            "SWITCHBOARD_BROKER": self.kafka.broker,
            "SWITCHBOARD_WAREHOUSE": self.clickhouse.url,
            "SWITCHBOARD_SECRET": SECRET,
        }
        command = [
            sys.executable,
            "-m",
            "pipeline",
            "--data-dir",
            str(self._folder / "data"),
            "worker",
            stage,
        ]
        log = open(self._folder / f"{stage}.log", "ab")  # noqa: SIM115  # for as long as the worker
        self._workers.append(
            subprocess.Popen([*command, "--processes", str(processes)], env=environment, stderr=log)
        )

    def stop_workers(self) -> None:
        """Stop all workers."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.wait(90)
        self._workers = []

    def lag(self) -> dict[str, int]:
        """Return the lag of each stage in records."""
        records = dict.fromkeys(KAFKA_STAGES, 0)
        with self.installation.workspace.open_log() as log:
            for lag in lags(log, now_ms()):
                if lag.group in records:
                    records[lag.group] += lag.records
        return records

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers, without their supervisors."""
        return [
            child.pid for worker in self._workers for child in psutil.Process(worker.pid).children()
        ]


@contextmanager
def stack() -> Iterator[Stack]:
    """Start servers in a temporary folder; stop them at the end."""
    with tempfile.TemporaryDirectory(prefix="switchboard-flow-") as name:
        folder = Path(name)
        with (
            KafkaServer(folder / "kafka") as kafka,
            ClickHouseServer(folder / "clickhouse") as clickhouse,
        ):
            running = Stack(folder, kafka, clickhouse)
            try:
                yield running
            finally:
                running.stop_workers()


def memory_mib(pid: int) -> float:
    """Return a process's resident memory in MiB, 0 if it has ended."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, 0 if it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def latency(rate: int, seconds: int) -> int:
    """Print latency percentiles at a steady rate and the lag of each stage; return 1 on a miss."""
    messages = chats(rate * seconds)
    with stack() as flow:
        for stage in ("enrich", "converse", "load"):
            flow.start_workers(stage)
        producer = Broker(flow.kafka.broker).producer()
        _warm_up(flow, producer, messages[-1])
        client = flow.clickhouse.client(database="switchboard")
        sent: list[float] = []
        visible_at: dict[int, float] = {}
        began, polled = time.time(), 0.0
        while len(visible_at) < len(messages) and time.time() - began < seconds + 60:
            due = min(int((time.time() - began) * rate), len(messages))
            produce(producer, messages[len(sent) : due])
            producer.poll(0)
            sent += [time.time()] * (due - len(sent))
            if time.time() - polled >= _POLL_S:
                polled = time.time()
                visible = client.execute(
                    "SELECT toUInt32(event_id) FROM communication_rows WHERE ingested_at > now64(3)"
                    " - INTERVAL 4 SECOND"
                )
                now = time.time()
                for (number,) in visible:
                    visible_at.setdefault(number, now)
            time.sleep(0.005)
        producer.flush()
        waits = sorted(
            visible_at[number] - sent[number] for number in visible_at if number < len(sent)
        )
        lag = flow.lag()
    print(f"{len(messages)} chats at {rate}/s, {len(waits)} queryable; produce to queryable:")
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {waits[-1]:.2f} s; lag at the end: {lag}")
    good = p99 < _BAR_P99_S and len(waits) == len(messages) - 1
    print("target: p99 under 2 s: " + ("met" if good else "MISSED"))
    return 0 if good else 1


def _warm_up(flow: Stack, producer: Any, message: Message) -> None:
    """Wait until one record is queryable: every worker has started and compiled its models."""
    produce(producer, [message])
    producer.flush()
    client = flow.clickhouse.client(database="switchboard")
    while not client.execute("SELECT count() FROM communication_rows")[0][0] or any(
        flow.lag().values()
    ):
        time.sleep(0.5)


def scale(records: int) -> int:
    """Print throughput and CPU of each stage with 1, 2 and 4 worker processes."""
    messages = chats(records)
    cores = os.cpu_count() or 1
    print(f"{records} chats, {cores} cores, servers on the same machine")
    print(
        f"{'stage':>9} {'processes':>9} {'records/s':>9} {'worker CPU µs':>14}"
        f" {'cores of workers':>17}"
    )
    for processes in (1, 2, 4):
        with stack() as flow:
            producer = Broker(flow.kafka.broker).producer()
            produce(producer, messages)
            producer.flush()
            for stage in ("enrich", "converse", "load"):
                _drain(flow, stage, processes)
    return 0


def _drain(flow: Stack, stage: str, processes: int) -> None:
    before = flow.lag()[stage]
    flow.start_workers(stage, processes)
    while (left := flow.lag()[stage]) >= before:
        time.sleep(0.2)
    began, start, used = time.time(), left, {pid: cpu_s(pid) for pid in flow.worker_pids()}
    while left := flow.lag()[stage]:
        time.sleep(0.2)
    duration = time.time() - began
    cpu = sum(cpu_s(pid) - at for pid, at in used.items())
    flow.stop_workers()
    rate = start / duration
    print(
        f"{stage:>9} {processes:>9} {rate:9.0f} {cpu / start * 1e6:14.0f} {cpu / duration:17.2f}",
        flush=True,
    )


def replay(records: int) -> int:
    """Print rate and memory of two enrich workers over a long backlog; return 1 on drift."""
    messages = chats(50_000)
    with stack() as flow:
        producer = Broker(flow.kafka.broker).producer()
        for _ in range(records // len(messages)):
            produce(producer, messages)
        producer.flush()
        total = flow.lag()["enrich"]
        flow.start_workers("enrich", 2)
        print(
            f"{total} records, two workers\n{'records':>9} {'records/s':>9}  memory of each (MiB)",
            flush=True,
        )
        curve: list[tuple[float, float]] = []
        last, at = total, time.time()
        step = total // 20
        while left := flow.lag()["enrich"]:
            if last - left >= step:
                memory = [memory_mib(pid) for pid in flow.worker_pids()]
                rate = (last - left) / (time.time() - at)
                curve.append((rate, max(memory)))
                print(
                    f"{total - left:9} {rate:9.0f}  {', '.join(f'{mib:.0f}' for mib in memory)}",
                    flush=True,
                )
                last, at = left, time.time()
            time.sleep(1)
    # The first part includes the start of both workers.
    rates, memories = [rate for rate, _ in curve[1:]], [memory for _, memory in curve[1:]]
    print(
        f"speed {min(rates):.0f} to {max(rates):.0f}/s, memory {min(memories):.0f} to"
        f" {max(memories):.0f} MiB"
    )
    flat = max(memories) < min(memories) * 1.15 and min(rates) > max(rates) * 0.8
    print("flat and constant" if flat else "NOT flat or NOT constant")
    return 0 if flat else 1


def main() -> int:
    """Run the selected part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("latency", "scale", "replay"))
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--records", type=int)
    options = parser.parse_args()
    if options.part == "latency":
        return latency(options.rate, options.seconds)
    if options.part == "scale":
        return scale(options.records or 30_000)
    return replay(options.records or 5_000_000)


if __name__ == "__main__":
    raise SystemExit(main())

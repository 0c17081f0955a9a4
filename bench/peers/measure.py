"""Runs one peer as a process over a loaded topic; measures rate and CPU and checks the outputs.

Time runs from the first record that a worker received, which the worker notes itself, to the moment
when the broker appended the last output. CPU is that of the worker's process and its children over
the same time. Start-up, joining the group and imports are not measured.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.peers.environments import ROOT, python_of
from bench.peers.topics import Loaded, Topics, Written

# How often the end of the output topic and the CPU of the worker are read: one request each.
_POLL_S = 0.1
# A peer that wrote all outputs and writes nothing for this long is done; the at-least-once peers
# commit every second.
_QUIET_S = 1.5
# The limit for imports, joining the group and the first fetch.
_START_S = 60.0
# A worker has this long to commit after SIGTERM; then it is killed.
_END_S = 15.0


@dataclass(frozen=True)
class Result:
    """One run: input records per second, µs of CPU per input record, and the checked outputs."""

    peer: str
    step: str
    records: int
    seconds: float
    rate: float
    cpu_us: float
    written: Written

    @property
    def complete(self) -> bool:
        """Whether no expected output is missing, and none is foreign or damaged."""
        return not (self.written.missing or self.written.foreign or self.written.damaged)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class RunFailedError(Exception):
    """A worker ended early, stalled or never began; the message has the end of its log."""


def run_peer(
    peer: str,
    loaded: Loaded,
    step: str,
    topics: Topics,
    broker: str,
    compression: str,
    limit: float,
) -> Result:
    """Run a peer over a loaded topic for at most `limit` seconds and check its outputs.

    `name:default` is a peer with its default settings; otherwise all clients have the same ones.
    Raises RunFailedError and PeerUnavailableError.
    """
    module, _, settings = peer.partition(":")
    python = python_of(module)
    name = f"bench.{module}.{step}.{time.time_ns()}"
    topics.make(name)
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        started_file, log = Path(folder) / "started.json", Path(folder) / "log"
        words = {
            "broker": broker,
            "source": loaded.topic,
            "target": name,
            "step": step,
            "group": name,
            "compression": compression,
            "settings": settings or "tuned",
            "started_file": str(started_file),
            "folder": folder,
        }
        command = [str(python), "-m", f"bench.peers.run_{module}"]
        command += [word for key, value in words.items() for word in (f"--{key}", value)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        try:
            at, cpu = _wait_started(process, started_file, log)
            spent = _wait_finished(process, log, topics, name, loaded.expected.total(), limit) - cpu
        finally:
            _stop(process)
    written = topics.check(name, loaded, step)
    topics.drop(name)
    seconds = written.last_at - at
    return Result(
        peer,
        step,
        loaded.records,
        seconds,
        loaded.records / seconds,
        spent / loaded.records * 1e6,
        written,
    )


def _wait_started(process: subprocess.Popen[bytes], file: Path, log: Path) -> tuple[float, float]:
    deadline = time.monotonic() + _START_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RunFailedError(f"it read no record within {_START_S:.0f} s:\n{_tail(log)}")
        time.sleep(_POLL_S)
    noted = json.loads(file.read_text())
    return noted["at"], noted["cpu"]


def _wait_finished(
    process: subprocess.Popen[bytes],
    log: Path,
    topics: Topics,
    target: str,
    expected: int,
    limit: float,
) -> float:
    """Return the CPU seconds of the worker when the last output appeared."""
    deadline = time.monotonic() + limit
    end, changed, spent = 0, time.monotonic(), 0.0
    while True:
        now, cpu = topics.ends(target), _cpu(process.pid)
        if now != end:
            end, changed, spent = now, time.monotonic(), cpu
        elif end >= expected and time.monotonic() - changed > _QUIET_S:
            return spent
        if process.poll() is not None:
            raise RunFailedError(
                f"it ended with {process.returncode} at {end} of {expected} outputs:\n{_tail(log)}"
            )
        if time.monotonic() > deadline:
            raise RunFailedError(f"{end} of {expected} outputs after {limit:.0f} s:\n{_tail(log)}")
        time.sleep(_POLL_S)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process and its ended children; 0 if it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]

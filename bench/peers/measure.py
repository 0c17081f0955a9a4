"""Runs one peer as a process of its own over a loaded topic and says how fast it was, at what CPU,
and whether all came out.

Time runs from the first record in a worker's hand, which the worker notes itself, to the moment the
broker appended the last output. CPU is that of the worker's process and its children over the same
stretch. Start-up, joining the group and imports count for nobody.
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

from bench.peers.environments import ROOT, python_of
from bench.peers.topics import Loaded, Topics, Written

# How often the output topic's end and the worker's CPU are looked at: one request of the broker.
_LOOK_S = 0.1
# Whoever has written all and writes nothing for this long is done; a second is a commit interval of
# the at-least-once peers.
_QUIET_S = 1.5
# Importing, joining the group and its first fetch; after it nobody is waited for.
_START_S = 60.0
# A worker that was asked to end commits what it holds; then it is killed.
_END_S = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    """One run: input records per second, µs of CPU per input record, and what the check of the
    output found.
    """

    peer: str
    step: str
    records: int
    seconds: float
    rate: float
    cpu_us: float
    written: Written

    @property
    def whole(self) -> bool:
        """Whether every expected output is there, none foreign, none damaged."""
        return not (self.written.missing or self.written.foreign or self.written.damaged)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class RunFailed(Exception):
    """A worker ended, stood still or never began; the message holds the end of what it printed."""


def run_peer(
    peer: str,
    loaded: Loaded,
    step: str,
    topics: Topics,
    broker: str,
    compression: str,
    limit: float,
) -> Result:
    """Run a peer over a loaded topic to its end, or to `limit` seconds, and check its output;
    raises RunFailed, PeerMissing.

    `name:default` is a peer with its own settings; those of every client are the same otherwise.
    """
    module, _, settings = peer.partition(":")
    python = python_of(module)
    name = f"bench.{module}.{step}.{time.time_ns()}"
    topics.make(name)
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        begun, log = Path(folder) / "begun.json", Path(folder) / "log"
        words = {
            "broker": broker,
            "source": loaded.topic,
            "target": name,
            "step": step,
            "group": name,
            "compression": compression,
            "settings": settings or "tuned",
            "begun": str(begun),
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
            at, cpu = _begun(process, begun, log)
            spent = _finished(process, log, topics, name, loaded.expected.total(), limit) - cpu
        finally:
            _end(process)
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


def _begun(process: subprocess.Popen[bytes], file: Path, log: Path) -> tuple[float, float]:
    deadline = time.monotonic() + _START_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RunFailed(f"it took no record within {_START_S:.0f} s:\n{_tail(log)}")
        time.sleep(_LOOK_S)
    noted = json.loads(file.read_text())
    return noted["at"], noted["cpu"]


def _finished(
    process: subprocess.Popen[bytes],
    log: Path,
    topics: Topics,
    target: str,
    expected: int,
    limit: float,
) -> float:
    """Return the CPU seconds that the worker had spent when the last output appeared."""
    deadline = time.monotonic() + limit
    end, changed, spent = 0, time.monotonic(), 0.0
    while True:
        now, cpu = topics.ends(target), _cpu(process.pid)
        if now != end:
            end, changed, spent = now, time.monotonic(), cpu
        elif end >= expected and time.monotonic() - changed > _QUIET_S:
            return spent
        if process.poll() is not None:
            raise RunFailed(
                f"it ended with {process.returncode} at {end} of {expected} outputs:\n{_tail(log)}"
            )
        if time.monotonic() > deadline:
            raise RunFailed(f"{end} of {expected} outputs after {limit:.0f} s:\n{_tail(log)}")
        time.sleep(_LOOK_S)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that have ended; 0 where it has ended
    itself.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15]) / _TICKS


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]

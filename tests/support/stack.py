"""What the tests on real servers share: a cache outside of git, free ports, server processes."""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Self

import pytest

# What a machine downloads once: server libraries by their package managers. Kept beside the
# checkout's own caches, out of git.
CACHE = Path(
    os.environ.get(
        "SWITCHBOARD_STACK_CACHE", Path(__file__).resolve().parents[2] / ".cache" / "stack"
    )
)
_PR_SET_PDEATHSIG = 1
# Test processes that run side by side take a thousand ports each, below those that systems take for
# outgoing connections: one of these could take a port before its server does.
_FIRST_PORT, _LAST_PORT, _PORTS_EACH = 10_000, 32_000, 1_000
_reserved: set[int] = set()


class StackMissingError(Exception):
    """A real server cannot run on this machine; the message says what is missing."""


def skip_or_fail(error: StackMissingError) -> None:
    """Skip a test with the reason, or fail it where SWITCHBOARD_REQUIRE_STACK=1 says that servers
    must be there.
    """
    if os.environ.get("SWITCHBOARD_REQUIRE_STACK") == "1":
        pytest.fail(f"SWITCHBOARD_REQUIRE_STACK=1, but {error}")
    pytest.skip(str(error))


def free_port() -> int:
    """Return a loopback port that nobody listens on and that this process was not given before."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of `count` such ports in a row."""
    first, _ = _port_range()
    for port in range(first, first + _PORTS_EACH - count, count):
        ports = range(port, port + count)
        if _reserved.isdisjoint(ports) and all(map(_is_free, ports)):
            _reserved.update(ports)
            return port
    raise OSError(f"no {count} free ports in a row from {first} on")


@cache
def _port_range() -> tuple[int, IO[bytes]]:
    """Return the first port of a range that no other test process has, and the lock on it."""
    for first in range(_FIRST_PORT, _LAST_PORT, _PORTS_EACH):
        lock = open(Path(tempfile.gettempdir(), f"switchboard-ports-{first}.lock"), "ab")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return first, lock
    raise OSError(f"other test processes have all ports from {_FIRST_PORT} to {_LAST_PORT}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def die_with_parent() -> None:
    """Make this process end when its parent does (on Linux).

    As Popen's preexec_fn, so that no server outlives its test.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(
    what: str, ready: Callable[[], bool], seconds: float = 60.0, every: float = 0.05
) -> None:
    """Ask until the answer is yes; raises TimeoutError that names what did not happen."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}, and it did not happen")
        time.sleep(every)


# A server that is asked to end gets this long before it is killed.
_GRACE_S = 20


class Server:
    """A server process: `kill` (-9), `start` again on the same ports with the same data, `stop`.

    It is a context manager.
    """

    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the server and return when it answers."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The server's process id, 0 while it does not run."""
        return self._process.pid if self._process else 0

    def kill(self) -> None:
        """End the server as a power cut would: kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End the server in order; kill it where it takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> Self:
        """Kill it and start it again."""
        self.kill()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

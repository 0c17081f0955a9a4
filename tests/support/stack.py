"""What the tests on real servers share: a cache outside of git, free ports, children that end with their parent, patience."""

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# What a machine fetches once: server libraries by their package managers. Kept beside the checkout's own caches, out of git.
CACHE = Path(os.environ.get("SWITCHBOARD_STACK_CACHE", Path(__file__).resolve().parents[2] / ".cache" / "stack"))
_PR_SET_PDEATHSIG = 1


class StackMissing(Exception):
    """A real server cannot be had on this machine; the message says what is wanting."""


def skip_or_fail(error: StackMissing) -> None:
    """Skip a test with the reason, or fail it where SWITCHBOARD_REQUIRE_STACK=1 says that servers must be there."""
    if os.environ.get("SWITCHBOARD_REQUIRE_STACK") == "1":
        pytest.fail(f"SWITCHBOARD_REQUIRE_STACK=1, but {error}")
    pytest.skip(str(error))


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """Make this process end when its parent does (Linux); given to Popen as preexec_fn, so that no server outlives its test."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(what: str, ready: Callable[[], bool], seconds: float = 60.0, every: float = 0.05) -> None:
    """Ask until the answer is yes; raises TimeoutError naming what was waited for."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)

"""`run` on the embedded engine: the stages in a child process, which is started again if it dies.

A record may end the process that handles it. The child's crash markers
(runtime/crash_quarantine.py) then find the record, as on Kafka; this parent has nothing loaded and
lives.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import orjson

logger = logging.getLogger(__name__)

# sysexits.h, EX_SOFTWARE: an exception that no person outside the program can repair.
EXIT_CRASHED = 70
# The quarantine needs up to eight deaths to find one of 10,000 records, and commits the good
# records of its range meanwhile. So many in a row without a commit are no record's doing.
_MAX_DEATHS = 12
# Between two deaths: a fault that needs no time, such as one at the start, must not keep a core
# busy.
_RESTART_S = 0.2
# The counts of five stages as JSON.
_COUNTS_BYTES = 4_096
# linux/include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG = 1


@dataclass
class RunProgress:
    """How many records each stage handled, in memory that parent and children share."""

    _memory: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, _COUNTS_BYTES))

    def read(self) -> Counter[str]:
        """Return the counts."""
        raw = bytes(self._memory).rstrip(b"\0")
        return Counter(orjson.loads(raw) if raw else {})

    def write(self, counts: Counter[str]) -> None:
        """Replace the counts by larger ones."""
        raw = orjson.dumps(dict(counts)).ljust(_COUNTS_BYTES, b"\0")
        self._memory[:] = raw


def supervise_run(child: Callable[[RunProgress], None]) -> None:
    """Run a function in a child process until it ends well; raises SystemExit with its exit code.

    The child ends with `EXIT_CRASHED`, or by a signal, if it shall be started again. SIGTERM and
    SIGINT are passed on to it, and it dies with its parent.
    """
    progress = RunProgress()
    deaths, before = 0, Counter[str]()
    while True:
        code, stopped = _run_once(child, progress)
        if code >= 0 and code != EXIT_CRASHED:
            raise SystemExit(code)
        counts = progress.read()
        deaths, before = (1, counts) if counts != before else (deaths + 1, before)
        reason = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        if stopped or deaths >= _MAX_DEATHS:
            logger.error("The run ended %s %d times without progress; it stops", reason, deaths)
            raise SystemExit(EXIT_CRASHED)
        logger.warning("The run ended %s; it is started again", reason)
        time.sleep(_RESTART_S)


def _run_once(child: Callable[[RunProgress], None], progress: RunProgress) -> tuple[int, bool]:
    """Fork a child; return its exit code, or minus its signal, and whether it was asked to stop."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _die_with(parent)
        child(progress)
        raise SystemExit(0)
    stopped = False

    def pass_on(number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        os.kill(pid, number)

    previous = {
        number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        _, status = os.waitpid(pid, 0)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return os.waitstatus_to_exitcode(status), stopped


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, as kill -9 of the run is meant.

    Only Linux can; elsewhere the run looks for its parent after each batch.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(EXIT_CRASHED)

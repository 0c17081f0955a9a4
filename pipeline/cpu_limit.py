"""Ends a process in which one item takes too much CPU time, even inside a regular expression.

`re` and other C code keep the interpreter's lock, so no thread of Python can interrupt them. A
timer of the kernel can: it sends a signal whose default action ends the process. The quarantine
(runtime/crash_quarantine.py) then finds the item. docs/adr/0031 has the measurements.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

# A thousand times what the slowest of ordinary records takes in one step, and short enough that a
# person who waits for the stage hardly notices it.
LIMIT_S = 5.0
# What a batch may take beyond that per record, in code that handles all of them at once, such as
# building the rows of an insert: some twenty times what a row takes. A single record stays near the
# limit, and a batch of load may take 50 s.
_RECORD_S = 0.005
# The timer is set again at most this often, so that an item costs a reading of the clock. An item
# that starts just after it was set loses this much of its time, and is granted it on top.
_REARM_S = 0.1
# POSIX: a timer on the CPU time of the calling thread, so that neither waiting, nor other programs,
# nor the threads of a database engine in this process count.
_CLOCK_THREAD_CPUTIME_ID = 3
_HAS_THREAD_TIMERS = sys.platform == "linux"
# Elsewhere the interval timer of the process counts the CPU time of all its threads. Its signal is
# the same, and nothing else in Python uses it.
SIGNAL = signal.SIGVTALRM
# linux/include/uapi/asm-generic/siginfo.h: the timer sends a signal.
_SIGEV_SIGNAL = 0


class _SigEvent(ctypes.Structure):
    # The kernel's structure has 64 bytes on every platform.
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_byte * 48),
    )


_NEVER = float("inf")

T = TypeVar("T")


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class _Timer:
    """A timer on the CPU time of the thread that creates it."""

    def __init__(self) -> None:
        self._id = ctypes.c_void_p()
        if _HAS_THREAD_TIMERS:
            # `None`: the C library that the interpreter is linked with.
            library = self._library = ctypes.CDLL(None, use_errno=True)
            event = _SigEvent(None, SIGNAL, _SIGEV_SIGNAL)
            clock = ctypes.c_int(_CLOCK_THREAD_CPUTIME_ID)
            if library.timer_create(clock, ctypes.byref(event), ctypes.byref(self._id)):
                raise OSError(ctypes.get_errno(), "timer_create failed")

    def set(self, seconds: float) -> None:
        """Fire after so many seconds of CPU time; 0 disarms the timer."""
        if not _HAS_THREAD_TIMERS:
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            return
        whole = int(seconds)
        value = _TimeSpec(whole, int((seconds - whole) * 1e9))
        spec = _TimerSpec(_TimeSpec(0, 0), value)
        if self._library.timer_settime(self._id, 0, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "timer_settime failed")

    def __del__(self) -> None:
        # A thread that ends gives its timer back to the kernel.
        if _HAS_THREAD_TIMERS:
            self._library.timer_delete(self._id)


class _ThreadLimit(threading.local):
    """The timer of each thread, for a timer counts the CPU time of the thread that created it."""

    # Of all threads; off until the process calls `enable`.
    enabled = False

    def __init__(self) -> None:
        self.timer: _Timer | None = None
        # When `limit_each` sets the timer again, by the monotonic clock; never while no batch is
        # handled.
        self.rearm_at = _NEVER


_limit = _ThreadLimit()


def _forget_timer() -> None:
    """Forget the timer of the process that forked this one, for timers are not inherited."""
    _limit.timer = None
    _limit.rearm_at = _NEVER


os.register_at_fork(after_in_child=_forget_timer)


def enable(trace: IO[str]) -> None:
    """Limit the items of this process from now on; where it ended is written to `trace`.

    The C code that writes the stacks of all threads runs inside the signal's handler and then lets
    the signal end the process.
    """
    faulthandler.register(SIGNAL, file=trace, all_threads=True, chain=True)
    _ThreadLimit.enabled = True


def disable() -> None:
    """Limit nothing any more."""
    _ThreadLimit.enabled = False
    faulthandler.unregister(SIGNAL)


@contextmanager
def limited(records: int) -> Iterator[None]:
    """Limit the CPU time of this thread inside the block, which handles so many records.

    The block may take `LIMIT_S` and some milliseconds for each record. Code that goes from record
    to record does so by `limit_each`, and then each of them has `LIMIT_S`.
    """
    if not _limit.enabled:
        yield
        return
    if _limit.timer is None:
        _limit.timer = _Timer()
    _set(records)
    try:
        yield
    finally:
        _limit.timer.set(0)
        _limit.rearm_at = _NEVER


@contextmanager
def paused() -> Iterator[None]:
    """Limit nothing inside the block: work that belongs to no record, such as loading a model."""
    if _limit.timer is None or _limit.rearm_at == _NEVER:
        yield
        return
    _limit.timer.set(0)
    _limit.rearm_at = _NEVER
    try:
        yield
    finally:
        _set(1)


def grant(records: int) -> None:
    """Grant what follows the time for so many records that are handled together; takes 3 µs."""
    if _limit.rearm_at != _NEVER:
        _set(records)


def limit_each(items: Iterable[T]) -> Iterator[T]:
    """Yield items, each with its own time; takes a tenth of a microsecond an item."""
    for item in items:
        if time.monotonic() >= _limit.rearm_at:
            _set(1)
        yield item


def _set(records: int) -> None:
    assert _limit.timer is not None
    _limit.timer.set(LIMIT_S + _REARM_S + _RECORD_S * records)
    _limit.rearm_at = time.monotonic() + _REARM_S


def slowest_line(trace: Path) -> str:
    """Return the innermost line of our code in the stacks that `enable` wrote, or "".

    It is as short as `mail/mime/addresses.py:88 in split_addresses`.
    """
    try:
        lines = trace.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    current = False
    for line in lines:
        current = current or line.startswith("Current thread")
        if line.startswith("Thread"):
            current = False
        path, _, rest = line.strip().removeprefix('File "').partition('", line ')
        if current and "/pipeline/" in path and rest:
            number, _, function = rest.partition(" in ")
            return f"{path.rpartition('/pipeline/')[2]}:{number} in {function}"
    return ""

"""Measure how the time of a function grows with the size of its text; kill it if it hangs.

A scan of `re` keeps the interpreter's lock, so every function runs in a forked child, which tells
its figures through a pipe and is killed when it exceeds its budget. Times are of the CPU, and only
times of one run are compared with each other.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tests.support.hostile_texts import OTHER_LANGUAGES, PLAIN, AnyFamily

MEGABYTE = 1024 * 1024
# Twice the text may take this many times the time.
MOST_PER_DOUBLING = 2.2
# Sizes grow from the first one on, by this factor: one doubling alone depends on caches and on the
# machine's other work. Quadratic scans need milliseconds for the first size, and are thus found
# before they need minutes.
FIRST_SIZE, STEP = 1024, 4
# All families are measured up to this size, and so many up to the largest: those that were slowest.
COMMON_SIZE, SLOWEST = 65_536, 12
# Shorter times are mostly noise and fixed cost.
_LEAST_SECONDS = 0.02
# A ratio like this is no noise: after this time it counts without more sizes or repetitions.
_CLEARLY_SLOW, _CLEAR_SECONDS = 3.0, 0.1
# Seconds after which a size is given up; they are not of the CPU, and a busy machine is slow.
BUDGET = 60.0
# A suspicious pair of sizes is measured so many times, and the best of each counts.
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Growth:
    """CPU seconds of a function by the size of its text, up to the largest that was tried.

    `killed` is the size at which the function was killed, 0 if it never was; `error` names the
    exception that ended it.
    """

    target: str
    family: str
    seconds: tuple[tuple[int, float], ...]
    ratio: float
    killed: int = 0
    error: str = ""

    @property
    def slow(self) -> bool:
        """Whether the time grew more than linearly, or a size never ended."""
        return bool(self.killed) or self.ratio > MOST_PER_DOUBLING

    def __str__(self) -> str:
        size, seconds = self.seconds[-1] if self.seconds else (0, 0.0)
        if self.error:
            return f"{self.target}: {self.family}: {self.error}"
        if self.killed:
            return (
                f"{self.target}: {self.family}: {seconds:.2f} s at {size:,} characters,"
                f" killed at {self.killed:,}"
            )
        return (
            f"{self.target}: {self.family}: {seconds:.2f} s at {size:,} characters,"
            f" twice the text {self.ratio:.2f} times the time"
        )


def _cpu(function: Callable[[str], object], text: str) -> float:
    begun = time.process_time()
    function(text)
    return time.process_time() - begun


def _ratio(seconds: Sequence[tuple[int, float]]) -> float:
    """Return the growth per doubling between the last sizes, 1 if they are too short to compare."""
    if len(seconds) < 2:
        return 1.0
    (small, low), (large, high) = seconds[-2:]
    if high < _LEAST_SECONDS:
        return 1.0
    return float((high / max(low, _LEAST_SECONDS / STEP)) ** (1 / math.log2(large / small)))


def _grow(
    function: Callable[[str], object],
    family: AnyFamily,
    sizes: Sequence[int],
    send: Callable[[Any], None],
) -> None:
    """Send (size, seconds) of growing sizes, then the ratio."""
    seconds: list[tuple[int, float]] = []
    for size in sizes:
        send(("begin", size))
        seconds.append((size, _cpu(function, family.text(size))))
        send(("end", seconds[-1]))
        if seconds[-1][1] > _CLEAR_SECONDS and _ratio(seconds) > _CLEARLY_SLOW:
            break
    if MOST_PER_DOUBLING < _ratio(seconds) <= _CLEARLY_SLOW:
        best = dict(seconds)
        for _ in range(_REPEATS):
            for size, _known in seconds[-2:]:
                send(("begin", size))
                best[size] = min(best[size], _cpu(function, family.text(size)))
            if _ratio(list(best.items())) <= MOST_PER_DOUBLING:
                break
        seconds = list(best.items())
    send(("ratio", _ratio(seconds)))


def _child(
    function: Callable[[str], object],
    families: Sequence[AnyFamily],
    first: int,
    sizes: Sequence[int],
    pipe: Connection,
) -> None:
    gc.disable()
    for index in range(first, len(families)):
        pipe.send(("family", index))
        try:
            _grow(function, families[index], sizes, pipe.send)
        except Exception as error:
            pipe.send(("error", f"{type(error).__name__}: {str(error)[:120]}"))
    pipe.send(("done", 0))
    pipe.close()
    os._exit(0)


def sizes_up_to(largest: int) -> tuple[int, ...]:
    """Return the sizes that are measured.

    >>> sizes_up_to(70_000)
    (1024, 4096, 16384, 65536)
    """
    sizes = [min(FIRST_SIZE, largest)]
    while sizes[-1] * STEP <= largest:
        sizes.append(sizes[-1] * STEP)
    return tuple(sizes)


def survey(
    target: str,
    function: Callable[[str], object],
    families: Sequence[AnyFamily],
    largest: int = MEGABYTE,
    budget: float = BUDGET,
) -> Iterator[Growth]:
    """Yield how a function grows on each family, and on the slowest of them up to `largest`."""
    by_name = {family.name: family for family in families}
    linear: list[Growth] = []
    for growth in measure(target, function, families, min(COMMON_SIZE, largest), budget):
        yield growth
        if not growth.slow and not growth.error:
            linear.append(growth)
    if largest > COMMON_SIZE:
        linear.sort(key=lambda growth: -growth.seconds[-1][1])
        slowest = [by_name[growth.family] for growth in linear[:SLOWEST]]
        yield from measure(target, function, slowest, largest, budget)


def measure(
    target: str,
    function: Callable[[str], object],
    families: Sequence[AnyFamily],
    largest: int = MEGABYTE,
    budget: float = BUDGET,
) -> Iterator[Growth]:
    """Yield how a function grows on each family; one size may take `budget` seconds.

    The function runs in a child process, which is killed and replaced when it takes longer.
    """
    context = multiprocessing.get_context("fork")
    # Tables and models are loaded once, here, and not by each child.
    for family in (PLAIN, *OTHER_LANGUAGES):
        with suppress(Exception):
            function(family.text(FIRST_SIZE))
    sizes = sizes_up_to(largest)
    first = 0
    while first < len(families):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(
            target=_child, args=(function, families, first, sizes, sender), daemon=True
        )
        process.start()
        sender.close()
        try:
            first = yield from _follow(target, families, first, receiver, budget)
        finally:
            process.kill()
            process.join()
            receiver.close()


def _follow(
    target: str, families: Sequence[AnyFamily], first: int, receiver: Connection, budget: float
) -> Generator[Growth, None, int]:
    """Yield the results of one child; return the family from which another must go on."""
    index, size = first, 0
    seconds: list[tuple[int, float]] = []
    kind: str
    value: Any
    while True:
        try:
            kind, value = receiver.recv() if receiver.poll(budget) else ("killed", 0)
        except EOFError:
            kind, value = "error", "the process died"
        if kind == "family":
            index, seconds = value, []
        elif kind == "begin":
            size = value
        elif kind == "end":
            seconds.append(value)
        elif kind == "ratio":
            yield Growth(target, families[index].name, tuple(seconds), value)
        elif kind == "error":
            yield Growth(target, families[index].name, tuple(seconds), 1.0, error=value)
            if value == "the process died":
                return index + 1
        elif kind == "killed":
            ratio = _ratio(seconds)
            yield Growth(target, families[index].name, tuple(seconds), ratio, killed=size)
            return index + 1
        else:
            return len(families)

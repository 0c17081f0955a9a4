"""The limit of CPU time ends a process inside a regular expression, and only where it should."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import cpu_limit
from pipeline.outcomes import Context, Emit, MapStep, NoModels, emit, run_checked
from pipeline.runtime.crash_quarantine import limit_cpu_time

_LIMIT_S, _TOO_LONG_S = 0.2, 0.6


def _work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _in_another_thread() -> None:
    thread = threading.Thread(target=_work, args=(_TOO_LONG_S,))
    thread.start()
    thread.join()


def _over_many_items() -> None:
    def work(seconds: float, _: Context) -> Emit[float]:
        _work(seconds)
        return emit(seconds)

    now = datetime(2026, 12, 1, tzinfo=UTC)
    run_checked(MapStep("work", work), [_LIMIT_S / 2] * 8, Context(now, NoModels()))


def _while_paused() -> None:
    with cpu_limit.paused():
        _work(_TOO_LONG_S)


def _endless() -> None:
    re.match("(a+)+$", "a" * 64 + "b")


def _end_of(traces: Path, *functions: Callable[[], object]) -> int:
    """Run functions in a child process, each limited; return its exit code, 0 if all returned."""
    child = os.fork()
    if child == 0:
        cpu_limit.LIMIT_S, cpu_limit._RECORD_S = _LIMIT_S, 0.0
        with limit_cpu_time(traces):
            _work(_TOO_LONG_S)
            for function in functions:
                with cpu_limit.limited(1):
                    function()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timers by thread")
def test_other_threads_pauses_and_many_items_do_not_count(tmp_path: Path) -> None:
    assert _end_of(tmp_path, _in_another_thread, _over_many_items, _while_paused) == 0
    assert list(tmp_path.iterdir()) == [], "a process that ends well leaves nothing"


def test_an_endless_regular_expression_ends_the_process(tmp_path: Path) -> None:
    assert _end_of(tmp_path, _endless) == -signal.SIGVTALRM
    (trace,) = tmp_path.iterdir()
    assert "in _endless" in trace.read_text("utf-8")


def _ends_in_a_thread() -> None:
    def work() -> None:
        with cpu_limit.limited(1):
            _endless()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timers by thread")
def test_every_thread_and_every_fork_has_a_timer_of_its_own(tmp_path: Path) -> None:
    with limit_cpu_time(tmp_path), cpu_limit.limited(1):
        # This process has a timer now, which the child does not inherit.
        assert _end_of(tmp_path, _endless) == -signal.SIGVTALRM
    assert _end_of(tmp_path, _ends_in_a_thread) == -signal.SIGVTALRM


def test_the_slowest_line_is_the_innermost_of_our_code(tmp_path: Path) -> None:
    trace = tmp_path / "1"
    trace.write_text(
        'Thread 0x1 (most recent call first):\n  File "/a/pipeline/logs.py", line 1 in other\n\n'
        'Current thread 0x2 (most recent call first):\n  File "/usr/lib/re.py", line 166 in match\n'
        '  File "/a/pipeline/mail/reply.py", line 88 in split\n'
        '  File "/a/pipeline/outcomes.py", line 3 in run\n',
        "utf-8",
    )
    assert cpu_limit.slowest_line(trace) == "mail/reply.py:88 in split"
    assert cpu_limit.slowest_line(tmp_path / "none") == ""


def test_nothing_is_limited_where_no_host_asked(tmp_path: Path) -> None:
    with limit_cpu_time(tmp_path), cpu_limit.limited(1):
        cpu_limit.grant(5)
    with cpu_limit.limited(1), cpu_limit.paused():
        assert list(cpu_limit.limit_each([1, 2])) == [1, 2]

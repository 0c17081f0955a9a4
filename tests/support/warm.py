"""Commands as processes of their own, forked from one that has imported everything already.

Each starts in milliseconds, not seconds. What a command does when it starts from nothing is seen by
tests/unit/test_lazy_imports.py, by the tests that kill it, and by those that follow the guides.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import itertools
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.short_waits import shorten_live_waits, shorten_waits
from tests.support.stack import die_with_parent

# chdb starts threads when it is imported, which would not be there after a fork.
_LEFT_OUT = {"pipeline.__main__", "pipeline.sinks.chdb", "pipeline.sinks.store_server"}
_ROOT = Path(__file__).resolve().parents[2]
# Warming up takes seconds on a quiet machine.
_PATIENCE_S = 300.0


def _is_readable(descriptor: int, timeout_s: float | None) -> bool:
    """Return whether a descriptor can be read in time; `select` allows numbers up to 1,023 only."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


class WarmProcess:
    """A process that was forked from the warm one, with as much of Popen as tests use."""

    def __init__(
        self, server: subprocess.Popen[str], reports: int, arguments: Sequence[str]
    ) -> None:
        self.arguments = [*arguments]
        self.returncode: int | None = None
        self._reports = reports
        deadline = time.monotonic() + _PATIENCE_S
        while not _is_readable(reports, 0.5):
            assert server.poll() is None, "the warm process has ended: see what it printed above"
            assert time.monotonic() < deadline, f"{arguments} did not start"
        self.pid = int(self._report(0))

    def poll(self) -> int | None:
        """Return the exit code, minus the signal for one that was killed; None while it runs."""
        if self.returncode is None:
            try:
                self.wait(0)
            except subprocess.TimeoutExpired:
                return None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process ends and return its exit code; raises TimeoutExpired."""
        if self.returncode is None:
            self.returncode = int(self._report(timeout))
            os.close(self._reports)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as kill -9 does."""
        self.send_signal(signal.SIGKILL)

    def _report(self, timeout: float | None) -> bytes:
        if not _is_readable(self._reports, timeout):
            raise subprocess.TimeoutExpired(self.arguments, timeout or 0)
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self._reports, 1)
        return line


class WarmCommands:
    """The process that commands are forked from; any thread may start one at any time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm"],
            stdin=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            # A library's own threads would not be there after a fork.
            env=os.environ
            | {"COLUMNS": "200", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            preexec_fn=die_with_parent,  # noqa: PLW1509  # it calls prctl and nothing else
        )

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run `switchboard` with arguments; return its exit code and what it printed."""
        name = f"command-{next(self._numbers)}"
        out, err = self._folder / f"{name}.out", self._folder / f"{name}.err"
        try:
            code = self.start(arguments, cwd, environment, out, err).wait()
            return subprocess.CompletedProcess(
                [*arguments], code, out.read_text("utf-8"), err.read_text("utf-8")
            )
        finally:
            out.unlink(missing_ok=True)
            err.unlink(missing_ok=True)

    def start(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        out: Path | None = None,
        err: Path | None = None,
    ) -> WarmProcess:
        """Start `switchboard` with arguments; what it prints is appended to files, where named."""
        reports = self._folder / f"reports-{next(self._numbers)}"
        os.mkfifo(reports)
        # Open for both, so that the end of the other side is no end of file.
        opened = os.open(reports, os.O_RDWR | os.O_CLOEXEC)
        request = {
            "arguments": [*arguments],
            "cwd": str(cwd),
            "env": {**environment},
            "out": str(out or os.devnull),
            "err": str(err or os.devnull),
            "reports": str(reports),
        }
        assert self._server.stdin is not None
        assert self._server.poll() is None, "the warm process has ended: see what it printed above"
        with self._lock:
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
        process = WarmProcess(self._server, opened, arguments)
        reports.unlink()
        return process

    def close(self) -> None:
        """End the warm process, and with it everything that was started and has not ended."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)


def _warm_up() -> None:
    import pipeline
    from pipeline.models.features import extract_features
    from pipeline.models.learner import warm_up
    from pipeline.models.lexicon_reading import read_texts
    from pipeline.processors.clean.language import detect_language

    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        if module.name not in _LEFT_OUT:
            importlib.import_module(module.name)
    shorten_waits()
    shorten_live_waits()
    # These load compiled code and models when first called.
    detect_language("Could you tell me where my parcel is?")
    texts = ["Where is my parcel?", "我的快递到哪里了？"]
    extract_features(texts)
    read_texts(texts, texts)
    warm_up()
    _check_threads()


def _check_threads() -> None:
    tasks = Path("/proc/self/task")
    if tasks.is_dir():
        threads = {(thread / "comm").read_text().strip() for thread in tasks.iterdir()}
        # pyarrow's allocator sees to its own thread at a fork.
        lost = threads - {Path("/proc/self/comm").read_text().strip(), "jemalloc_bg_thd"}
        assert not lost, f"threads that a fork would lose: {lost}"


def _serve() -> bool:
    """Fork a process for every request; return True in a process that has become a command, False
    when nothing more is asked.
    """
    # Those who wait for commands need nobody to wait for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        if os.fork() == 0:
            return _become(request)
    return False


def _become(request: dict[str, Any]) -> bool:
    """Fork the command and report its process id and its exit code; return True in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent()
    reports = os.open(request["reports"], os.O_WRONLY | os.O_CLOEXEC)
    child = os.fork()
    if child:
        os.write(reports, b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        os.write(reports, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(reports)
    die_with_parent()
    files = (os.devnull, os.O_RDONLY), (request["out"], os.O_WRONLY), (request["err"], os.O_WRONLY)
    for number, (path, mode) in enumerate(files):
        opened = os.open(path, mode | (os.O_CREAT | os.O_APPEND if number else 0), 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.argv[1:] = request["arguments"]
    # As an interpreter does when it starts: tests plant faults by it.
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        path = Path(folder, "sitecustomize.py")
        if path.is_file():
            exec(compile(path.read_text("utf-8"), path, "exec"), {"__name__": "sitecustomize"})
            break
    return True


class _ForkedWorker(subprocess.Popen[bytes]):
    """Popen, but a worker that a supervisor starts is forked from the supervisor.

    Only where no library's thread would be lost: else it starts from nothing.
    """

    def __init__(self, command: Any, *arguments: Any, **options: Any) -> None:
        self._forked = 0
        if (
            [*command][:3] == [sys.executable, "-m", "pipeline"]
            and not (arguments or options)
            and _only_own_threads()
        ):
            self.args, self.returncode = command, None
            self.stdin = self.stdout = self.stderr = None
            sys.stdout.flush()
            sys.stderr.flush()
            self.pid = os.fork()
            if self.pid == 0:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)
                sys.argv[1:] = command[3:]
                _end_with(_main())
            self._child_created = True
            self._waitpid_lock = threading.Lock()
            self._sigint_wait_secs = 0.25
            return
        super().__init__(command, *arguments, **options)


def _only_own_threads() -> bool:
    """Return whether every thread of this process is one that Python started, or the allocator."""
    for thread in threading.enumerate():
        # The supervisor's clean-up, which is short.
        if thread.name == "expire":
            thread.join(10)
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return False
    names = []
    for thread in tasks.iterdir():
        # One that ends at this moment is none any more.
        with suppress(OSError):
            names.append((thread / "comm").read_text().strip())
    return len(names) - names.count("jemalloc_bg_thd") == threading.active_count()


def _main() -> Callable[[], None]:
    from pipeline.cli import main

    return main


def _end_with(command: Callable[[], None]) -> None:
    """Run a command and end as an interpreter does, but for the second it takes to let go of
    everything imported.
    """
    code: object = 0
    try:
        command()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    # As the interpreter does, which prints a code that is no number.
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    _warm_up()
    # Objects that nobody looks through are shared with the processes that are forked.
    gc.freeze()
    if _serve():
        subprocess.Popen = _ForkedWorker  # type: ignore[misc, assignment]
        _end_with(_main())

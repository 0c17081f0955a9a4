"""Commands as processes of their own, forked from one that has imported everything already: each
starts in milliseconds, not seconds.

What a command does when it starts from nothing is seen by tests/unit/test_starting.py, by the tests
that kill it, and by those that follow the guides on the stack.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.stack import die_with_parent

# chdb starts threads when it is imported, which would not be there after a fork.
_LEFT_OUT = {"pipeline.__main__", "pipeline.sinks.chdb", "pipeline.sinks.store_server"}
_ROOT = Path(__file__).resolve().parents[2]


class WarmCommands:
    """The process that commands are forked from, one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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
        """Run `switchboard` with arguments; return its exit code and what it said."""
        out, err = self._folder / "out", self._folder / "err"
        request = {
            "arguments": [*arguments],
            "cwd": str(cwd),
            "env": {**environment},
            "out": str(out),
            "err": str(err),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, "the process that commands are forked from has ended: see what it said above"
        code = int(answer)
        return subprocess.CompletedProcess(
            [*arguments], code, out.read_text("utf-8"), err.read_text("utf-8")
        )

    def close(self) -> None:
        """End the process."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)


def _warm_up() -> None:
    import pipeline
    from pipeline.models.features import extract
    from pipeline.models.lexicon_reading import read_all
    from pipeline.processors.clean.language import detect_language

    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        if module.name not in _LEFT_OUT:
            importlib.import_module(module.name)
    # These load compiled code and models when first called.
    detect_language("Could you tell me where my parcel is?")
    texts = ["Where is my parcel?", "我的快递到哪里了？"]
    extract(texts)
    read_all(texts, texts)
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
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
            return True
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return False


def _become(request: dict[str, object]) -> None:
    files = (os.devnull, os.O_RDONLY), (request["out"], os.O_WRONLY), (request["err"], os.O_WRONLY)
    for number, (path, mode) in enumerate(files):
        opened = os.open(str(path), mode | (os.O_CREAT | os.O_TRUNC if number else 0), 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    time.tzset()
    sys.argv[1:] = request["arguments"]  # type: ignore[call-overload]


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
        from pipeline.cli import main

        _end_with(main)

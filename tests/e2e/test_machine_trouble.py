"""Trouble of the machine: each command ends with one sentence and an exit code, never a traceback.

The faults are planted in the command's own process as it starts. What was committed before is whole
afterwards, and the next run finishes the work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.events import make_events
from tests.support.migrated_store import copy_migrated_store
from tests.support.warm import WarmCommands

_ROOT = Path(__file__).resolve().parents[2]
_SECRET = {"SWITCHBOARD_SECRET": "a secret for tests only", "COLUMNS": "200"}

# Rights do not bind the super-user, unless the process gives up its privileges (capset, version 3).
_AS_A_USER = """
import ctypes
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""
_FEW_FILES = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
_SMALL_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"
_FULL_OUTPUT = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
_FULL_STREAMS = _FULL_OUTPUT + "; os.dup2(1, 2)"
_NO_READER = "import os; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w)"

# The dead letters have ids of their own in each installation.
_ROWS = """
SELECT * FROM (
    SELECT 'communications' AS kind, toString(record_id) AS id, redacted_text FROM communications
    UNION ALL SELECT 'business', toString(record_id), '' FROM business_events
    UNION ALL SELECT 'dead letters', toString(count()), '' FROM dead_letters
)
ORDER BY kind, id
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(warm: WarmCommands, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a command on a data folder, with a fault if one is named."""

    def call(data: Path, *arguments: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        folder = tmp_path_factory.mktemp("fault")
        (folder / "sitecustomize.py").write_text(fault)
        environment = {**os.environ, **_SECRET, "PYTHONPATH": str(folder)}
        done = warm.run(["--data-dir", str(data), *arguments], folder, environment)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        assert "Exception ignored" not in done.stderr, done.stderr
        return done

    return call


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with sixty events."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    path.write_text("".join(f"{json.dumps(event)}\n" for event in make_events(60, 1)))
    return path


@pytest.fixture(scope="module")
def data(run: Run, events: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with events that were ingested and not processed."""
    folder = tmp_path_factory.mktemp("installation") / "data"
    copy_migrated_store(folder / "store")
    assert run(folder, "ingest", "events", str(events)).returncode == 0
    return folder


# One command of each kind: it writes the log, reads the log, opens the store, runs the stages.
COMMANDS = (("ingest",), ("lag",), ("query", "SELECT 1"), ("run",))


def _whole(command: tuple[str, ...], events: Path) -> tuple[str, ...]:
    if command == ("ingest",):
        return "ingest", "events", str(events)
    return (*command, "--until-idle") if command == ("run",) else command


def _sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only error of a command."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_data_folder_that_is_a_file(
    run: Run, events: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "data"
    path.write_text("hello")
    done = run(path, *_whole(command, events))
    assert done.returncode == 1
    assert "no folder: name another folder, or move the file" in _sentence(done)
    assert path.read_text() == "hello"


@pytest.mark.skipif(sys.platform != "linux", reason="capset is a call of Linux")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_data_folder_without_the_right_to_write(
    run: Run, data: Path, events: Path, command: tuple[str, ...]
) -> None:
    files = [data, *data.iterdir()]
    before = {path: path.stat().st_mode for path in files}
    try:
        for path in files:
            path.chmod(before[path] & ~0o222)
        done = run(data, *_whole(command, events), fault=_AS_A_USER)
    finally:
        for path, mode in before.items():
            path.chmod(mode)
    assert done.returncode == 1
    assert "change its owner or rights" in _sentence(done)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_too_few_open_files(run: Run, data: Path, events: Path, command: tuple[str, ...]) -> None:
    done = run(data, *_whole(command, events), fault=_FEW_FILES)
    assert done.returncode == 1
    assert "may open 64 files" in _sentence(done)


@pytest.mark.parametrize("command", [("lag",), ("query", "SELECT 1")])
@pytest.mark.parametrize("fault", [_FULL_OUTPUT, _FULL_STREAMS, _NO_READER])
def test_output_that_cannot_be_written(
    run: Run, data: Path, command: tuple[str, ...], fault: str
) -> None:
    done = run(data, *command, fault=fault)
    assert done.returncode == 1
    if fault == _FULL_OUTPUT:
        assert "the disk is full" in _sentence(done)
    else:
        assert done.stderr == ""


@pytest.mark.parametrize("closed", ["<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    """The log would get the number of a closed stream, and what is printed would go to it."""
    done = subprocess.run(
        ["sh", "-c", f"$0 -m pipeline --data-dir $1 lag --json {closed}", sys.executable, tmp_path],
        cwd=_ROOT,
        env={**os.environ, **_SECRET},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") == (">&-" in closed.split())


def test_work_goes_on_after_writes_failed(run: Run, data: Path, tmp_path: Path) -> None:
    """Files that may not grow fail as on a full disk, at the log or at the store."""
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for folder in (undisturbed, disturbed):
        subprocess.run(["cp", "-a", data, folder], check=True)
    assert run(undisturbed, "run", "--until-idle").returncode == 0
    for limit in (4_096, 120_000):
        done = run(disturbed, "run", "--until-idle", fault=_SMALL_FILES.format(limit))
        assert done.returncode == 1
        assert "what was committed is kept" in _sentence(done)
    assert run(disturbed, "run", "--until-idle").returncode == 0
    expected, actual = (run(folder, "query", _ROWS) for folder in (undisturbed, disturbed))
    assert expected.returncode == 0, expected.stderr
    assert expected.stdout.count("communications") > 1
    assert actual.stdout == expected.stdout

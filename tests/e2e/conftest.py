"""Fixtures of the end-to-end tests: the command line as a user calls it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.migrated_store import copy_migrated_store
from tests.support.warm import WarmCommands

Command = Callable[..., subprocess.CompletedProcess[str]]

_BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
_QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
]


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmCommands]:
    """Return the process that commands are forked from."""
    commands = WarmCommands(tmp_path_factory.mktemp("commands"))
    yield commands
    commands.close()


@pytest.fixture
def switchboard(tmp_path: Path, warm: WarmCommands) -> Command:
    """Return a function that runs `switchboard --data-dir <tmp>/data …` and returns its result."""

    def call(
        *arguments: str | Path, code: int = 0, data: str = "data", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        store = tmp_path / data / "store"
        if arguments[0] == "run" and not store.exists():
            copy_migrated_store(store)
        done = warm.run(
            ["--data-dir", str(tmp_path / data), *map(str, arguments)],
            tmp_path,
            os.environ
            | {"COLUMNS": "200", "SWITCHBOARD_SECRET": "a secret for tests only"}
            | environment,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


@dataclass(frozen=True, slots=True)
class Browser:
    """A headless Chromium with a profile of its own."""

    program: str
    profile: Path

    def document(self, page: Path) -> str:
        """Return the document of a page as shown; fails if its console has a message."""
        done = self._run("--dump-dom", page.as_uri())
        assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
        return done.stdout

    def take_picture(self, page: Path, picture: Path) -> None:
        """Write a picture of a page as PNG."""
        self._run("--window-size=1060,2600", f"--screenshot={picture}", page.as_uri())
        assert picture.read_bytes().startswith(b"\x89PNG")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, *_QUIET, f"--user-data-dir={self.profile}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Return a Chromium, or skip the test where there is none.

    With SWITCHBOARD_REQUIRE_BROWSER=1 the test fails instead.
    """
    if _BROWSER is None:
        reason = (
            "no Chromium on this machine: install the package chromium to test the report in a"
            " browser"
        )
        if os.environ.get("SWITCHBOARD_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return Browser(_BROWSER, tmp_path / "profile")

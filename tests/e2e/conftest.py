"""What end-to-end tests share: the command line as a user calls it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

_BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET_BROWSER = [
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


@pytest.fixture
def switchboard(tmp_path: Path) -> Command:
    """Return a function that runs `switchboard --data-dir <tmp>/data …` in a folder of its own and returns what came of it."""

    def call(
        *arguments: str | Path, code: int = 0, data: str = "data", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "--data-dir", str(tmp_path / data), *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "200", "SWITCHBOARD_SECRET": "a secret for tests only"} | environment,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


@pytest.fixture
def browser() -> str:
    """Return the path of a Chromium, or skip where there is none (fail where SWITCHBOARD_REQUIRE_BROWSER is 1)."""
    if _BROWSER is None:
        reason = "no Chromium on this machine: install the package chromium to see the report as a browser does"
        if os.environ.get("SWITCHBOARD_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return _BROWSER

"""`demo`, and its report in headless Chromium: it loads nothing and runs no script."""

import subprocess
from pathlib import Path

from tests.e2e.conftest import QUIET_BROWSER, Command


def test_the_demo_prints_a_history_and_writes_a_report_that_a_browser_shows(
    switchboard: Command, tmp_path: Path, browser: str
) -> None:
    shown = switchboard("demo")
    assert "History of 林" in shown.stdout
    assert "price inquiry" in shown.stdout
    page = tmp_path / "data" / "report.html"
    assert str(page) in shown.stderr
    again = switchboard("demo")
    assert "nothing to do" in again.stderr

    done = subprocess.run(
        [
            browser,
            *QUIET_BROWSER,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    for words in (
        "Customer communication",
        "Volume by day and channel",
        "logistics",
        "lin.xiaojie@example.com",
        "C-2610-09",
    ):
        assert words in done.stdout
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []

    picture = tmp_path / "report.png"
    command = [
        browser,
        *QUIET_BROWSER,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--screenshot={picture}",
        page.as_uri(),
    ]
    subprocess.run([*command, "--window-size=1060,2600"], capture_output=True, check=True)
    assert picture.read_bytes().startswith(b"\x89PNG")

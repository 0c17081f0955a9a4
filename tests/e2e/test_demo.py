"""`demo`, and its report in headless Chromium: it loads nothing and runs no script."""

import shlex
import subprocess
from pathlib import Path

from tests.e2e.conftest import Browser, Command


def test_the_demo_prints_a_history_and_writes_a_report_that_a_browser_shows(
    switchboard: Command, tmp_path: Path, browser: Browser
) -> None:
    shown = switchboard("demo")
    assert "History of 林" in shown.stdout
    assert "price inquiry" in shown.stdout
    page = tmp_path / "data" / "report.html"
    assert str(page) in shown.stderr
    tried = next(line for line in shown.stderr.splitlines() if line.startswith("try: "))
    words = shlex.split(tried.removeprefix("try: "))
    assert "daily_volume" in words[-1]
    called = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "2026" in called.stdout
    again = switchboard("demo")
    assert "nothing to do" in again.stderr

    document = browser.document(page)
    for words in (
        "Customer communication",
        "Volume by day and channel",
        "logistics",
        "lin.xiaojie@example.com",
        "C-2610-09",
    ):
        assert words in document
    browser.take_picture(page, tmp_path / "report.png")

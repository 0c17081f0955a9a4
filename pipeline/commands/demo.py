"""The command `demo`: the whole way on the samples of this repository, ending with a history on
screen and a report.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cli.console import WRONG_USE, fail, note
from pipeline.cli.timeline_screen import show_timeline
from pipeline.commands.ingest import ingest_paths
from pipeline.commands.run import run_host
from pipeline.reporting.report import Period, write_report
from pipeline.reporting.timeline import timeline
from pipeline.settings import CONFIG_VARIABLE, Settings, load_settings
from pipeline.workspace import Workspace

_SAMPLES = Path(__file__).resolve().parents[2] / "samples"
# Which connector reads which part of the samples, in the order in which a person would tell the
# story.
_PARTS: tuple[tuple[str, str], ...] = (
    ("customers", "business/customers.csv"),
    ("email", "mail"),
    ("whatsapp-export", "chat"),
    ("asterisk-cdr", "calls/Master.csv"),
    ("events", "events/chat.jsonl"),
    ("orders", "business/orders.csv"),
    ("feedback", "business/feedback.csv"),
    ("complaints", "business/complaints.csv"),
)
_HERO = "lin.xiaojie@example.com"


@contextmanager
def _configured_by(path: Path) -> Iterator[None]:
    """Have settings read a file while inside, unless the environment names another; whoever calls
    keeps its environment.
    """
    named = CONFIG_VARIABLE in os.environ
    os.environ.setdefault(CONFIG_VARIABLE, str(path))
    try:
        yield
    finally:
        if not named:
            del os.environ[CONFIG_VARIABLE]


def run_demo(settings: Settings, samples: Path | None) -> None:
    """Ingest, run until idle, show one customer, write `report.html` into the data folder; a second
    run adds nothing.
    """
    folder = samples or _SAMPLES
    if not (folder / "switchboard.toml").exists():
        fail(
            f"{folder} holds no samples: run the demo from a checkout, or name the folder with"
            " --samples",
            WRONG_USE,
        )
    with _configured_by(folder / "switchboard.toml"):
        workspace = Workspace(load_settings(data_dir=settings.data_dir))
    for connector, part in _PARTS:
        ingest_paths(workspace, connector, [folder / part], None, (), {})
    run_host(workspace, until_idle=True)
    with workspace.reading() as warehouse:
        found = timeline(warehouse, workspace.settings.identity(), workspace.settings.tenant, _HERO)
        show_timeline(_HERO, found)
        period = Period.of(None, None, workspace.settings.timezone or "UTC")
        path = write_report(warehouse, workspace.settings.data_dir / "report.html", period)
    note(f"report: {path}")
    note(
        f"try: switchboard --data-dir {workspace.settings.data_dir} query 'SELECT * FROM"
        " daily_volume'"
    )

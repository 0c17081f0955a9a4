"""`demo`: ingest the samples, process them, and return the history of one customer."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.ingest import IngestTally, ingest_paths
from pipeline.commands.run import run_embedded
from pipeline.errors import UsageError
from pipeline.reporting.report import Period, write_report
from pipeline.reporting.timeline import Timeline, timeline
from pipeline.settings import CONFIG_VARIABLE, Settings, load_settings
from pipeline.workspace import Workspace

_SAMPLES = Path(__file__).resolve().parents[2] / "samples"
# The connector of each part of the samples, in the order of the story that they tell.
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
# A customer who wrote on every channel of the samples.
DEMO_CUSTOMER = "lin.xiaojie@example.com"


@dataclass(frozen=True)
class DemoResult:
    """What the demo processed, the timeline of one customer, the report file and data folder."""

    processed: Counter[str]
    timeline: Timeline
    report: Path
    data_dir: Path


@contextmanager
def _config_file(path: Path) -> Iterator[None]:
    """Let settings read a file inside the block, unless the environment names another."""
    set_before = CONFIG_VARIABLE in os.environ
    os.environ.setdefault(CONFIG_VARIABLE, str(path))
    try:
        yield
    finally:
        if not set_before:
            del os.environ[CONFIG_VARIABLE]


def run_demo(
    settings: Settings,
    samples: Path | None,
    on_ingested: Callable[[str, IngestTally], object] = lambda _connector, _tally: None,
) -> DemoResult:
    """Ingest the samples, run until idle and write `report.html`; a second run adds nothing.

    `on_ingested` gets the tally of each connector. Raises UsageError for a folder without samples.
    """
    folder = samples or _SAMPLES
    if not (folder / "switchboard.toml").exists():
        raise UsageError(
            f"{folder} contains no samples: run the demo from a checkout, or name the folder with"
            " --samples"
        )
    with _config_file(folder / "switchboard.toml"):
        workspace = Workspace(load_settings(data_dir=settings.data_dir))
    for connector, part in _PARTS:
        tally = ingest_paths(workspace, connector, [folder / part], None, (), {})
        on_ingested(connector, tally)
    processed = run_embedded(workspace, until_idle=True)
    with workspace.open_warehouse() as warehouse:
        history = timeline(
            warehouse, workspace.identity(), workspace.settings.tenant, DEMO_CUSTOMER
        )
        period = Period.of(None, None, workspace.settings.timezone or "UTC")
        report = write_report(warehouse, workspace.root / "report.html", period)
    return DemoResult(processed, history, report, workspace.root)

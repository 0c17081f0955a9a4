"""CONTRIBUTING's "How to add …", followed step by step in a copy of the tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]

_CONNECTOR = '''"""Connector for lists of voicemails: id, time, caller and text per line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from pipeline.ingest.byte_streams import Line, read_lines, reject_unreadable
from pipeline.ingest.port import ConnectorItem, IngestOptions, InputUnit, ReadEvent
from pipeline.ingest.text_files import (
    check_option_names,
    file_pattern,
    is_blank,
    line_locator,
    matching_units,
    reject_line,
    reject_oversize,
    source_name,
)
from schemas.dead_letters import RejectCode
from schemas.envelope import Event
from schemas.registry import explain

_MAX_LINE = 1024 * 1024


class VoicemailConnector:
    """Connector for lists of voicemails."""

    def __init__(self) -> None:
        self.name = "voicemail"
        self.version = "1"
        self.append_only = True
        self.summary = "voicemails as CSV without a header: id, time, caller, text"
        self.options = {"source": "name of the telephone system; default: voicemail"}

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        """Yield the files under the paths."""
        return matching_units(paths, file_pattern("voicemails"))

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        """Yield one event per line; a bad line is rejected alone."""
        check_option_names(options.extra, {}, self.name)
        return reject_unreadable(unit, self._items(unit, options))

    def _items(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        with unit.open() as stream:
            for line in read_lines(stream, _MAX_LINE):
                if line.oversize:
                    yield reject_oversize(unit, line.number, line.data, line.size, _MAX_LINE)
                elif not is_blank(line.data):
                    yield self._item(unit, line, options)

    def _item(self, unit: InputUnit, line: Line, options: IngestOptions) -> ConnectorItem:
        try:
            (cells,) = csv.reader([line.data.decode().rstrip("\\r\\n")], strict=True)
            number, time, caller, text = cells
            data = {"channel": "other", "text": text, "from": {"phone": caller}}
            event = Event(
                id=number,
                source=source_name(options, self.name),
                type="comm.message.received",
                time=time,
                tenant=options.tenant,
                locator=line_locator(unit, line.number),
                connector=f"{self.name}/{self.version}",
                data=data,
            )
        except ValidationError as error:
            return reject_line(unit, line.number, line.data, *explain(error))
        except (ValueError, csv.Error) as error:
            what = f"{error}: write id, time, caller and text"
            return reject_line(unit, line.number, line.data, RejectCode.UNPARSABLE, what)
        return ReadEvent(event, line.data)
'''
_VOICEMAILS = """\
v1,2026-11-02T09:00:00+08:00,+8613800000001,"Thanks, the new kettle is wonderful, I love it"
v2,2026-11-02T09:05:00+08:00,+8613800000002,This is terrible and I am very disappointed
"""
_HEAD = """    Head(
        name="mood",
        meaning=Meaning("mood of the caller", "来电者的心情"),
        labels={
            label: Meaning(label.replace("_", " "), label)
            for label in ("very_negative", "negative", "neutral", "positive", "very_positive")
        },
        rule=rules.sentiment,
        threshold=0.4,
    ),
)
"""
_METRIC = """\
QUEUE_FREE = _declare(
    "switchboard_queue_free", "gauge", "Free places in the queue of a stage.", ("stage",)
)
"""
_VIEW = """-- Voicemails.

CREATE VIEW IF NOT EXISTS voicemails
(
    record_id UUID COMMENT 'Record of the voicemail',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it was left, UTC',
    text String COMMENT 'What was said'
)
AS SELECT record_id, occurred_at, body_text AS text
FROM communications WHERE startsWith(connector, 'voicemail/')
COMMENT 'Voicemails; one row per record';
"""
_SECTION = """    TableSection(
        "Voicemails",
        f"SELECT text FROM voicemails WHERE {_WITHIN} ORDER BY occurred_at",
        {"text": "Text"},
    ),
)
"""
# What follows the additions in an installation: one process runs the commands and prints results.
_OBSERVE = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
from pipeline.cli import app

folder = Path(sys.argv[1])

def call(*arguments):
    done = CliRunner().invoke(app, ["--data-dir", str(folder / "data"), *arguments])
    if done.exit_code:
        raise SystemExit(f"{arguments}: {done.output}") from done.exception
    return done.stdout

def rows(sql):
    return [json.loads(line) for line in call("query", sql, "--format", "JSONEachRow").splitlines()]

call("ingest", "voicemail", str(folder / "list.voicemails"))
call("run", "--until-idle")
call("report", "--out", str(folder / "report.html"))
print(json.dumps({
    "predictions": rows("SELECT label FROM predictions WHERE head = 'mood' ORDER BY label"),
    "communications": rows(
        "SELECT mood, mood_p, mood_abstained, mood_version, answers, answers_p, sentiment"
        " FROM communications ORDER BY event_id"
    ),
    "history": rows("SELECT answers FROM history ORDER BY occurred_at"),
    "timeline": call("history", "+8613800000002"),
    "voicemails": rows("SELECT text FROM voicemails ORDER BY occurred_at"),
}))
"""


@dataclass(frozen=True)
class Copy:
    """A copy of the tree with the additions, generated files and results."""

    tree: Path
    results: dict[str, Any]
    report: str
    laws: str


def _run(tree: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "PYTHONUTF8": "1",
        "COLUMNS": "200",
        "SWITCHBOARD_SECRET": "a secret for tests only",
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _output(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def _copy_tree(tree: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=_ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in listed.rstrip("\0").split("\0"):
        if (_ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_ROOT / name, tree / name)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} times: {old}"
    path.write_text(text.replace(old, new), "utf-8")


def _replace_end(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.endswith(old), f"{path.name} does not end with {old}"
    path.write_text(text.removesuffix(old) + new, "utf-8")


def _add_connector(tree: Path) -> None:
    _write(
        tree / "pipeline/ingest/voicemail/__init__.py",
        '"""Lists of voicemails."""\n',
    )
    _write(tree / "pipeline/ingest/voicemail/voicemail_connector.py", _CONNECTOR)
    registry = tree / "pipeline/ingest/registry.py"
    row = "        EventsConnector(),\n"
    _replace(registry, row, f"{row}        VoicemailConnector(),\n")
    _replace(
        registry,
        "from pipeline.ingest.port import Connector\n",
        "from pipeline.ingest.port import Connector\n"
        "from pipeline.ingest.voicemail.voicemail_connector import VoicemailConnector\n",
    )
    _write(tree / "tests/seeds/voicemail/two.voicemails", _VOICEMAILS)


def _add_view(tree: Path) -> None:
    folder = tree / "schemas/clickhouse"
    number = len(list(folder.glob("[0-9]*.sql"))) + 1
    _write(folder / f"{number:04d}_voicemails.sql", _VIEW)
    _replace_end(tree / "pipeline/reporting/report_queries.py", ")\n", _SECTION)


def _generate_commands() -> list[str]:
    recipe = re.search(
        r"^generate:.*\n((?:\t.*\n)+)", (_ROOT / "Makefile").read_text("utf-8"), re.M
    )
    assert recipe
    return re.findall(r"\$\(BIN\)/python -m (\S+)", recipe[1])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("copy")
    tree = folder / "tree"
    _copy_tree(tree)
    _add_connector(tree)
    _add_view(tree)
    _replace_end(tree / "pipeline/models/heads.py", ")\n", _HEAD)
    metrics = tree / "pipeline/metrics.py"
    _replace(metrics, "OUTCOMES = _declare(\n", f"{_METRIC}OUTCOMES = _declare(\n")
    for module in _generate_commands():
        _output(_run(tree, "-m", module))
    laws = _run(
        tree,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "-k",
        "voicemail",
        "tests/contract/test_connector_laws.py",
    )
    _write(folder / "list.voicemails", _VOICEMAILS)
    observed = _output(_run(tree, "-c", _OBSERVE, str(folder)))
    return Copy(
        tree,
        json.loads(observed.splitlines()[-1]),
        (folder / "report.html").read_text("utf-8"),
        _output(laws),
    )


def test_a_connector_is_a_folder_and_a_row_and_obeys_the_laws(copy: Copy) -> None:
    assert re.search(r"^\d+ passed", copy.laws, re.M), copy.laws
    assert [row["text"] for row in copy.results["voicemails"]] == [
        "Thanks, the new kettle is wonderful, I love it",
        "This is terrible and I am very disappointed",
    ]
    assert "| voicemail |" in (copy.tree / "docs/reference.md").read_text("utf-8")


def test_a_head_is_one_entry_and_make_generate(copy: Copy) -> None:
    communications = copy.results["communications"]
    assert [row["label"] for row in copy.results["predictions"]] == sorted(
        row["mood"] for row in communications
    )
    for row, event in zip(communications, copy.results["history"], strict=True):
        assert row["mood"] == row["answers"]["mood"] == event["answers"]["mood"] == row["sentiment"]
        assert row["mood_p"] == row["answers_p"]["mood"] > 0
        assert row["mood_version"].startswith("rules/")
        assert not row["mood_abstained"]
    assert f"mood: {communications[1]['mood'].replace('_', ' ')}" in copy.results["timeline"]
    assert "<h2>Mood</h2>" in copy.report
    reference = (copy.tree / "docs/reference.md").read_text("utf-8")
    assert "| mood |  | mood of the caller | 来电者的心情 |" in reference
    assert "| mood_abstained | Bool |" in reference
    dashboard = (copy.tree / "deploy/grafana/dashboards/analysts.json").read_text("utf-8")
    assert '"title": "Mood"' in dashboard


def test_a_metric_is_one_declaration(copy: Copy) -> None:
    reference = (copy.tree / "docs/reference.md").read_text("utf-8")
    assert "| switchboard_queue_free | gauge | stage |" in reference
    dashboard = (copy.tree / "deploy/grafana/dashboards/operations.json").read_text("utf-8")
    assert "switchboard_queue_free" in dashboard


def test_a_view_is_a_migration_and_its_section_of_the_report_an_entry(copy: Copy) -> None:
    assert len(copy.results["voicemails"]) == 2
    reference = (copy.tree / "docs/reference.md").read_text("utf-8")
    assert "### voicemails (view)\n\nVoicemails; one row per record\n" in reference
    assert "| occurred_at | DateTime64(3, 'UTC') | When it was left, UTC |" in reference
    assert "<h2>Voicemails</h2>" in copy.report
    assert "I am very disappointed" in copy.report

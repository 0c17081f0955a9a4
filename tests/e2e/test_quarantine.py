"""`run` sets aside a record that keeps its process busy for ever, and goes on with the rest."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.conftest import Command
from tests.support.events import make_events
from tests.support.installations import as_lines

_ENDLESS = Path(__file__).resolve().parents[1] / "support" / "endless"


def test_a_record_that_takes_for_ever_is_a_dead_letter(
    switchboard: Command, tmp_path: Path
) -> None:
    events = [event for event in make_events(60) if event["data"].get("channel") == "chat"][:12]
    slow = json.loads(json.dumps(events[0])) | {"id": "endless"}
    slow["data"]["text"] = "TAKES-FOREVER 我想退货"
    (tmp_path / "events.jsonl").write_text(as_lines([*events[:5], slow, *events[5:]]), "utf-8")
    switchboard("ingest", "events", tmp_path / "events.jsonl")
    done = switchboard("run", "--until-idle", "--json", PYTHONPATH=str(_ENDLESS))
    assert json.loads(done.stdout)["enrich"] == len(events) + 1
    assert "by signal 26" in done.stderr
    (letter,) = json.loads(switchboard("dlq", "list", "--open", "--json").stdout)
    assert letter["reason_code"] == "slow"
    assert "processors/redact.py" in letter["message"]
    count = switchboard("query", "SELECT count() FROM communications", "--format", "TSV").stdout
    assert int(count.split()[-1]) == len(events)

"""`trace` finds an event wherever it is, and shows its steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Command
from tests.support.installations import as_lines

_CHAT = {
    "id": "m-1",
    "source": "shop/web",
    "type": "comm.message.received",
    "time": "2026-11-01T10:00:00Z",
    "data": {
        "channel": "chat",
        "conversation": "c-1",
        "from": {"name": "Lin", "phone": "+8613800000001"},
        "text": "明天下午给我回电话，我想知道这款茶壶的价格",
    },
}


def test_an_event_is_traced_while_it_waits_and_when_it_is_loaded(
    switchboard: Command, tmp_path: Path
) -> None:
    broken = {**_CHAT, "id": "m-2", "data": {**_CHAT["data"], "channel": "smoke"}}  # type: ignore[dict-item]
    (tmp_path / "events.jsonl").write_text(as_lines([_CHAT, broken]), "utf-8")
    switchboard("ingest", "events", tmp_path / "events.jsonl")

    def traced(event: str, *more: str) -> list[dict[str, Any]]:
        (found,) = json.loads(switchboard("trace", event, "--json", *more).stdout)
        steps: list[dict[str, Any]] = found["steps"]
        return steps

    (waiting,) = traced("m-1")
    assert waiting["place"] == "waits for enrich"
    assert waiting["what"].startswith("raw.chat.v1/")
    switchboard("run", "--until-idle")
    steps = traced("m-1")
    places = [step["place"] for step in steps]
    assert places[:2] == ["arrived", "cleaned"]
    assert places[-1] == "in the history"
    assert {"classified", "conversation", "follow-up"} <= set(places)
    assert "events.jsonl" in steps[0]["what"]
    record_id = steps[-1]["what"].rpartition(" ")[2]
    assert traced(record_id) == steps
    assert traced("m-1", "--source", "shop/web") == steps
    (refused,) = traced("m-2")
    assert "data.channel" in refused["what"]
    shown = switchboard("trace", "m-1").stdout
    assert "need: " in shown
    assert "follow-up" in shown
    assert "'m-3' is unknown" in switchboard("trace", "m-3", code=1).stderr
    assert "'m-1' is unknown" in switchboard("trace", "m-1", "--source", "elsewhere", code=1).stderr

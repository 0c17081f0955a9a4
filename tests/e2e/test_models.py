"""The commands `labels` and `models` on one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.envelope import record_id_of
from tests.e2e.conftest import Command
from tests.support.installations import as_lines


def _events(count: int) -> list[dict[str, Any]]:
    return [
        {
            "specversion": "1.0",
            "id": f"m{place}",
            "source": "shop/web",
            "type": "comm.message.received",
            "time": f"2026-11-01T10:{place:02}:00Z",
            "data": {
                "channel": "chat",
                "text": f"发票在哪里 invoice {place}",
                "from": {"phone": f"+86138{place:08}"},
            },
        }
        for place in range(count)
    ]


def _id(place: int) -> str:
    return str(record_id_of("default", "shop/web", f"m{place}"))


def _show(switchboard: Command, *arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(switchboard("models", "show", *arguments, "--json").stdout)
    return found


def _ask(switchboard: Command, sql: str) -> list[dict[str, Any]]:
    answered = switchboard("query", sql, "--format", "JSONEachRow").stdout
    return [json.loads(line) for line in answered.splitlines()]


def test_labels_are_corrected_retracted_and_forgotten(switchboard: Command, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(as_lines(_events(4)), "utf-8")
    switchboard("ingest", "events", tmp_path / "events.jsonl")
    switchboard("run", "--until-idle")
    rows = [f"{_id(place)},need,invoice" for place in range(4)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["record_id,head,value", *rows]) + "\n", "utf-8")
    switchboard("labels", "import", labels)
    switchboard("run", "--until-idle")
    first = _show(switchboard)
    assert (
        first["effective_labels"],
        first["heads"][0]["tests"],
        first["heads"][0]["rule_accuracy"],
    ) == (
        4,
        4,
        1.0,
    )
    switchboard("label", _id(0), "need", "complaint", "--by", "wei")
    switchboard("labels", "retract", _id(1), "need", "--by", "wei")
    switchboard("labels", "import", labels)
    switchboard("run", "--until-idle")
    held = _ask(
        switchboard,
        "SELECT toString(record_id) AS id, value, correct FROM assessments ORDER BY offset",
    )
    values = {row["id"]: row["value"] for row in held}
    assert values == {_id(0): "complaint", _id(2): "invoice", _id(3): "invoice"}
    assert [row["correct"] for row in held if row["id"] == _id(0)] == [False]
    (quality,) = _ask(
        switchboard,
        "SELECT tests, accuracy FROM model_quality WHERE head = 'need' AND day IS NULL AND language"
        " = 'all'",
    )
    assert (int(quality["tests"]), round(quality["accuracy"], 3)) == (3, 0.667)
    message = switchboard("labels", "forget", "--customer", "+8613800000002").stderr
    assert "generation 1: 2 labels copied" in message
    switchboard("run", "--until-idle")
    assert _show(switchboard)["effective_labels"] == 2
    assert (
        "contains no customer"
        in switchboard("labels", "forget", "--customer", "nobody", code=2).stderr
    )
    assert "is no label" in switchboard("label", _id(0), "need", "weather", code=1).stderr


def test_versions_are_pinned_rolled_back_and_exported(switchboard: Command, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(as_lines(_events(3)), "utf-8")
    switchboard("ingest", "events", tmp_path / "events.jsonl")
    switchboard("run", "--until-idle")
    for place in range(3):
        switchboard("label", _id(place), "sentiment", "neutral")
        switchboard("run", "--until-idle")
    last = _show(switchboard)
    early = _show(switchboard, last["version"].replace("0/2/", "0/0/"))
    assert (early["effective_labels"], last["effective_labels"]) == (1, 3)
    switchboard("models", "export", early["version"], "--out", tmp_path / "models.bin")
    assert _show(switchboard, "--file", tmp_path / "models.bin") == early
    switchboard("models", "pin", "0/0", "--reason", "before the sale")
    switchboard("models", "rollback", "0/1")
    whats = [
        (row["what"], row["version"])
        for row in json.loads(switchboard("models", "list", "--json").stdout)
    ]
    assert ("pin", "0/0") in whats
    assert ("rollback", "0/1") in whats
    assert whats[-1] == ("answers now", early["version"])
    switchboard("models", "unpin")
    switchboard("run", "--until-idle")
    now = _show(switchboard)
    assert (now["effective_labels"], now["version"].split("/")[:2]) == (2, ["0", "4"])
    for wrong, problem in (
        ("0/99", "is not in generation 0"),
        ("7/1", "generation 7 is deleted"),
        ("new", "is not a version"),
    ):
        assert problem in switchboard("models", "rollback", wrong, code=1).stderr
    (tmp_path / "models.bin").write_bytes(b"harmed")
    assert (
        "models.bin"
        in switchboard("models", "show", "--file", tmp_path / "models.bin", code=1).stderr
    )


def test_a_bad_line_of_a_label_file_is_named_and_the_rest_is_imported(
    switchboard: Command, tmp_path: Path
) -> None:
    lines = [
        {
            "record_id": _id(0),
            "head": "need",
            "value": "invoice",
            "labelled_at": "2026-11-01T10:00:00+08:00",
        },
        {
            "record_id": _id(0),
            "head": "need",
            "value": "invoice",
            "labelled_at": "2026-11-01T10:00:00",
        },
        {"record_id": _id(0), "head": "need", "value": "invoice", "weight": "heavy"},
        {"record_id": "7", "head": "need", "value": "invoice"},
    ]
    (tmp_path / "labels.jsonl").write_text(as_lines(lines) + "{broken\n", "utf-8")
    message = switchboard("labels", "import", tmp_path / "labels.jsonl", code=1).stderr
    for place, problem in (
        (2, "labelled_at: "),
        (3, "weight: 'heavy'"),
        (4, "record_id: '7'"),
        (5, "not JSON"),
    ):
        assert f"labels.jsonl:{place}: {problem}" in message
    assert "1 label imported, 4 rows rejected" in message

"""A custom head from its file to the report: review, explain and reclassify."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Command

HEADS = """
[heads.visa]
en = "about which visa"
zh = "签证类型"
[heads.visa.labels.tourist]
en = "to travel"
terms = ["tourist visa", "旅游签证"]
[heads.visa.labels.work]
en = "to work"
terms = ["work permit", "工作签证"]
"""
TEXTS = (
    "想退款，另外问一下几点开门",
    "How long does a tourist visa take? [/b]\x1b[31m",
    "请问工作签证需要什么材料",
    "I want a refund and also your opening hours",
)


def events(path: Path) -> Path:
    lines = [
        {
            "specversion": "1.0",
            "id": f"m{number}",
            "source": "shop/web",
            "type": "comm.message.received",
            "time": f"2026-11-0{number + 1}T10:00:00Z",
            "data": {
                "channel": "chat",
                "direction": "inbound",
                "from": {"phone": "+8613800000001"},
                "text": text,
            },
        }
        for number, text in enumerate(TEXTS)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def rows(switchboard: Command, sql: str, **environment: str) -> list[dict[str, Any]]:
    text = switchboard("query", "--format", "JSONEachRow", sql, **environment).stdout
    return [json.loads(line) for line in text.splitlines()]


def the_models_know_it_and_its_label_is_taken_back(
    switchboard: Command, with_file: dict[str, str]
) -> None:
    (shown,) = [
        head
        for head in json.loads(switchboard("models", "show", "--json", **with_file).stdout)["heads"]
        if head["head"] == "visa"
    ]
    assert (shown["labels"], shown["tests"]) == (1, 1)
    labelled = next(
        row["record_id"]
        for row in rows(switchboard, "SELECT toString(record_id) AS record_id FROM labels")
    )
    assert "none of need" in switchboard("labels", "retract", labelled, "visa", code=1).stderr
    switchboard("labels", "retract", labelled, "visa", **with_file)
    switchboard("run", "--until-idle", **with_file)
    taken = rows(switchboard, "SELECT head, value FROM labels ORDER BY value")
    assert taken == [{"head": "visa", "value": ""}, {"head": "visa", "value": "work"}]


def test_a_custom_head_is_answered_reviewed_explained_and_reclassified(
    switchboard: Command, tmp_path: Path
) -> None:
    path = tmp_path / "heads.toml"
    path.write_text(HEADS, "utf-8")
    with_file = {"SWITCHBOARD_HEADS": str(path)}
    switchboard("ingest", "events", events(tmp_path / "chats.jsonl"))
    switchboard("run", "--until-idle")
    needs = rows(
        switchboard, "SELECT need, need_also, answers FROM communications ORDER BY event_id"
    )
    assert [(row["need"], row["need_also"]) for row in needs[::3]] == [
        ("refund_return", ["other"])
    ] * 2
    assert all("visa" not in row["answers"] for row in needs)

    # The head is put to the history that was there before it.
    dry = json.loads(
        switchboard("reclassify", "--head", "visa", "--dry-run", "--json", **with_file).stdout
    )
    # All get the head's key, also the two to which the head does not apply.
    assert (dry["records"], dry["answers"]) == (4, 4)
    switchboard("reclassify", "--head", "visa", "--until", "2026-11-02", **with_file)
    switchboard("reclassify", "--head", "visa", **with_file)
    switchboard("run", "--until-idle", **with_file)
    own = rows(
        switchboard,
        "SELECT event_id, answers['visa'] AS visa, record_id FROM communications ORDER BY event_id",
    )
    assert [row["visa"] for row in own] == ["", "tourist", "work", ""]
    answers = rows(switchboard, "SELECT label FROM predictions WHERE head = 'visa' ORDER BY label")
    assert [row["label"] for row in answers] == ["", "", "tourist", "work"]
    assert (
        json.loads(switchboard("reclassify", "--head", "visa", "--json", **with_file).stdout)[
            "answers"
        ]
        == 0
    )

    # What is unsure is asked about; the answers go the way of all labels.
    listed = switchboard("review", "--head", "visa", "--json", **with_file).stdout
    assert {json.loads(line)["text"] for line in listed.splitlines()} >= {TEXTS[0], TEXTS[2]}
    keys = tmp_path / "keys"
    keys.write_text("1\nu\n2\nx\ns\nq\n", "utf-8")
    shown = switchboard("review", "--head", "visa", "--answers", keys, "--by", "anna", **with_file)
    assert "1 label published" in shown.stderr
    assert "\x1b[31m" not in shown.stderr
    switchboard("run", "--until-idle", **with_file)
    (label,) = rows(switchboard, "SELECT head, value, by FROM labels")
    assert label == {"head": "visa", "value": "work", "by": "anna"}
    assert (
        "no label of visa"
        in switchboard("label", own[0]["record_id"], "visa", "study", code=1, **with_file).stderr
    )

    the_models_know_it_and_its_label_is_taken_back(switchboard, with_file)

    # Why: the terms that spoke, in either language; a record that is not there is said so.
    for place, term, value in ((1, "tourist visa", "tourist"), (2, "工作签证", "work")):
        (why,) = json.loads(
            switchboard(
                "explain", own[place]["record_id"], "--head", "visa", "--json", **with_file
            ).stdout
        )
        assert (why["label"], why["rule"]["terms"], why["note"]) == (value, [term], "")
    assert "tourist visa" in switchboard("explain", own[1]["record_id"], **with_file).stdout
    missing = switchboard("explain", "00000000-0000-0000-0000-000000000000", code=1)
    assert "the history contains no record" in missing.stderr

    # The head shows in a history and in the report, and goes on showing when its file is gone.
    history = json.loads(switchboard("history", "+8613800000001", "--json").stdout)
    assert history["events"][2]["answers"]["visa"] == "work"
    assert "visa: work" in switchboard("history", "+8613800000001").stdout
    switchboard("report", "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<h2>Visa</h2>" in page
    assert "tourist" in page
    assert "there is no head visa" in switchboard("reclassify", "--head", "visa", code=1).stderr
    path.write_text(HEADS.replace('en = "to work"', 'en = ""'), "utf-8")
    wrong = switchboard("run", "--until-idle", code=1, **with_file)
    assert f"{path}: heads.visa.labels.work.en" in wrong.stderr

"""Events from files to the history, with the commands that a user types."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import record_id_of
from tests.e2e.conftest import Command
from tests.support.events import make_events

CHAT: dict[str, Any] = {
    "channel": "chat",
    "direction": "inbound",
    "conversation": "c1",
    "from": {"phone": "+8613800000001", "name": "示例客户"},
    "to": [{"handle": "support"}],
    "text": "我需要了解您的产品价格和交易方式",
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "m1",
    "source": "shop/web",
    "type": "comm.message.received",
    "time": "2026-11-01T10:00:00Z",
    "data": CHAT,
}


def write(path: Path, *lines: Any) -> Path:
    path.write_text(
        "".join(
            (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n"
            for line in lines
        ),
        "utf-8",
    )
    return path


def ask(switchboard: Command, sql: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in switchboard("query", sql, "--format", "JSONEachRow").stdout.splitlines()
    ]


def with_data(**changes: Any) -> dict[str, Any]:
    """Return the event with some of its data changed."""
    return {**EVENT, "data": {**CHAT, **changes}}


def test_one_chat_message_from_a_file_to_the_history(switchboard: Command, tmp_path: Path) -> None:
    switchboard("ingest", "events", write(tmp_path / "chat.jsonl", EVENT))
    shown = switchboard("run", "--until-idle").stderr
    assert f"running all stages in {tmp_path / 'data'}, stopping when they have caught up" in shown
    (row,) = ask(switchboard, "SELECT * FROM communications")
    assert row["record_id"] == str(record_id_of("default", "shop/web", "m1"))
    assert (row["channel"], row["direction"], row["occurred_at"]) == (
        "chat",
        "inbound",
        "2026-11-01 10:00:00.000",
    )
    assert (row["contact"], row["contact_name"]) == ("phone:+8613800000001", "示例客户")
    assert (row["body_text"], row["reply_text"], row["language"]) == (
        CHAT["text"],
        CHAT["text"],
        "zh",
    )
    assert (row["need"], row["purchase_intent"] in ("exploring", "considering")) == (
        "price_inquiry",
        True,
    )
    for head in ("need", "sentiment", "urgency", "spam", "purchase_intent"):
        assert {f"{head}_p", f"{head}_abstained", f"{head}_version"} <= row.keys()
    shown = switchboard("history", "138 0000 0001", SWITCHBOARD_REGION="CN").stdout
    assert "示例客户" in shown
    assert "price inquiry" in shown


def test_the_same_file_twice_adds_nothing_and_a_grown_file_is_continued(
    switchboard: Command, tmp_path: Path
) -> None:
    path = write(tmp_path / "chat.jsonl", EVENT, EVENT | {"id": "m2"})
    first = json.loads(switchboard("ingest", "events", path, "--json").stdout)
    assert (first["published"], first["listed"][0]["unchanged"]) == (2, False)
    again = json.loads(switchboard("ingest", "events", path, "--json").stdout)
    assert (again["published"], again["listed"][0]["unchanged"]) == (0, True)
    switchboard("run", "--until-idle")
    write(path, EVENT, EVENT | {"id": "m2"}, EVENT | {"id": "m3"})
    switchboard("ingest", "events", path)
    switchboard("run", "--until-idle")
    assert ask(switchboard, "SELECT event_id FROM communications ORDER BY event_id") == [
        {"event_id": f"m{n}"} for n in (1, 2, 3)
    ]
    (account,) = json.loads(switchboard("status", "--json").stdout)["accounts"]
    assert account == {
        "connector": "events",
        "read": 3,
        "records": 3,
        "repeats": 0,
        "dead_letters": 0,
        "missing": 0,
    }


def test_a_redelivery_is_one_flagged_record_and_the_reconciliation_is_exact(
    switchboard: Command, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "chat.jsonl",
        EVENT,
        "{broken",
        EVENT | {"id": "m2"},
        EVENT,
        EVENT | {"type": "comm.fax"},
    )
    switchboard("ingest", "events", path)
    switchboard("run", "--until-idle")
    flags = {
        row["event_id"]: row["quality_flags"]
        for row in ask(switchboard, "SELECT event_id, quality_flags FROM communications")
    }
    assert flags == {"m1": ["repeated"], "m2": []}
    (account,) = json.loads(switchboard("status", "--json").stdout)["accounts"]
    assert account == {
        "connector": "events",
        "read": 5,
        "records": 2,
        "repeats": 1,
        "dead_letters": 2,
        "missing": 0,
    }


def test_another_event_with_the_same_id_is_a_correction_that_the_history_shows(
    switchboard: Command, tmp_path: Path
) -> None:
    switchboard("ingest", "events", write(tmp_path / "first.jsonl", EVENT))
    switchboard(
        "ingest", "events", write(tmp_path / "second.jsonl", with_data(text="a correction"))
    )
    switchboard("run", "--until-idle")
    (row,) = ask(switchboard, "SELECT body_text, quality_flags FROM communications")
    assert row == {"body_text": "a correction", "quality_flags": ["repeated"]}
    (row,) = ask(switchboard, "SELECT deliveries, bodies FROM repeats")
    assert (int(row["deliveries"]), int(row["bodies"])) == (2, 2)


def test_rows_ingested_again_with_another_option_are_neither_missing_nor_counted_twice(
    switchboard: Command, tmp_path: Path
) -> None:
    path = write(tmp_path / "chat.jsonl", EVENT, "{broken")
    switchboard("ingest", "events", path)
    switchboard("ingest", "events", path, "--timezone", "Asia/Shanghai")
    switchboard("run", "--until-idle")

    def account(code: int = 0) -> dict[str, Any]:
        (account,) = json.loads(switchboard("status", "--json", code=code).stdout)["accounts"]
        return {name: account[name] for name in ("read", "records", "dead_letters", "missing")}

    assert account() == {"read": 2, "records": 1, "dead_letters": 1, "missing": 0}
    switchboard("ingest", "events", write(path, EVENT | {"id": "lost"}))
    # It exits with 1, for the event waits and nobody works.
    assert account(code=1) == {"read": 3, "records": 1, "dead_letters": 1, "missing": 1}


def test_a_rejection_names_file_line_and_field_and_keeps_the_bytes(
    switchboard: Command, tmp_path: Path
) -> None:
    bad = EVENT | {"id": "bad", "data": {"channel": "fax", "text": "x"}}
    path = write(tmp_path / "chat.jsonl", EVENT, bad)
    hint = "1 item rejected: after `switchboard run`, `switchboard dlq list` shows why"
    assert hint in switchboard("ingest", "events", path).stderr
    switchboard("run", "--until-idle")
    (letter,) = json.loads(switchboard("dlq", "list", "--json").stdout)
    assert (letter["reason_code"], letter["stage"]) == ("schema_enum", "collect")
    assert "data.channel" in letter["message"]
    assert "'email', 'call', 'chat'" in letter["message"]
    assert letter["locator"].startswith(str(path))
    raw = switchboard("dlq", "show", letter["dead_letter_id"][:8], "--raw").stdout
    assert json.loads(raw) == bad
    refused = switchboard("dlq", "replay", "--all", code=1).stderr
    assert "1 would be rejected again" in refused
    assert "data.channel" in refused
    switchboard("run", "--until-idle")
    (letter,) = json.loads(switchboard("dlq", "list", "--json").stdout)
    assert (letter["replays"], letter["replay_outcome"]) in ((1, "refused"), ("1", "refused"))


def test_a_label_before_its_record_is_a_dead_letter_until_replayed(
    switchboard: Command, tmp_path: Path
) -> None:
    record_id = str(record_id_of("default", "shop/web", "m1"))
    label = {"specversion": "1.0", "id": "l1", "source": "desk", "type": "comm.label.given"}
    label |= {"data": {"record_id": record_id, "head": "need", "value": "payment"}}
    switchboard("ingest", "events", write(tmp_path / "labels.jsonl", label))
    switchboard("run", "--until-idle")
    (letter,) = json.loads(switchboard("dlq", "list", "--json").stdout)
    assert letter["reason_code"] == "unknown_record"
    switchboard("dlq", "replay", "--all", code=1)
    switchboard("ingest", "events", write(tmp_path / "chat.jsonl", EVENT))
    switchboard("run", "--until-idle")
    switchboard("dlq", "replay", "--all")
    assert json.loads(switchboard("run", "--until-idle", "--json").stdout)["learn"] == 1
    assert ask(switchboard, "SELECT head, value FROM labels") == [
        {"head": "need", "value": "payment"}
    ]


def test_labels_by_command_and_by_file(switchboard: Command, tmp_path: Path) -> None:
    switchboard("ingest", "events", write(tmp_path / "chat.jsonl", EVENT, EVENT | {"id": "m2"}))
    switchboard("run", "--until-idle")
    record_id = str(record_id_of("default", "shop/web", "m1"))
    switchboard("label", record_id, "sentiment", "neutral", "--by", "wei")
    assert (
        "is no label of need; labels are"
        in switchboard("label", record_id, "need", "weather", code=1).stderr
    )
    unknown = record_id_of("default", "shop/web", "other")
    assert "contains no record" in switchboard("label", unknown, "need", "payment", code=1).stderr
    rows = (
        "record_id,source,event_id,head,value\n"
        + f"{record_id},,,need,price_inquiry\n,shop/web,m2,need,payment\n,,,need,payment\n"
    )
    (tmp_path / "labels.csv").write_text(rows)
    message = switchboard("labels", "import", tmp_path / "labels.csv", code=1).stderr
    assert "labels.csv:4: the row needs a record_id, or a source and an event_id" in message
    assert "2 labels imported, 1 row rejected" in message
    assert json.loads(switchboard("run", "--until-idle", "--json").stdout)["learn"] == 3
    assert len(ask(switchboard, "SELECT * FROM labels")) == 3


def test_queries_are_read_only(switchboard: Command) -> None:
    assert "error:" in switchboard("query", "DROP TABLE communication_rows", code=1).stderr
    assert (
        switchboard("query", "SELECT 1 AS one", "--format", "CSVWithNames").stdout == '"one"\n1\n'
    )


def test_errors_say_what_to_do(switchboard: Command, tmp_path: Path) -> None:
    assert (
        "there is no connector 'fax'; the connectors are"
        in switchboard("ingest", "fax", tmp_path, code=2).stderr
    )
    assert (
        "no such file" in switchboard("ingest", "events", tmp_path / "nowhere.jsonl", code=1).stderr
    )
    assert (
        "--timezone"
        in switchboard("ingest", "asterisk-cdr", write(tmp_path / "Master.csv", "x"), code=2).stderr
    )
    assert "contains no customer" in switchboard("history", "nobody@example.com", code=1).stderr
    assert (
        "IANA time zone"
        in switchboard("status", code=1, SWITCHBOARD_TIMEZONE="Mars/Olympus").stderr
    )
    assert "region" in switchboard("status", code=1, SWITCHBOARD_REGION="Atlantis").stderr


@pytest.mark.parametrize(
    "text", ["[/b][red]x", "\x1b[2J\x1b]0;owned\x07", "a\u202eb\u0000c", "=HYPERLINK(1)"]
)
def test_texts_of_customers_cannot_control_the_terminal(
    switchboard: Command, tmp_path: Path, text: str
) -> None:
    event = with_data(text=text, **{"from": {"phone": "+8613800000001", "name": text}})
    switchboard("ingest", "events", write(tmp_path / "chat.jsonl", event))
    switchboard("run", "--until-idle")
    shown = switchboard("history", "+8613800000001").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_report_is_self_contained_and_escapes_everything(
    switchboard: Command, tmp_path: Path
) -> None:
    hostile = "<script>alert(1)</script>"
    named = with_data(text=hostile, **{"from": {"phone": "+8613800000001", "name": hostile}})
    complaint = {
        "complaint_id": hostile,
        "customer": {"phone": "+8613800000001"},
        "reason": "delivery",
        "text": hostile,
    }
    opened = EVENT | {"id": "x1", "type": "crm.complaint.opened", "data": complaint}
    switchboard("ingest", "events", write(tmp_path / "chat.jsonl", named, opened))
    switchboard("run", "--until-idle")
    switchboard("report", "--out", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (
        "a day as 2026-08-01"
        in switchboard(
            "report", "--out", tmp_path / "r.html", "--since", "yesterday", code=1
        ).stderr
    )


def test_an_empty_installation_answers_queries(switchboard: Command, tmp_path: Path) -> None:
    assert ask(switchboard, "SELECT * FROM history") == []
    switchboard("report", "--out", tmp_path / "r.html")
    assert json.loads(switchboard("status", "--json").stdout)["accounts"] == []
    assert json.loads(switchboard("run", "--until-idle", "--json").stdout) == {}


def test_contact_points_of_one_event_join_a_history(switchboard: Command, tmp_path: Path) -> None:
    both = with_data(**{"from": {"phone": "+8613800000001", "email": "li@example.com"}}) | {
        "id": "m2"
    }
    order = {
        "order_id": "SO-1",
        "customer": {"email": "LI@example.com"},
        "amount": "129.00",
        "currency": "CNY",
    }
    switchboard(
        "ingest",
        "events",
        write(
            tmp_path / "a.jsonl",
            EVENT,
            both,
            EVENT | {"id": "o1", "type": "crm.order.paid", "data": order},
        ),
    )
    switchboard("run", "--until-idle")
    for wanted in ("+8613800000001", "li@example.com", "示例客户"):
        found = json.loads(switchboard("history", wanted, "--json").stdout)
        assert [event["event"] for event in found["events"]].count("order paid") == 1
        assert len(found["events"]) == 3


def test_customers_who_share_a_telephone_stay_two(switchboard: Command, tmp_path: Path) -> None:
    def paid(number: str, **customer: str) -> dict[str, Any]:
        data = {"order_id": number, "customer": customer, "amount": "1.00", "currency": "CNY"}
        return EVENT | {"id": number, "type": "crm.order.paid", "data": data}

    orders = [
        paid("SO-3", id="C-3", phone="+8613800000095", email="cai@example.com"),
        paid("SO-4", id="C-4", phone="+8613800000095", email="di@example.com"),
    ]
    switchboard("ingest", "events", write(tmp_path / "a.jsonl", *orders))
    switchboard("run", "--until-idle")

    def history(wanted: str) -> list[str]:
        found = json.loads(switchboard("history", wanted, "--json").stdout)
        return sorted(customer["contact"] for customer in found["customers"])

    assert history("C-4") == history("di@example.com") == ["id:C-4"]
    assert history("+8613800000095") == ["id:C-3", "id:C-4"]


def test_every_kind_of_event_is_reconciled_and_redelivery_changes_nothing(
    switchboard: Command, tmp_path: Path
) -> None:
    path = write(tmp_path / "many.jsonl", *make_events(500))
    switchboard("ingest", "events", path)
    switchboard("run", "--until-idle")
    (account,) = json.loads(switchboard("status", "--json").stdout)["accounts"]
    assert (account["read"], account["records"], account["missing"]) == (500, 500, 0)
    tables = ("business_events", "predictions", "customers", "links", "history", "repeats")
    digest = "SELECT count() AS n, sum(cityHash64(*)) AS h FROM"
    before = {table: ask(switchboard, f"{digest} {table}") for table in tables}
    # What a crash after the insert and before the commit does: everything is handled once more.
    with sqlite3.connect(tmp_path / "data" / "log.sqlite") as log:
        log.execute("DELETE FROM offsets WHERE \"group\" = 'load'")
        # Their copy too: without it, this is damage.
        log.execute("DELETE FROM checkpoints WHERE name = 'offsets/load'")
    log.close()
    switchboard("run", "--until-idle")
    assert {table: ask(switchboard, f"{digest} {table}") for table in tables} == before

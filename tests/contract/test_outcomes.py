"""Labels from outcomes on both engines: purchases, their absence, ratings and spam."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.outcome_labels import OutcomeHorizon
from pipeline.commands.outcomes import scan_outcomes
from pipeline.sinks.warehouse import rows
from schemas.envelope import record_id_of
from tests.support.installations import Distributed, Embedded, Installation, as_lines, publish

_START = datetime(2026, 9, 1, 10, tzinfo=UTC)
_HORIZON = OutcomeHorizon(14)
Make = Callable[[], Installation]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.stack)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes an empty installation of the engine under test."""
    if request.param == "embedded":
        yield lambda: Embedded(tmp_path)
        return
    kafka, clickhouse = request.getfixturevalue("kafka"), request.getfixturevalue("clickhouse")
    kafka.wipe()
    database = tmp_path.name.replace("-", "_")
    yield lambda: Distributed(tmp_path, kafka.broker, clickhouse.url_for(database=database))


def event(number: str, day: float, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    time = (_START + timedelta(days=day)).isoformat()
    return {
        "specversion": "1.0",
        "id": number,
        "source": "shop",
        "type": kind,
        "time": time,
        "data": data,
    }


def wrote(
    number: str, day: float, who: int, text: str = "这个多少钱? how much", **more: Any
) -> dict[str, Any]:
    data = {"channel": "chat", "text": text, "from": {"phone": _phone(who)}} | more
    return event(number, day, "comm.message.received", data)


def paid(number: str, day: float, who: int) -> dict[str, Any]:
    return event(
        number, day, "crm.order.paid", {"order_id": number, "customer": {"phone": _phone(who)}}
    )


def rated(
    number: str, day: float, who: int, mark: float, text: str | None = None
) -> dict[str, Any]:
    data = {"feedback_id": number, "customer": {"phone": _phone(who)}, "rating": mark, "text": text}
    return event(number, day, "crm.feedback.given", data)


def _phone(who: int) -> str:
    return f"+86138{who:08}"


def given(installation: Installation) -> dict[tuple[str, str], tuple[str, float]]:
    """Return the labels that hold by head and event, with the label's value and weight."""
    with installation.workspace.open_warehouse() as warehouse:
        found = rows(
            warehouse,
            "SELECT head, toString(record_id) AS id, argMax(value, labelled_at) AS value,"
            " argMax(weight, labelled_at) AS weight FROM labels GROUP BY head, id",
        )
    return {(row["head"], row["id"]): (row["value"], row["weight"]) for row in found}


def run(installation: Installation, folder: Path, events: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / f"events-{len(list(folder.iterdir()))}.jsonl"
    path.write_text(as_lines(events), "utf-8")
    publish(installation, path)
    installation.run()


def ids(*names: str) -> list[str]:
    return [str(record_id_of("default", "shop", name)) for name in names]


def test_an_outcome_labels_the_messages_before_it_once(make: Make, tmp_path: Path) -> None:
    installation = make()
    events = [
        paid("before", -60, 9),
        *(wrote(f"early-{place}", place / 10, 1) for place in range(3)),
        wrote("weighing", 1, 1),
        wrote("soon", 3, 1),
        paid("order", 4, 1),
        wrote("too-long-ago", 2, 2),
        paid("late", 30, 2),
        wrote("never", 2, 3),
        wrote("ours", 2, 3, direction="outbound"),
        wrote("machine", 2, 3, auto_kind="ooo"),
        wrote("undecided", 58, 4),
        paid("after", 60, 9),
        wrote("unhappy", 1, 5, "出问题了"),
        rated("mark", 2, 5, 1),
        rated("words", 2, 6, 5, "非常满意 call 13800000001"),
        wrote("junk", 1, 7),
        event("move", 1.5, "comm.message.moved", {"event_id": "junk", "folder": "spam"}),
    ]
    run(installation, tmp_path / "in", events)
    published = scan_outcomes(installation.workspace, _HORIZON)
    installation.run()
    assert scan_outcomes(installation.workspace, _HORIZON) == {}, "labels were given twice"
    assert published["purchase_intent: ready"] == 1
    labels = given(installation)
    intent = {record: said for (head, record), said in labels.items() if head == "purchase_intent"}
    soon, weighing, last, never, long_ago = ids(
        "soon", "weighing", "early-2", "never", "too-long-ago"
    )
    assert intent[soon] == ("ready", 0.5)
    assert intent[weighing] == intent[last] == ("considering", 0.5)
    assert intent[never] == intent[long_ago] == ("none", 0.25)
    for other in ids("early-0", "early-1", "ours", "machine", "undecided"):
        assert other not in intent
    mark, words, junk = ids("unhappy", "words", "junk")
    assert labels["sentiment", mark] == ("very_negative", 0.5)
    assert labels["sentiment", words] == ("very_positive", 1.0)
    assert labels["spam", junk] == ("spam", 1.0)
    with installation.workspace.open_warehouse() as warehouse:
        assert rows(warehouse, "SELECT * FROM dead_letters") == []
        (tests,) = rows(
            warehouse,
            "SELECT toUInt32(count()) AS n, toUInt32(uniqExact(label_id)) AS labels FROM"
            " assessments",
        )
    assert tests["n"] == tests["labels"] == len(labels)
    with installation.workspace.open_log() as log:
        texts = [json.loads(record.value)["text"] for record in log.scan("examples.v1", 0, 0, 100)]
    assert "非常满意 call <phone>" in texts


def test_a_late_order_replaces_a_negative_and_a_person_overrides_both(
    make: Make, tmp_path: Path
) -> None:
    installation = make()
    run(
        installation,
        tmp_path / "in",
        [paid("a", -60, 9), wrote("m", 0, 1), wrote("n", 0.1, 2), paid("b", 60, 9)],
    )
    scan_outcomes(installation.workspace, _HORIZON)
    installation.run()
    m, n = ids("m", "n")
    assert [given(installation)["purchase_intent", one][0] for one in (m, n)] == ["none", "none"]
    said = event(
        "l",
        61,
        "comm.label.given",
        {"record_id": n, "head": "purchase_intent", "value": "exploring"},
    )
    run(installation, tmp_path / "in", [paid("late", 1, 1), paid("late-too", 1, 2), said])
    assert scan_outcomes(installation.workspace, _HORIZON) == {"purchase_intent: ready": 1}
    installation.run()
    assert [given(installation)["purchase_intent", one][0] for one in (m, n)] == [
        "ready",
        "exploring",
    ]
    with installation.workspace.open_warehouse() as warehouse:
        held = rows(
            warehouse,
            "SELECT toString(record_id) AS id, value, origin FROM assessments ORDER BY value",
        )
    assert held == [
        {"id": n, "value": "exploring", "origin": "person"},
        {"id": m, "value": "ready", "origin": "outcome"},
    ]


def test_an_installation_without_orders_has_no_negatives(make: Make, tmp_path: Path) -> None:
    installation = make()
    run(installation, tmp_path / "in", [wrote(f"m{place}", place, place) for place in range(5)])
    assert scan_outcomes(installation.workspace, _HORIZON) == {}


def test_negatives_are_sampled_per_day_and_weighted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.commands import outcome_labels

    fewer = outcome_labels._NEGATIVES.replace("of_day <= 100", "of_day <= 4").replace(
        "least(on_day, 100)", "least(on_day, 4)"
    )
    assert fewer != outcome_labels._NEGATIVES
    monkeypatch.setattr(outcome_labels, "_NEGATIVES", fewer)
    installation = Embedded(tmp_path)
    days = [wrote(f"m{place}", place / 100, place) for place in range(8)]
    run(
        installation,
        tmp_path / "in",
        [paid("a", -60, 99), *days, wrote("alone", 5, 50), paid("b", 60, 99)],
    )
    scan_outcomes(installation.workspace, _HORIZON)
    installation.run()
    labels = given(installation)
    weights = sorted(weight for _, weight in labels.values())
    assert weights == [0.25, 0.5, 0.5, 0.5, 0.5]
    # Record ids are hashes: the smallest of the day are the sample, whenever it is taken.
    chosen = sorted(record for (_, record), (_, weight) in labels.items() if weight == 0.5)
    assert chosen == sorted(ids(*(f"m{place}" for place in range(8))))[:4]
    assert scan_outcomes(installation.workspace, _HORIZON) == {}

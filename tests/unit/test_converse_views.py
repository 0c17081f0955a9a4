"""Views of the warehouse over the rows of converse."""

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from pipeline.reporting.followups import followup_counts, followups
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.row_mapping import columns_of
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import rows
from schemas.envelope import stable_id
from tests.support.conversing import (
    FOLD,
    at,
    conversation_id,
    fold_batch,
    mail,
    message,
    record_id,
    replace,
)
from tests.support.migrated_store import copy_migrated_store

LONG = "我上周买的旅行壶盖子裂了，麻烦给我退款，谢谢你们了"


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[ChdbWarehouse]:
    warehouse = ChdbWarehouse(copy_migrated_store(tmp_path / "store"))
    yield warehouse
    warehouse.close()


def load(warehouse: ChdbWarehouse, emitted: list[Any], start: int = 1) -> None:
    for table, columns in columns_of(
        [VersionedContract.of(one, version) for version, one in enumerate(emitted, start)]
    ):
        warehouse.insert(table, columns)


def test_follow_ups_are_listed_overdue_first_and_fulfilled_by_any_contact_point(
    warehouse: ChdbWarehouse,
) -> None:
    old = replace(
        message("p1", -60 * 24 * 30, "明天给您答复。", say="out"),
        conversation_id=conversation_id("x1"),
    )
    kept = replace(
        message("p2", -60 * 24 * 20, "明天给您答复。", say="out"),
        conversation_id=conversation_id("x2"),
    )
    soon = replace(
        message("p3", 60 * 24 * 365 * 50, "I will call you back tomorrow.", say="out"),
        conversation_id=conversation_id("x3"),
    )
    other = str(stable_id("customer", "other"))
    elsewhere = replace(
        message("h", -60 * 24 * 19, "有货", say="out"),
        conversation_id=conversation_id("x2"),
        customer_id=other,
        contact="phone:1",
    )
    contacts = {"p1": "a", "p2": "b", "p3": "c"}
    emitted: list[Any] = []
    for one in (old, kept, soon):
        mine = replace(one, customer_id=str(stable_id("customer", contacts[one.message_id])))
        emitted += fold_batch(FOLD.empty(), [mine])[1]
    emitted += fold_batch(FOLD.empty(), [elsewhere])[1]
    load(warehouse, emitted)
    found = followups(warehouse, zone="Asia/Shanghai")
    assert [(one["state"], one["record_id"]) for one in found] == [
        ("overdue", record_id("p1")),
        ("open", record_id("p3")),
    ]
    assert found[0]["due"].startswith("2026-10-21 18:00")
    assert [one["record_id"] for one in followups(warehouse, done=True)] == [record_id("p2")]
    assert [one["record_id"] for one in followups(warehouse, within_s=0)] == [record_id("p1")]
    assert followups(warehouse, staff="nobody") == []
    assert {(one["state"], one["followups"]) for one in followup_counts(warehouse)} == {
        ("overdue", 1),
        ("open", 1),
        ("kept", 1),
    }


def test_views_join_linked_threads_and_skip_retracted_rows(
    warehouse: ChdbWarehouse,
) -> None:
    root, orphan = mail("m1", 0, conversation="root"), mail("m3", 9, "m1", conversation="b")
    reply = message("h", 20, "answered", say="out", conversation="root", result="resolved")
    state, emitted = fold_batch(
        FOLD.empty(), [root, orphan, reply, message("d1", 30, LONG), message("d2", 31, LONG)]
    )
    load(warehouse, emitted)
    canonical = min(conversation_id("root"), conversation_id("b"))
    (linked,) = rows(
        warehouse,
        "SELECT conversation_id, state, customer_messages, subject FROM conversations WHERE subject"
        " != ''",
    )
    assert linked == {
        "conversation_id": canonical,
        "state": "closed",
        "customer_messages": 2,
        "subject": "Kettle",
    }
    assert len(rows(warehouse, "SELECT * FROM record_flags")) == 1
    _, more = fold_batch(
        state, [message("d2", 31, "something else entirely"), replace(orphan, references=())]
    )
    load(warehouse, more, 1_000)
    assert rows(warehouse, "SELECT * FROM record_flags") == []
    assert rows(warehouse, "SELECT * FROM conversation_links") == []
    assert {
        one["conversation_id"]
        for one in rows(
            warehouse, "SELECT conversation_id FROM conversations WHERE channel = 'email'"
        )
    } == {
        conversation_id("root"),
        conversation_id("b"),
    }


def test_silence_closes_answered_conversations_and_not_waiting_ones(
    warehouse: ChdbWarehouse,
) -> None:
    old = -60 * 24 * 300
    items = [
        message("a", old, "在吗", conversation="c1"),
        message("b", old + 5, "在的", say="out", conversation="c1"),
        message("c", old, "在吗", conversation="c2"),
    ]
    load(warehouse, fold_batch(FOLD.empty(), items)[1])
    found = {one["conversation_id"]: one for one in rows(warehouse, "SELECT * FROM conversations")}
    assert (found[conversation_id("c1")]["state"], found[conversation_id("c1")]["closed_by"]) == (
        "closed",
        "silence",
    )
    assert found[conversation_id("c1")]["closed_at"].startswith(
        (at(old + 5)).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    )
    assert found[conversation_id("c2")]["state"] == "waiting"
    assert found[conversation_id("c2")]["breached"] is True
    assert found[conversation_id("c2")]["resolution_first_s"] is None

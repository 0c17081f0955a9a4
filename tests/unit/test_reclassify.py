"""Reclassification: later answers win in any order, once, and interrupted runs resume."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.generations import renew_generation
from pipeline.commands.models import models_at_version, replica_at, roll_back
from pipeline.commands.reclassify import (
    ReclassificationProgress,
    ReclassificationScope,
    count_records,
    reclassify_records,
    select_heads,
    unfinished_run,
)
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.classifier import Classifier
from pipeline.models.heads import HEADS
from pipeline.models.replica import Replica
from pipeline.runtime.batch_insert import insert_batch
from pipeline.runtime.stages import decode_contract
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import rows
from schemas.envelope import stable_id
from schemas.reclassified import Reclassification
from schemas.records import Prediction, Record
from schemas.topics import RECLASSIFIED
from tests.support.example_events import invented_labels, publish_examples, whole_fold
from tests.support.prediction_records import example_message, record_of

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ALWAYS = ReclassificationScope("1970-01-01 00:00:00", "2200-01-01 00:00:00", ("need",))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbWarehouse]:
    warehouse = ChdbWarehouse(tmp_path_factory.mktemp("store"))
    migrate(warehouse)
    yield warehouse
    warehouse.close()


@pytest.fixture
def warehouse(store: ChdbWarehouse) -> ChdbWarehouse:
    for table in (
        "communication_rows",
        "prediction_rows",
        "reclassified_rows",
        "delivery_rows",
        "customer_rows",
    ):
        store.execute(f"TRUNCATE TABLE {table}")
    return store


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.sqlite")
    yield log
    log.close()


def said(label: str, version: str = "rules/old", **more: Any) -> Prediction:
    return Prediction(label=label, p=0.5, abstained=False, version=version, **more)


def shown(warehouse: ChdbWarehouse, *columns: str) -> list[tuple[Any, ...]]:
    found = rows(warehouse, f"SELECT {', '.join(columns)} FROM communications ORDER BY record_id")
    return [tuple(row.values()) for row in found]


def hash_of(warehouse: ChdbWarehouse, text: str) -> str:
    return str(rows(warehouse, "SELECT hex(sipHash64({text:String})) AS h", text=text)[0]["h"])


def later(
    warehouse: ChdbWarehouse, record: Record, head: str, label: str, text: str | None = None
) -> Reclassification:
    return Reclassification(
        reclassification_id=stable_id("test", str(record.record_id), head, label),
        record_id=record.record_id,
        head=head,
        label=label,
        also=("payment",),
        p=0.875,
        abstained=True,
        model_version="0/9/new",
        text_hash=hash_of(warehouse, record.redacted_text if text is None else text),
        judged_at=NOW,
    )


# Every fifth order of the four: each of them comes first, and each before and after each other.
@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_the_newest_answer_about_the_text_wins_in_any_load_order(
    warehouse: ChdbWarehouse, order: tuple[int, ...]
) -> None:
    record = record_of(
        1, "old text", predictions={"need": said("invoice"), "visa": said("tourist")}
    )
    contracts = [
        VersionedContract.of(record, 100 << 20),
        VersionedContract.of(later(warehouse, record, "need", "refund_return"), 200 << 20),
        VersionedContract.of(later(warehouse, record, "visa", "work"), 201 << 20),
        VersionedContract.of(later(warehouse, record, "spam", "spam", "another text"), 202 << 20),
    ]
    for place in (*order, *order):
        insert_batch(warehouse, [contracts[place]])
    columns = (
        "need",
        "need_p",
        "need_abstained",
        "need_version",
        "need_also",
        "answers",
        "answers_also",
        "spam",
    )
    assert shown(warehouse, *columns) == [
        (
            "refund_return",
            0.875,
            True,
            "0/9/new",
            ["payment"],
            {"need": "refund_return", "visa": "work"},
            {"need": ["payment"], "visa": ["payment"]},
            "",
        )
    ]
    stored = rows(warehouse, "SELECT head, label FROM predictions ORDER BY head, label")
    assert [(row["head"], row["label"]) for row in stored] == [
        ("need", "invoice"),
        ("need", "refund_return"),
        ("spam", "spam"),
        ("visa", "tourist"),
        ("visa", "work"),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_corrected_record_keeps_its_text_and_its_own_answers(
    warehouse: ChdbWarehouse, order: tuple[int, ...]
) -> None:
    first = record_of(1, "old text", predictions={"need": said("invoice")})
    corrected = record_of(1, "new text", predictions={"need": said("payment", "rules/mid")})
    contracts = [
        VersionedContract.of(first, 100 << 20),
        VersionedContract.of(corrected, 150 << 20),
        VersionedContract.of(later(warehouse, first, "need", "refund_return"), 200 << 20),
    ]
    for place in order:
        insert_batch(warehouse, [contracts[place]])
    assert shown(warehouse, "redacted_text", "need", "need_version") == [
        ("new text", "payment", "rules/mid")
    ]


def test_a_record_that_is_enriched_again_shows_its_own_answer(warehouse: ChdbWarehouse) -> None:
    record = record_of(1, "text", predictions={"need": said("invoice")})
    again = record_of(1, "text", predictions={"need": said("account", "0/20/newest")})
    insert_batch(warehouse, [VersionedContract.of(record, 100 << 20)])
    insert_batch(
        warehouse,
        [VersionedContract.of(later(warehouse, record, "need", "refund_return"), 200 << 20)],
    )
    insert_batch(warehouse, [VersionedContract.of(again, 300 << 20)])
    assert shown(warehouse, "need", "need_version") == [("account", "0/20/newest")]


def loaded(log: SqliteLog, warehouse: ChdbWarehouse) -> list[Reclassification]:
    """Load what lies on the topic, as the stage does; return it."""
    found = [
        decode_contract(record)
        for partition in range(RECLASSIFIED.partitions)
        for record in log.scan(RECLASSIFIED.name, partition, 0, 10_000)
    ]
    judged = [one for one in found if isinstance(one, Reclassification)]
    insert_batch(
        warehouse,
        [VersionedContract.of(one, (1_000 << 20) + place) for place, one in enumerate(judged)],
    )
    return judged


TEXTS = ("I want a refund", "请给我开发票", "hello", "", "how much is it, and when will it ship?")


def filled(warehouse: ChdbWarehouse, count: int = 10) -> list[Record]:
    records = [
        record_of(
            number,
            TEXTS[number % len(TEXTS)],
            occurred_at=NOW - timedelta(days=number),
            predictions={"need": said("other" if TEXTS[number % len(TEXTS)] else "")},
        )
        for number in range(count)
    ]
    insert_batch(
        warehouse,
        [
            VersionedContract.of(record, (100 << 20) + number)
            for number, record in enumerate(records)
        ],
    )
    return records


def finished(
    log: SqliteLog,
    warehouse: ChdbWarehouse,
    models: Classifier,
    wanted: ReclassificationScope,
    *,
    dry: bool = False,
) -> ReclassificationProgress:
    progress = ReclassificationProgress(models.version)
    for state in reclassify_records(log, warehouse, models, wanted, progress, NOW, dry=dry):
        assert state is progress
    return progress


def test_only_the_records_and_heads_in_scope_are_reclassified_once(
    warehouse: ChdbWarehouse, log: SqliteLog
) -> None:
    filled(warehouse)
    models = Replica().classifier()
    span = replace(ALWAYS, start="2026-11-16 00:00:00", end="2026-11-20 00:00:00")
    assert count_records(warehouse, span) == 4
    dry = finished(log, warehouse, models, span, dry=True)
    assert (dry.records, dry.answers, log.sizes()[RECLASSIFIED.name].records) == (4, 3, 0)
    done = finished(log, warehouse, models, span)
    assert (done.records, done.answers, done.changed) == (4, 3, dry.changed)
    judged = loaded(log, warehouse)
    assert {one.head for one in judged} == {"need"}
    assert sum(dry.changed.values()) == len([one for one in judged if one.label != "other"])
    assert unfinished_run(log, span) is None
    again = finished(log, warehouse, models, span)
    assert (again.records, again.answers) == (4, 0)
    versions = {version for (version,) in shown(warehouse, "need_version")}
    assert versions == {"rules/old", models.rules_version}


def test_records_from_before_a_head_have_its_key_afterwards_even_where_it_does_not_apply(
    warehouse: ChdbWarehouse, log: SqliteLog
) -> None:
    # A new head, built in (urgency) and a team's own (visa), and records with an answer, without
    # one, and to which no head applies.
    heads = (*HEADS, replace(HEADS[0], name="visa"))
    records = [
        record_of(number, text, predictions={"need": said("")})
        for number, text in enumerate((TEXTS[0], "", TEXTS[1]))
    ]
    insert_batch(
        warehouse,
        [VersionedContract.of(record, 100 << 20) for record in records],
    )
    assert shown(warehouse, "mapKeys(answers) AS heads") == [(["need"],)] * 3
    models = Replica(heads=heads).classifier()
    scope = replace(ALWAYS, heads=("urgency", "visa"))
    finished(log, warehouse, models, scope)
    loaded(log, warehouse)
    assert (
        shown(warehouse, "arraySort(mapKeys(answers)) AS heads")
        == [(["need", "urgency", "visa"],)] * 3
    )
    assert finished(log, warehouse, models, scope).answers == 0


def test_an_interrupted_run_resumes_with_its_own_models(
    warehouse: ChdbWarehouse, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.commands.reclassify._BATCH", 3)
    monkeypatch.setattr("pipeline.commands.reclassify._PAGE", 7)
    filled(warehouse, 20)
    models = Replica().classifier()
    running = reclassify_records(
        log, warehouse, models, ALWAYS, ReclassificationProgress(models.version), NOW, dry=False
    )
    next(running), next(running)
    running.close()
    left = unfinished_run(log, ALWAYS)
    assert left is not None
    assert (left.version, left.records, left.done) == (models.version, 6, False)
    with log.transaction() as transaction:
        transaction.produce(
            [example_message("need", "invoice", "x", number) for number in range(3)]
        )
    same = models_at_version(log, left.version, HEADS)
    assert same is not None
    assert same.version == models.version
    *_, end = reclassify_records(log, warehouse, same, ALWAYS, left, NOW, dry=False)
    judged = loaded(log, warehouse)
    assert (end.records, end.answers, len(judged)) == (20, 16, 16)
    assert len({one.reclassification_id for one in judged}) == 16
    assert finished(log, warehouse, models, ALWAYS).answers == 0


def test_rebuilt_models_of_a_version_give_the_same_answers(log: SqliteLog) -> None:
    messages = [
        example_message(
            "need",
            "invoice" if number % 2 else "payment",
            f"blorf {number}" if number % 2 else "gnarp",
            number,
        )
        for number in range(60)
    ]
    with log.transaction() as transaction:
        transaction.produce(messages)
    whole = Replica()
    versions = {}
    for number, message in enumerate(messages):
        import orjson

        whole.apply(orjson.loads(message.value), number)
        if number in (40, 59):
            versions[whole.version] = whole.classifier().classify(["blorf"], ["inbound"])
    for version, answers in versions.items():
        found = models_at_version(log, version, HEADS)
        assert found is not None
        assert (found.version, found.classify(["blorf"], ["inbound"])) == (version, answers)
    rules = models_at_version(log, Replica().classifier().rules_version, HEADS)
    assert rules is not None
    assert models_at_version(log, f"0/{10**6}/{whole.recipe}", HEADS) is None
    assert models_at_version(log, f"7/3/{whole.recipe}", HEADS) is None
    assert models_at_version(log, "0/3/another", HEADS) is None


def test_models_are_rebuilt_across_a_rollback_but_not_after_their_generation(
    log: SqliteLog,
) -> None:
    publish_examples(log, invented_labels(40))
    earlier = replica_at(log).version
    roll_back(log, "0/20")
    publish_examples(log, invented_labels(10, first=200))
    whole = whole_fold(log)
    now = models_at_version(log, whole.live.version, HEADS)
    assert now is not None
    assert now.version == whole.live.version
    assert now.classify(["my blorf"], ["inbound"]) == whole.classifier().classify(
        ["my blorf"], ["inbound"]
    )
    assert models_at_version(log, earlier, HEADS) is not None
    renew_generation(log)
    assert models_at_version(log, earlier, HEADS) is None
    latest = models_at_version(log, whole_fold(log).live.version, HEADS)
    assert latest is not None
    assert latest.version.startswith("1/")


def test_an_error_names_a_head_that_does_not_exist() -> None:
    assert select_heads(["spam", "need"], HEADS) == ("need", "spam")
    with pytest.raises(Exception, match="no head mood; the heads are need"):
        select_heads(["mood"], HEADS)

"""Own heads and later answers on a ClickHouse server: the same rows as in the embedded store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pipeline.commands.reclassify import (
    ReclassificationProgress,
    ReclassificationScope,
    reclassify_records,
)
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.replica import Replica
from pipeline.runtime.batch_insert import insert_batch
from pipeline.runtime.stages import decode_contract
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.reclassified import Reclassification
from schemas.records import Prediction
from schemas.topics import RECLASSIFIED
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.prediction_records import record_of
from tests.support.warehouses import fresh_warehouse

pytestmark = pytest.mark.stack
NOW = datetime(2026, 11, 20, tzinfo=UTC)
TEXTS = ("I want a refund and also your opening hours", "请给我开发票", "hello", "")


@pytest.fixture
def engines(clickhouse: ClickHouseServer, tmp_path: Path) -> Iterator[tuple[Warehouse, Warehouse]]:
    server, embedded = fresh_warehouse(clickhouse), ChdbWarehouse(tmp_path / "store")
    migrate(embedded)
    yield server, embedded
    server.close()
    embedded.close()


def rows_after_reclassifying(warehouse: Warehouse, log: SqliteLog) -> list[list[dict[str, Any]]]:
    visa = Prediction(label="work", p=0.5, abstained=False, version="rules/old", also=("tourist",))
    records = [
        record_of(
            number,
            TEXTS[number % len(TEXTS)],
            predictions={
                "need": Prediction(label="other", p=0.25, abstained=True, version="rules/old"),
                "visa": visa,
            },
        )
        for number in range(200)
    ]
    insert_batch(
        warehouse,
        [VersionedContract.of(record, (1 << 40) + place) for place, record in enumerate(records)],
    )
    models, wanted = (
        Replica().classifier(),
        ReclassificationScope("1970-01-01 00:00:00", "2200-01-01 00:00:00", ("need", "spam")),
    )
    for _ in reclassify_records(
        log, warehouse, models, wanted, ReclassificationProgress(models.version), NOW, dry=False
    ):
        pass
    judged = [
        decode_contract(record)
        for partition in range(RECLASSIFIED.partitions)
        for record in log.scan(RECLASSIFIED.name, partition, 0, 10_000)
    ]
    later = [one for one in judged if isinstance(one, Reclassification)]
    own = later[0].model_copy(
        update={"head": "visa", "label": "tourist", "record_id": UUID(int=1 << 64 | 1)}
    )
    for _ in range(2):
        insert_batch(
            warehouse,
            [
                VersionedContract.of(one, (1 << 41) + place)
                for place, one in enumerate([*later, own])
            ],
        )
    return [
        rows(
            warehouse,
            "SELECT * EXCEPT (ingested_at, quality_flags) FROM communications ORDER BY record_id",
        ),
        rows(warehouse, "SELECT * FROM predictions ORDER BY record_id, head, model_version"),
        rows(warehouse, "SELECT need_also, answers FROM history ORDER BY record_id"),
        rows(warehouse, "SELECT count() AS rows FROM communication_rows FINAL"),
    ]


def test_both_engines_show_the_same_later_answers(
    engines: tuple[Warehouse, Warehouse], tmp_path: Path
) -> None:
    found = []
    for place, warehouse in enumerate(engines):
        log = SqliteLog(tmp_path / f"log-{place}.sqlite")
        found.append(rows_after_reclassifying(warehouse, log))
        log.close()
    server, embedded = found
    assert server == embedded
    first = server[0][0]
    assert (first["need"], first["need_also"], first["answers"]) == (
        "refund_return",
        ["other"],
        {"need": "refund_return", "spam": "ham", "visa": "work"},
    )
    assert first["need_version"] == Replica().classifier().rules_version
    assert {row["answers"]["visa"] for row in server[0]} == {"work", "tourist"}

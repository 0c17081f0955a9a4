"""Measure `reclassify` on an embedded store: classifying again, and loading the new answers.

    python bench/reclassify.py --data ../shared/data [--records 100000]

For comparison it also loads the records themselves, and runs a typical query of analysts before and
after. Times are CPU seconds of this process, with the threads of chdb.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classify import chats

from pipeline.commands.reclassify import (
    ReclassificationProgress,
    ReclassificationScope,
    reclassify_records,
)
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.learner import warm_up
from pipeline.models.replica import Replica
from pipeline.runtime.batch_insert import insert_batch, loadable_unchecked
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.table_columns import VersionedContract
from schemas.records import Prediction
from schemas.topics import RECLASSIFIED
from tests.support.prediction_records import record_of

BATCH = 10_000


def timed(name: str, count: int, action: Callable[[], Any]) -> None:
    """Print the records per second of an action."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"  {name:34} {count / cpu:9,.0f} records per CPU second, {count / wall:9,.0f} per second"
    )


def records(texts: list[str], count: int) -> Iterator[VersionedContract]:
    """Yield records with a prediction of an older version."""
    old = Prediction(label="other", p=0.5, abstained=True, version="rules/old")
    for number in range(count):
        record = record_of(number, texts[number % len(texts)], predictions={"need": old})
        yield VersionedContract.of(record, (1 << 40) + number)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--records", type=int, default=100_000)
    options = parser.parse_args()
    count = options.records
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        warehouse, log = (
            ChdbWarehouse(Path(folder) / "store"),
            SqliteLog(Path(folder) / "log.sqlite"),
        )
        migrate(warehouse)
        made = list(records(chats(options.data, 8_000), count))
        wanted = ReclassificationScope("1970-01-01 00:00:00", "2200-01-01 00:00:00", ("need",))
        models = Replica().classifier()

        def load(rows: list[VersionedContract]) -> None:
            for first in range(0, len(rows), BATCH):
                insert_batch(warehouse, rows[first : first + BATCH])

        def classify() -> None:
            for _ in reclassify_records(
                log,
                warehouse,
                models,
                wanted,
                ReclassificationProgress(models.version),
                datetime.now(UTC),
                dry=False,
            ):
                pass

        def query() -> None:
            warehouse.query("SELECT need, need_abstained, count() FROM communications GROUP BY ALL")

        print(f"{count:,} records")
        timed("load the records", count, lambda: load(made))
        timed("query the needs", count, query)
        timed("classify again", count, classify)
        messages = []
        for partition in range(RECLASSIFIED.partitions):
            place = 0
            while part := log.scan(RECLASSIFIED.name, partition, place, BATCH):
                messages += part
                place = part[-1].offset + 1
        messages.sort(key=lambda message: (message.timestamp_ms, message.offset))
        timed(
            "load the answers, update the rows",
            len(messages),
            lambda: load([loadable_unchecked(one) for one in messages]),
        )
        timed("query the needs", count, query)
        timed("classify again, nothing new", count, classify)
        warehouse.close()
        log.close()


if __name__ == "__main__":
    main()

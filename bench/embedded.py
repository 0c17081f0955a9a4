"""What each part of the embedded way costs: µs a record, records/s and peak memory, at 10,000 and
at 100,000 records.

`python bench/embedded.py [--sizes 10000 100000]`. Every size runs in a process of its own, so that
memory is its own. The mix is that of tests/support/events.py: half messages, some mails and calls,
the rest orders, feedback and complaints. CPU counts all threads of the process, ClickHouse's merges
too, and is what is judged, for the clock on the wall also counts other programs: the bench ends
non-zero where a record at the largest size costs more than 1.2 times the CPU of one at the
smallest.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.envelope import decode_event
from pipeline.identity.contacts import OwnSide
from pipeline.ingest.port import IngestOptions
from pipeline.ingest.publisher import Publisher
from pipeline.ingest.registry import CONNECTORS
from pipeline.log.claim_check import FolderBodyStore
from pipeline.log.clock import utc_now
from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import offset_ranges
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.replica import Replica
from pipeline.outcomes import Context, Emit, run_checked
from pipeline.processors.classify import Classify
from pipeline.processors.clean.clean import CLEAN
from pipeline.processors.clean.language import detect_language
from pipeline.processors.enrich import finish
from pipeline.processors.identify import Identify, Identity
from pipeline.processors.redact import REDACT
from pipeline.runtime.stages import (
    ENRICH_TOPICS,
    LOAD_FACTOR,
    LOAD_TOPICS,
    enrich_handler,
    load_handler,
)
from pipeline.settings import Settings
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.migrations import migrate
from schemas.communications import Communication

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.events import make_events

# The bar of the house: a record must not cost more because there are many.
_MAX_GROWTH = 1.2
_BATCH = Settings.model_fields["batch_records"].default
_BYTES = 32 * 1024 * 1024


class Stopwatch:
    """Seconds of each part, by the clock on the wall and by the CPU."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what the block takes to a part."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] += time.perf_counter() - wall
        self.cpu[name] += time.process_time() - cpu


def measure(count: int) -> dict[str, Any]:
    """Take `count` events through every part in batches and return the seconds of each, and the
    peak memory in MiB.
    """
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = root / "events.jsonl"
        with source.open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps(event, ensure_ascii=False) + "\n" for event in make_events(count)
            )
        log, blobs = SqliteLog(root / "log.sqlite"), FolderBodyStore(root / "bodies")
        warehouse = ChdbWarehouse(root / "store")
        migrate(warehouse)
        identity = Identity(b"bench", OwnSide(("shop.example.com",)))
        models = Replica().classifier()
        # Loaded and compiled once a process, whatever the number of records.
        models.classify(["warm up 预热"], ["inbound"])
        detect_language("warm up the model of languages")
        _ingest(watch, source, Publisher(log, blobs))
        _enrich(watch, log, identity, models)
        _load(watch, log, warehouse)
        rows = json.loads(warehouse.query("SELECT count() AS n FROM history"))["n"]
        if int(rows) != count:
            raise SystemExit(f"{count} events went in, {rows} are in the history")
        warehouse.close()
        log.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"count": count, "wall": dict(watch.wall), "cpu": dict(watch.cpu), "peak_mib": peak}


def _ingest(watch: Stopwatch, source: Path, publisher: Publisher) -> None:
    connector = CONNECTORS["events"]
    (unit,) = connector.units([source])
    items = connector.read(unit, IngestOptions())
    while True:
        with watch.part("parse"):
            batch = list(islice(items, _BATCH))
            for item in batch:
                publisher.publish(item, "events/1")
        if not batch:
            return
        with watch.part("log"):
            publisher.flush()


def _enrich(watch: Stopwatch, log: SqliteLog, identity: Identity, models: Any) -> None:
    rest = enrich_handler(identity, lambda: models)
    while True:
        with watch.part("log"):
            records = log.read("bench-enrich", ENRICH_TOPICS, _BATCH, _BYTES)
        if not records:
            return
        ctx = Context(utc_now(), models)
        with watch.part("parse"):
            incoming = [decode_event(record) for record in records]
        business = [
            r
            for r, item in zip(records, incoming, strict=True)
            if not isinstance(item.data, Communication)
        ]
        step: Any = [item for item in incoming if isinstance(item.data, Communication)]
        for part, stage in (
            ("clean", CLEAN),
            ("clean", Identify(identity)),
            ("clean", REDACT),
            ("classify", Classify()),
        ):
            with watch.part(part):
                done = run_checked(stage, step, ctx)
                step = [
                    output.value
                    for outcome in done
                    if isinstance(outcome, Emit)
                    for output in outcome.outputs
                ]
        with watch.part("clean"):
            messages = [
                encode_contract(output.outlet, output.key, output.value)
                for judged in step
                for output in finish(judged, ctx).outputs
            ]
            messages += rest.handle(business)
        with watch.part("log"), log.transaction() as transaction:
            transaction.produce(messages)
            transaction.commit(
                "bench-enrich",
                {place: last + 1 for place, (_, last) in offset_ranges(records).items()},
            )


def _load(watch: Stopwatch, log: SqliteLog, warehouse: ChdbWarehouse) -> None:
    load = load_handler(warehouse)
    while True:
        with watch.part("log"):
            records = log.read("bench-load", LOAD_TOPICS, _BATCH * LOAD_FACTOR, _BYTES)
        if not records:
            return
        with watch.part("load"):
            letters = load.handle(records)
        with watch.part("log"), log.transaction() as transaction:
            transaction.produce(letters)
            transaction.commit(
                "bench-load",
                {place: last + 1 for place, (_, last) in offset_ranges(records).items()},
            )


def main() -> int:
    """Measure each size in a process of its own, print the table, return 1 where a record costs
    more at the largest size.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return 0
    costs = []
    print(
        f"{'records':>9}  {'part':<9} {'CPU µs/record':>14} {'wall µs/record':>15}"
        f" {'records/s':>10}"
    )
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        result = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[
                -1
            ]
        )
        for kind in ("wall", "cpu"):
            result[kind]["all"] = sum(result[kind].values())
        for part, wall in result["wall"].items():
            print(
                f"{size:>9,}  {part:<9} {result['cpu'][part] / size * 1e6:>14.1f}"
                f" {wall / size * 1e6:>15.1f} {size / wall:>10,.0f}"
            )
        print(f"{size:>9,}  peak memory {result['peak_mib']:,.0f} MiB\n")
        costs.append(result["cpu"]["all"] / size)
    growth = costs[-1] / costs[0]
    print(
        f"a record at {arguments.sizes[-1]:,} costs {growth:.2f} times one at"
        f" {arguments.sizes[0]:,} (bar: {_MAX_GROWTH})"
    )
    return 0 if growth <= _MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())

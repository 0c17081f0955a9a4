"""Cost of each part of the embedded pipeline at 10,000 and at 100,000 records.

`python bench/embedded.py [--sizes 10000 100000]` prints µs per record, records/s and peak memory.
Each size runs in its own process, so that its memory is measured alone. The mix is that of
tests/support/events.py: half messages, some mails and calls, the rest orders, feedback and
complaints. CPU time includes all threads of the process, also ClickHouse's merges. The target is
for CPU time, because wall time includes other programs: the bench exits non-zero if a record at the
largest size costs more than 1.2 times the CPU time of one at the smallest.
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
from pipeline.processors.draft import Draft
from pipeline.processors.finish import FINISH
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

# The bar: the cost of a record must not grow with the number of records.
_MAX_GROWTH = 1.2
_BATCH = Settings.model_fields["batch_records"].default
_BYTES = 32 * 1024 * 1024


class CostMeter:
    """Wall and CPU seconds of each part."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to a part."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] += time.perf_counter() - wall
        self.cpu[name] += time.process_time() - cpu


def measure(count: int) -> dict[str, Any]:
    """Run `count` events through every part; return the seconds of each and the peak MiB."""
    meter = CostMeter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = root / "events.jsonl"
        with source.open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps(event, ensure_ascii=False) + "\n" for event in make_events(count)
            )
        log, bodies = SqliteLog(root / "log.sqlite"), FolderBodyStore(root / "bodies")
        warehouse = ChdbWarehouse(root / "store")
        migrate(warehouse)
        identity = Identity(b"bench", OwnSide(("shop.example.com",)))
        models = Replica().classifier()
        # Models are loaded and compiled once a process, however many records follow.
        models.classify(["warm up 预热"], ["inbound"])
        detect_language("warm up the model of languages")
        _ingest(meter, source, Publisher(log, bodies))
        _enrich(meter, log, identity, models)
        _load(meter, log, warehouse)
        rows = json.loads(warehouse.query("SELECT count() AS n FROM history"))["n"]
        if int(rows) != count:
            raise SystemExit(f"{count} events were ingested, but the history has {rows}")
        warehouse.close()
        log.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"count": count, "wall": dict(meter.wall), "cpu": dict(meter.cpu), "peak_mib": peak}


def _ingest(meter: CostMeter, source: Path, publisher: Publisher) -> None:
    connector = CONNECTORS["events"]
    (unit,) = connector.units([source])
    items = connector.read(unit, IngestOptions())
    while True:
        with meter.part("parse"):
            batch = list(islice(items, _BATCH))
            for item in batch:
                publisher.publish(item, "events/1")
        if not batch:
            return
        with meter.part("log"):
            publisher.flush()


def _enrich(meter: CostMeter, log: SqliteLog, identity: Identity, models: Any) -> None:
    rest = enrich_handler(identity, lambda: models)
    while True:
        with meter.part("log"):
            records = log.read("bench-enrich", ENRICH_TOPICS, _BATCH, _BYTES)
        if not records:
            return
        ctx = Context(utc_now(), models)
        with meter.part("parse"):
            incoming = [decode_event(record) for record in records]
        business = [
            r
            for r, item in zip(records, incoming, strict=True)
            if not isinstance(item.data, Communication)
        ]
        drafts = [Draft(item) for item in incoming if isinstance(item.data, Communication)]
        for part, stage in (
            ("clean", CLEAN),
            ("clean", Identify(identity)),
            ("clean", REDACT),
            ("classify", Classify()),
        ):
            with meter.part(part):
                outcomes = run_checked(stage, drafts, ctx)
                drafts = [
                    output.value
                    for outcome in outcomes
                    if isinstance(outcome, Emit)
                    for output in outcome.outputs
                ]
        with meter.part("clean"):
            messages = [
                encode_contract(output.outlet, output.key, output.value)
                for outcome in run_checked(FINISH, drafts, ctx)
                if isinstance(outcome, Emit)
                for output in outcome.outputs
            ]
            messages += rest.handle(business)
        with meter.part("log"), log.transaction() as transaction:
            transaction.produce(messages)
            transaction.commit(
                "bench-enrich",
                {partition: last + 1 for partition, (_, last) in offset_ranges(records).items()},
            )


def _load(meter: CostMeter, log: SqliteLog, warehouse: ChdbWarehouse) -> None:
    load = load_handler(warehouse)
    while True:
        with meter.part("log"):
            records = log.read("bench-load", LOAD_TOPICS, _BATCH * LOAD_FACTOR, _BYTES)
        if not records:
            return
        with meter.part("load"):
            letters = load.handle(records)
        with meter.part("log"), log.transaction() as transaction:
            transaction.produce(letters)
            transaction.commit(
                "bench-load",
                {partition: last + 1 for partition, (_, last) in offset_ranges(records).items()},
            )


def main() -> int:
    """Measure each size in its own process and print the table; return 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--single", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.single:
        print(json.dumps(measure(arguments.single)))
        return 0
    costs = []
    print(
        f"{'records':>9}  {'part':<9} {'CPU µs/record':>14} {'wall µs/record':>15}"
        f" {'records/s':>10}"
    )
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--single", str(size)]
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
        f" {arguments.sizes[0]:,} (target: at most {_MAX_GROWTH})"
    )
    return 0 if growth <= _MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())

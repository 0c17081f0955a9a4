"""`python -m tests.chaos`: kill everything while events flow, then compare the rows.

Events flow through a real Kafka and a real ClickHouse. Ends with 0 only if the rows of every view
are those of an undisturbed embedded run, the dead letters are the planted poison and nothing else,
and records flowed again within `--back` seconds of every worker's death.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pipeline.commands.lag import lags
from pipeline.log.clock import now_ms
from pipeline.runtime.stages import KAFKA_STAGES
from pipeline.workspace import Workspace
from tests.chaos.faults import Targets, strike
from tests.chaos.feeding import POISON, Feeder, write_chunks, write_fatal_event
from tests.chaos.progress import FaultClock, Progress
from tests.chaos.schedule import schedule
from tests.chaos.supervisor import ChaosSupervisor
from tests.chaos.worker import DRAG
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.events import make_events
from tests.support.installations import VIEWS, Distributed, Embedded, Rows, publish, rows_in
from tests.support.kafka_server import KafkaServer
from tests.support.tcp_gate import TcpGate

# An operator who is called at night expects no more.
_RECOVERY_S = 30.0
# A fault has this long to recover before the next one is injected.
_RECOVERY_LIMIT_S = 90.0
# Events are let in up to this share of all beyond those that a fault waits for.
_AHEAD = 0.05
# A stage that is this many records behind has batches of work before it.
_BEHIND = 60
# No progress for this long while work is left: something is stuck.
_STUCK_S = 240.0
_WORKERS = {"enrich": 2, "converse": 1, "load": 1, "resolve": 1}
# One row a record: what counts as missing or as twice.
_KEYS = {
    "communications": "record_id",
    "business_events": "record_id",
    "conversation_facts": "fact_id",
}


def main() -> int:
    """Run the experiment and print its results; return the exit code."""
    options = _options()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="switchboard-chaos-"))
    print(
        f"seed {options.seed}, {options.events} events, {options.faults} faults, in {folder}",
        flush=True,
    )
    began = time.monotonic()
    chunks = write_chunks(folder / "events", options.events, options.chunk, options.seed)
    fatal = write_fatal_event(folder / "events", next(make_events(1, seed=options.seed)))
    print("undisturbed embedded run …", flush=True)
    undisturbed = _undisturbed_rows(folder / "undisturbed", chunks)
    print(
        f"{sum(map(len, undisturbed.values()))} rows in {len(undisturbed)} views after"
        f" {time.monotonic() - began:.0f} s",
        flush=True,
    )
    with (
        KafkaServer(folder / "kafka") as kafka,
        ClickHouseServer(folder / "clickhouse") as clickhouse,
    ):
        with TcpGate(clickhouse.port) as gate:
            environment = _environment(folder, kafka, clickhouse, gate, options)
            installation = Distributed(
                folder / "data", kafka.broker, clickhouse.url, partitions=None
            )
            failures = _inject_faults(
                options,
                folder,
                Targets(kafka, clickhouse, gate),
                environment,
                chunks,
                fatal,
                installation,
            )
        failures += _compare(undisturbed, rows_in(installation))
    print(f"{time.monotonic() - began:.0f} s in all", flush=True)
    for failure in failures:
        print(f"FAILED: {failure}")
    print(
        "chaos: "
        + (
            "nothing lost, nothing twice"
            if not failures
            else f"{len(failures)} failures; see {folder}"
        )
    )
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--events", type=int, default=6_000)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--chunk", type=int, default=300, help="events a file, which is a burst")
    parser.add_argument(
        "--minutes", type=float, default=1.5, help="spread the events over this long"
    )
    parser.add_argument(
        "--back", type=float, default=_RECOVERY_S, help="seconds within which records flow again"
    )
    # Small enough that the short form has some hundred batches to be killed in. Under the long
    # form's backlog a round over load's 37 partitions by 250 records took it up to 59 s, so that
    # form takes more (load five times as many).
    parser.add_argument("--batch", type=int, default=50, help="records a batch")
    parser.add_argument(
        "--drag",
        type=float,
        default=1,
        help="how slow stages are made; 0 where the events themselves are enough work",
    )
    parser.add_argument("--folder", help="where everything is kept [default: a temporary folder]")
    return parser.parse_args()


def _environment(
    folder: Path,
    kafka: KafkaServer,
    clickhouse: ClickHouseServer,
    gate: TcpGate,
    options: argparse.Namespace,
) -> dict[str, str]:
    return os.environ | {
        "SWITCHBOARD_DATA_DIR": str(folder / "data"),
        "SWITCHBOARD_SECRET": "a secret for tests only",
        "SWITCHBOARD_BROKER": kafka.broker,
        "SWITCHBOARD_WAREHOUSE": clickhouse.url_for(port=gate.port),
        "SWITCHBOARD_BATCH_RECORDS": str(options.batch),
        DRAG: str(options.drag),
    }


def _undisturbed_rows(folder: Path, chunks: list[Path]) -> Rows:
    installation = Embedded(folder)
    for chunk in chunks:
        publish(installation, chunk)
    installation.run()
    return rows_in(installation)


def _inject_faults(
    options: argparse.Namespace,
    folder: Path,
    targets: Targets,
    environment: dict[str, str],
    chunks: list[Path],
    fatal: Path,
    installation: Distributed,
) -> list[str]:
    """Let events flow, inject faults, wait until all is handled; return what went wrong."""
    supervisor, progress = ChaosSupervisor(folder, environment), Progress(targets.kafka.broker)
    targets.supervisor = supervisor
    try:
        for stage, count in _WORKERS.items():
            for _ in range(count):
                supervisor.add(stage)
        began = time.monotonic()
        targets.feeder = feeder = Feeder(
            chunks, environment, options.minutes * 60, folder / "feeder.log"
        )
        failures = _faults(options, targets, progress)
        feeder.thread.join()
        _wait_until_drained(folder, environment, installation, progress)
        _feed_fatal_record(fatal, environment, folder, progress)
        _wait_until_drained(folder, environment, installation, progress)
        took = time.monotonic() - began
        print(
            f"all handled {took:.0f} s after the first event: {options.events / took:.0f} events/s"
            " through the storm"
        )
        print(f"{supervisor.deaths} workers died and {feeder.deaths} feeders", flush=True)
        return failures + ([feeder.problem] if feeder.problem else [])
    finally:
        progress.close()
        supervisor.close()


def _faults(options: argparse.Namespace, targets: Targets, progress: Progress) -> list[str]:
    failures: list[str] = []
    print(
        f"{'at':>6} {'events':>7}  {'back (s): enrich':>17} {'converse':>9} {'load':>6}  fault",
        flush=True,
    )
    feeder = targets.feeder
    assert feeder is not None
    for fault in schedule(options.seed, options.faults):
        due = int(fault.at * options.events)
        # However long a fault before it took: events are left that this one can disturb.
        feeder.allow(fault.at + _AHEAD)
        _until(
            lambda due=due: _raw_done(progress) >= due, f"enrich to reach {due} events", progress
        )
        struck = next((stage for stage in _WORKERS if stage in fault.what), "enrich")
        _until(
            lambda stage=struck: _has_work(progress, stage, options.events, feeder),
            f"work for {struck}",
            progress,
        )
        at = time.monotonic()
        clock = strike(fault.what, targets, progress)
        while len(clock.back) < len(clock.waiting) and time.monotonic() - at < _RECOVERY_LIMIT_S:
            time.sleep(0.1)
        print(_line(at, progress, clock), flush=True)
        slow = {
            stage: back
            for stage in clock.waiting
            if (back := clock.back.get(stage, _RECOVERY_LIMIT_S)) > options.back
        }
        # The start of Kafka or of ClickHouse is not a worker's death: its time is only printed.
        if slow and any(word in fault.what for word in ("worker", *_WORKERS)):
            failures.append(
                f"after '{fault.what}' {', '.join(slow)} took more than {options.back:.0f} s to"
                " flow again"
            )
    feeder.allow(1)
    return failures


def _feed_fatal_record(
    path: Path, environment: dict[str, str], folder: Path, progress: Progress
) -> None:
    """Feed the record that ends every process, and print how long it blocked its partition."""
    Feeder([path], environment, 0, folder / "feeder.log").thread.join()
    before, at = _raw_done(progress), time.monotonic()
    _until(lambda: _raw_done(progress) > before, "the fatal record to be quarantined", progress)
    print(
        f"the record that kills its process was quarantined after {time.monotonic() - at:.0f} s",
        flush=True,
    )


_STARTED = time.monotonic()


def _line(at: float, progress: Progress, clock: FaultClock) -> str:
    back = [
        f"{clock.back[stage]:.1f}" if stage in clock.back else "-"
        for stage in ("enrich", "converse", "load")
    ]
    return (
        f"{at - _STARTED:6.0f} {_raw_done(progress):7}  {back[0]:>17} {back[1]:>9} {back[2]:>6} "
        f" {clock.what}"
    )


def _raw_done(progress: Progress) -> int:
    """Return about how many raw records enrich has handled.

    They are offsets: producers of raw topics write no transactions.
    """
    return sum(
        offset for (stage, *_), offset in dict(progress.committed).items() if stage == "enrich"
    )


def _has_work(progress: Progress, stage: str, events: int, feeder: Feeder) -> bool:
    """Return whether a fault would interrupt a stage: it is behind, or nothing more will come.

    If all stages have caught up, more events are let in.
    """
    behind = progress.behind()
    if max(behind.values()) <= _BEHIND:
        feeder.allow_next()
    return stage == "resolve" or behind[stage] > _BEHIND or _raw_done(progress) >= events * 0.98


def _until(ready: object, what: str, progress: Progress) -> None:
    assert callable(ready)
    progressed, done = time.monotonic(), progress.done()
    while not ready():
        if progress.done() != done:
            progressed, done = time.monotonic(), progress.done()
        if time.monotonic() - progressed > _STUCK_S:
            raise TimeoutError(
                f"no progress for {_STUCK_S:.0f} s, waiting for {what}; behind: {progress.behind()}"
            )
        time.sleep(0.1)


def _wait_until_drained(
    folder: Path, environment: dict[str, str], installation: Distributed, progress: Progress
) -> None:
    """Send the spooled messages, and wait until every stage has caught up, twice in a row."""
    command = [sys.executable, "-m", "pipeline", "spool"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    workspace: Workspace = installation.workspace
    with workspace.open_log() as log:
        quiet = 0

        def nothing_left() -> bool:
            nonlocal quiet
            quiet = (
                0
                if any(lag.records for lag in lags(log, now_ms()) if lag.group in KAFKA_STAGES)
                else quiet + 1
            )
            return quiet > 1

        _until(nothing_left, "every stage to catch up", progress)


def _compare(undisturbed: Rows, found: Rows) -> list[str]:
    failures: list[str] = []
    for view in VIEWS:
        wanted, got = Counter(undisturbed[view]), Counter(found[view])
        if view == "dead_letters":
            failures += _dead_letter_failures(wanted, got)
            continue
        if view in _KEYS:
            keys = Counter(json.loads(row)[_KEYS[view]] for row in got.elements())
            twice = sum(count - 1 for count in keys.values())
            missing = len({json.loads(row)[_KEYS[view]] for row in wanted} - set(keys))
            print(f"{view}: {got.total()} rows, missing {missing}, twice {twice}")
            failures += [f"{view}: {missing} missing, {twice} twice"] if missing or twice else []
        if lost := wanted - got:
            failures.append(
                f"{view}: {lost.total()} rows are not as in the undisturbed run, such as"
                f" {next(iter(lost))[:600]}"
            )
        if extra := got - wanted:
            failures.append(
                f"{view}: {extra.total()} rows that the undisturbed run has not, such as"
                f" {next(iter(extra))[:600]}"
            )
    return failures


def _dead_letter_failures(wanted: Counter[str], got: Counter[str]) -> list[str]:
    extra = [json.loads(row) for row in (got - wanted).elements()]
    missing = (wanted - got).total()
    killed = [(row["stage"], row["reason_code"]) for row in extra]
    print(
        f"dead letters: {got.total()}, {wanted.total()} of them also in the undisturbed run,"
        f" and {killed}"
    )
    failures = (
        []
        if wanted.total() == POISON
        else [f"the undisturbed run has {wanted.total()} dead letters, {POISON} were planted"]
    )
    if missing or killed != [("enrich", "crash")]:
        failures.append(f"dead letters: {missing} missing, beside the planted ones {extra[:3]}")
    return failures


if __name__ == "__main__":
    raise SystemExit(main())

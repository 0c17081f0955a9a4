"""Compares our Kafka host with a bare librdkafka loop, Arroyo, Bytewax, Quix Streams and Faust.

`python bench/kafka_host.py [--records 200000] [--enrich-records 20000] [--peers ours,bare,…]
[--steps noop,enrich] [--json]`

Each peer runs one step over one topic in one process. The bench starts a real Kafka on loopback,
loads a topic for each step, and runs the peers one after another. The no-op decodes JSON, encodes
it and copies key and headers; `enrich` is our stage. All outputs are read back (read_committed) and
compared with the expected ones, so a peer that loses records is reported. All clients have the same
settings (`bench/peers/common.py`), or their defaults if the name ends in `:default`. The exit code
is not zero if a bar of the no-op is missed or outputs are missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.peers.environments import PeerUnavailableError, python_of
from bench.peers.measure import Result, RunFailedError, run_peer
from bench.peers.topics import Topics
from tests.support.kafka_server import KafkaServer

# Our least rate relative to each peer, with the no-op step (issue 4).
BARS = {"bare": 0.85, "arroyo": 2.0, "bytewax": 3.0, "quix": 4.0, "faust": 15.0}
# Without a bar: a peer with our guarantee, and peers with default settings.
_WITHOUT_BAR = ("quix_exact", "arroyo:default", "bytewax:default", "quix:default")
PEERS = ("ours", *BARS, *_WITHOUT_BAR)
STEPS = ("noop", "enrich")
GUARANTEE = {"ours": "exactly once", "bare": "exactly once", "quix_exact": "exactly once"}
# Peers that take seconds run twice and the better run counts, because other programs disturb it.
_QUICK, _ROUNDS = frozenset({"ours", "bare", "arroyo"}), 2
# A run that takes longer fails.
_LIMIT_S = 180.0


def main() -> int:
    """Run the selected peers and steps and print the table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000, help="records of the no-op step")
    parser.add_argument(
        "--enrich-records", type=int, default=20_000, help="records of the enrich step"
    )
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument(
        "--compression",
        default="lz4",
        help="of every producer except ours, which always uses lz4",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON lines and no table"
    )
    options = parser.parse_args()
    peers = _available([peer for peer in PEERS if peer in options.peers.split(",")])
    results: list[Result] = []
    failed = False
    with (
        tempfile.TemporaryDirectory(prefix="bench-kafka-") as folder,
        KafkaServer(Path(folder)) as server,
    ):
        topics = Topics(server.broker, options.compression)
        for step in [step for step in STEPS if step in options.steps.split(",")]:
            count = options.enrich_records if step == "enrich" else options.records
            loaded = topics.load(f"bench.{step}", step, count)
            for peer in _run_order(
                [peer for peer in peers if step == "noop" or peer not in _WITHOUT_BAR]
            ):
                try:
                    result = run_peer(
                        peer, loaded, step, topics, server.broker, options.compression, _LIMIT_S
                    )
                except RunFailedError as error:
                    failed = True
                    print(f"{peer} failed with {step}: {error}", file=sys.stderr, flush=True)
                    continue
                results.append(result)
                print(json.dumps(result.as_dict()) if options.json else _line(result), flush=True)
    if not options.json:
        print("\n".join(_table(results)))
    missed = _missed_bars(results)
    print("\n".join(missed), file=sys.stderr)
    return 1 if missed or failed else 0


def _available(peers: list[str]) -> list[str]:
    available = []
    for peer in peers:
        try:
            python_of(peer.partition(":")[0])
        except PeerUnavailableError as error:
            print(error, file=sys.stderr)
        else:
            available.append(peer)
    return available


def _run_order(peers: list[str]) -> list[str]:
    """Return the order of runs: all once, then the quick ones again in reverse order."""
    return peers + [peer for peer in reversed(peers) if peer in _QUICK] * (_ROUNDS - 1)


def _line(result: Result) -> str:
    written = result.written
    faults = [
        f"{getattr(written, name)} {name}"
        for name in ("missing", "duplicates", "foreign", "damaged")
    ]
    return (
        f"  {result.step:<7}{result.peer:<16}{result.rate:>9,.0f} records/s {result.cpu_us:>8.1f}"
        f" µs CPU {result.seconds:>7.2f} s  {written.records:,} outputs, {', '.join(faults)}"
    )


def best(results: list[Result]) -> dict[tuple[str, str], Result]:
    """Return the fastest run of each step and peer."""
    fastest: dict[tuple[str, str], Result] = {}
    for result in sorted(results, key=lambda result: result.rate):
        fastest[result.step, result.peer] = result
    return fastest


def _table(results: list[Result]) -> list[str]:
    lines = [
        "",
        "| step | system | delivery | records/s | µs CPU a record | duplicates | ours is | bar |",
        "|" + "---|" * 8,
    ]
    rows = best(results)
    for (step, peer), result in sorted(
        rows.items(), key=lambda row: (STEPS.index(row[0][0]), PEERS.index(row[0][1]))
    ):
        ours = rows.get((step, "ours"))
        ratio = f"{ours.rate / result.rate:.2f} ×" if ours and peer != "ours" else ""
        bar = f"{BARS[peer]:g} ×" if step == "noop" and peer in BARS else ""
        lines.append(
            f"| {step} | {peer} | {GUARANTEE.get(peer, 'at least once')} | {result.rate:,.0f} |"
            f" {result.cpu_us:.1f} | {result.written.duplicates} | {ratio} | {bar} |"
        )
    return lines


def _missed_bars(results: list[Result]) -> list[str]:
    rows = best(results)
    missed = [
        f"{result.peer}, {result.step}: {result.written.missing} outputs missing,"
        f" {result.written.foreign} foreign, {result.written.damaged} damaged"
        for result in results
        if not result.complete
    ]
    ours = rows.get(("noop", "ours"))
    for peer, bar in BARS.items():
        other = rows.get(("noop", peer))
        if ours and other and ours.rate < bar * other.rate:
            missed.append(
                f"bar missed: our rate is {ours.rate / other.rate:.2f} times that of {peer}, the"
                f" bar is {bar:g}"
            )
    return missed


if __name__ == "__main__":
    raise SystemExit(main())

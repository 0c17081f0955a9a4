"""Send mutations of valid messages through every stage; fail if one stops or a good event is lost.

`make fuzz` runs it. A failure is repeated by its seed.

python bench/fuzz_messages.py [--n 10000] [--seed S]
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.log.port import Message  # noqa: E402
from pipeline.sinks.warehouse import rows  # noqa: E402
from tests.support.broken_messages import mutations  # noqa: E402
from tests.support.events import make_events  # noqa: E402
from tests.support.flooding import (  # noqa: E402
    Accounts,
    dump_samples,
    load_samples,
    produce,
    valid_messages,
)
from tests.support.installations import Embedded, as_lines, publish  # noqa: E402

_GOOD = 1_500
_PER_BATCH = 500


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=Path, help="only write valid messages to this file")
    return parser.parse_args()


def main() -> int:
    """Run the flood and print what became of it; return the exit code."""
    arguments = _arguments()
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.samples:
            arguments.samples.write_bytes(dump_samples(valid_messages(folder / "installation")))
            return 0
        # A process opens one store: the valid messages come from another one.
        file = folder / "samples.json"
        subprocess.run([sys.executable, __file__, "--samples", str(file)], check=True)
        messages = list(mutations(load_samples(file.read_bytes()), arguments.seed, arguments.n))
        return _flood(folder / "installation", messages)


def _flood(folder: Path, messages: Sequence[Message]) -> int:
    folder.mkdir()
    installation, accounts = Embedded(folder), Accounts()
    events = list(make_events(_GOOD, seed=3))
    for start in range(0, len(messages), _PER_BATCH):
        part = events[start * _GOOD // len(messages) :][: _GOOD * _PER_BATCH // len(messages) + 1]
        path = folder / f"events-{start}.jsonl"
        path.write_text(as_lines(part), "utf-8")
        publish(installation, path)
        produce(installation, messages[start : start + _PER_BATCH])
    installation.run(accounts.wrap)
    accounts.check()
    with installation.workspace.open_warehouse() as warehouse:
        ids = {
            row["event_id"]
            for view in ("communications", "business_events")
            for row in rows(warehouse, f"SELECT event_id FROM {view} WHERE source = 'test/shop'")
        }
        codes = Counter(
            {
                (row["stage"], row["reason_code"]): row["n"]
                for row in rows(
                    warehouse,
                    "SELECT stage, reason_code, toUInt32(count()) AS n FROM dead_letters"
                    " GROUP BY ALL",
                )
            }
        )
    lost = {event["id"] for event in events} - ids
    for (stage, code), count in sorted(codes.items()):
        print(f"{stage:10} {code:22} {count:6}")
    print(json.dumps({"messages": len(messages), "good": len(events), "lost": sorted(lost)}))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

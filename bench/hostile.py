"""Print what does not read hostile text in linear time; `make fuzz` runs it.

python bench/hostile.py [--only PATTERN] [--patterns | --functions] [--every 1]

Every function of `tests/support/hostile_targets.py` reads every family of hostile texts, at growing
sizes; what is slowest is measured up to a megabyte, beside plain text of the same size. Every
compiled pattern of the package scans the texts that are derived from it. Something fails where
twice the text takes more than 2.2 times the time, where a megabyte takes more than ten times as
long as a megabyte of plain text and more than a second, or where a size does not end.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.growth import MEGABYTE, Growth, measure, sizes_up_to, survey  # noqa: E402
from tests.support.hostile_targets import LIMITED, targets  # noqa: E402
from tests.support.hostile_texts import FAMILIES, PLAIN  # noqa: E402
from tests.support.pattern_attacks import find_patterns, pattern_attacks  # noqa: E402

# A text may take so many times the time of plain text; what is shorter than this is no harm.
MOST_BESIDE_PLAIN, HARMLESS_SECONDS = 10, 1.0
# Patterns are scanned with texts of these sizes: quadratic ones need seconds for the largest.
PATTERN_SIZE = 65_536


Faults = dict[str, int]


def functions(chosen: str, every: int, faults: Faults, most: int) -> Iterator[tuple[Growth, str]]:
    """Yield each measurement of a function, and what is wrong with it, if anything."""
    for name, target in targets(chosen):
        plain = next(measure(name, target, [PLAIN]))
        yield plain, _fault(plain, 0.0)
        largest = plain.seconds[-1][1] if plain.seconds else 0.0
        begun, slowest = time.perf_counter(), plain
        for growth in survey(name, target, FAMILIES[::every]):
            yield growth, _fault(growth, largest)
            if growth.seconds and growth.seconds[-1][1] > slowest.seconds[-1][1]:
                slowest = growth
            if faults.get(name, 0) >= most:
                break
        print(
            f"{name}: {largest:.2f} s for {sizes_up_to(MEGABYTE)[-1]:,} characters of plain text,"
            f" {slowest.seconds[-1][1]:.2f} s for {slowest.seconds[-1][0]:,} of"
            f" {slowest.family} ({time.perf_counter() - begun:.0f} s in all)",
            flush=True,
        )


def _fault(growth: Growth, plain: float) -> str:
    if growth.error or growth.slow:
        return str(growth)
    size, seconds = growth.seconds[-1]
    is_largest = size == sizes_up_to(MEGABYTE)[-1]
    if plain and is_largest and seconds > max(HARMLESS_SECONDS, MOST_BESIDE_PLAIN * plain):
        return f"{growth}; {seconds / plain:.0f} times the time of plain text"
    return ""


def patterns(chosen: str, faults: Faults, most: int) -> Iterator[tuple[Growth, str]]:
    """Yield each measurement of a pattern, and what is wrong with it, if anything."""
    found = [pattern for pattern in find_patterns("pipeline") if re.search(chosen, pattern.name)]
    print(f"{len(found)} patterns", flush=True)
    for pattern in found:
        largest = min(PATTERN_SIZE, LIMITED.get(pattern.name, PATTERN_SIZE))
        attacks = pattern_attacks(pattern.pattern)
        for growth in measure(pattern.name, pattern.run, attacks, largest):
            yield growth, str(growth) if growth.slow or growth.error else ""
            if faults.get(pattern.name, 0) >= most:
                break


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 if anything is slow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names that match this pattern")
    parser.add_argument("--every", type=int, default=1, help="one family in so many")
    parser.add_argument("--patterns", action="store_true", help="patterns alone")
    parser.add_argument("--functions", action="store_true", help="functions alone")
    parser.add_argument("--faults", type=int, default=5, help="leave a target after so many")
    args = parser.parse_args(arguments)
    count = 0
    faults: Faults = {}
    for part, wanted in (
        (functions(args.only, args.every, faults, args.faults), not args.patterns),
        (patterns(args.only, faults, args.faults), not args.functions),
    ):
        for growth, fault in part if wanted else ():
            count += 1
            if fault:
                faults[growth.target] = faults.get(growth.target, 0) + 1
                print(f"SLOW {fault}", flush=True)
    print(f"{count:,} measurements; slow: {faults or 'none'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

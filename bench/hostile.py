"""Print what does not read hostile text in linear time; `make fuzz` runs it.

python bench/hostile.py [--only PATTERN] [--patterns | --functions] [--every 1]

Every function of `tests/support/hostile_targets.py` reads every family of hostile texts, at growing
sizes; what is slowest is measured up to a megabyte, beside plain text of the same size. Every
compiled pattern of the package scans the texts that are derived from it. Something fails where
twice the text takes more than 2.2 times the time, where a megabyte takes more than ten times as
long as the stage enrich needs for a megabyte of plain text, or where a size does not end.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.growth import MEGABYTE, Growth, measure, sizes_up_to, survey  # noqa: E402
from tests.support.hostile_targets import GUARDED, LIMITED, targets  # noqa: E402
from tests.support.hostile_texts import FAMILIES, PLAIN, AnyFamily  # noqa: E402
from tests.support.pattern_attacks import find_patterns, pattern_attacks  # noqa: E402

# A megabyte may take so many times the time that enrich needs for a megabyte of plain text.
MOST_BESIDE_PLAIN = 10
# Patterns are scanned with texts of these sizes: quadratic ones need seconds for the largest.
PATTERN_SIZE = 65_536
# A pattern of a limited text scans as many such texts as make this size, in at most this time: two
# seconds for a megabyte of such texts.
LIMITED_SECONDS = 0.125


Faults = dict[str, int]


def functions(chosen: str, every: int, faults: Faults, enough: int) -> Iterator[tuple[Growth, str]]:
    """Yield each measurement of a function, and what is wrong with it, if anything."""
    (_, whole), *_ = targets("^enrich mail with plain text$")
    most = MOST_BESIDE_PLAIN * next(measure("enrich", whole, [PLAIN])).seconds[-1][1]
    print(f"a megabyte may take {most:.1f} s", flush=True)
    for name, target in targets(chosen):
        plain = next(measure(name, target, [PLAIN]))
        yield plain, _fault(plain, most)
        largest = plain.seconds[-1][1] if plain.seconds else 0.0
        begun, slowest = time.perf_counter(), plain
        for growth in survey(name, target, FAMILIES[::every]):
            yield growth, _fault(growth, most)
            if growth.seconds and growth.seconds[-1][1] > slowest.seconds[-1][1]:
                slowest = growth
            if faults.get(name, 0) >= enough:
                break
        print(
            f"{name}: {largest:.2f} s for {sizes_up_to(MEGABYTE)[-1]:,} characters of plain text,"
            f" {slowest.seconds[-1][1]:.2f} s for {slowest.seconds[-1][0]:,} of"
            f" {slowest.family} ({time.perf_counter() - begun:.0f} s in all)",
            flush=True,
        )


def _fault(growth: Growth, most: float) -> str:
    slow = growth.error or growth.slow or growth.seconds[-1][1] > most
    return str(growth) if slow else ""


def patterns(chosen: str, faults: Faults, enough: int) -> Iterator[tuple[Growth, str]]:
    """Yield each measurement of a pattern, and what is wrong with it, if anything."""
    found = [
        pattern
        for pattern in find_patterns("pipeline")
        if re.search(chosen, pattern.name) and pattern.name not in GUARDED
    ]
    print(f"{len(found)} patterns", flush=True)
    for pattern in found:
        attacks: Sequence[AnyFamily] = pattern_attacks(pattern.pattern)
        most = math.inf
        if limit := LIMITED.get(pattern.name):
            attacks, most = [Limited(attack, limit) for attack in attacks], LIMITED_SECONDS
        for growth in measure(pattern.name, _each_text(pattern.run), attacks, PATTERN_SIZE):
            yield growth, _fault(growth, most)
            if faults.get(pattern.name, 0) >= enough:
                break


@dataclass(frozen=True, slots=True)
class Limited:
    """As many texts of a family, of a limited size, as make up the size that is asked for."""

    family: AnyFamily
    limit: int

    @property
    def name(self) -> str:
        """The name of the family, and the limit."""
        return f"{self.family.name} of {self.limit} characters"

    def text(self, size: int) -> str:
        """Return the texts, separated by what `_each_text` splits at."""
        return _SEPARATOR.join([self.family.text(self.limit)] * max(1, size // self.limit))


# A noncharacter of Unicode: no family has it.
_SEPARATOR = "\uffff"


def _each_text(function: Callable[[str], object]) -> Callable[[str], object]:
    return lambda texts: [function(text) for text in texts.split(_SEPARATOR)]


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

"""The faults, and the seeded order in which they are injected."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Every kind at least once in the short form; the long form repeats them in rounds.
KINDS = (
    "kill enrich",
    "kill converse",
    "kill load",
    "kill resolve",
    "kill enrich inside a transaction",
    "kill converse inside a transaction",
    "kill load inside a transaction",
    "kill load inside an insert",
    "kill all workers",
    "kill the feeder",
    "add enrich",
    "add converse",
    "add load",
    "remove enrich",
    "remove converse",
    "remove load",
    "kill the broker",
    "kill ClickHouse",
    "drop the connections to ClickHouse inside an insert",
    "stall the connections to ClickHouse",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens when enrich has handled a share of all raw records."""

    what: str
    at: float


def schedule(seed: int, count: int, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """Return `count` faults, evenly over the flow and over the kinds; the same for a seed.

    >>> schedule(1, 2, ["kill load"])[0].what
    'kill load'
    """
    chance = random.Random(seed)
    names = list(_rounds(chance, count, kinds))
    # None in the last tenth, so that every fault has work to disturb.
    return [
        Fault(what, 0.02 + 0.88 * (number + chance.random() / 2) / count)
        for number, what in enumerate(names)
    ]


def _rounds(chance: random.Random, count: int, kinds: Sequence[str]) -> Iterator[str]:
    yielded = 0
    while yielded < count:
        # Workers are added before they are removed, in every round.
        order = sorted(kinds, key=lambda kind: (kind.startswith("remove"), chance.random()))
        yield from order[: count - yielded]
        yielded += len(order)

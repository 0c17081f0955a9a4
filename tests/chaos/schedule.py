"""The faults, and the seeded order in which they come."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Every kind at least once in the short form; the long form goes round and round.
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
    """What happens, when the raw records that enrich has handled reach a share of all."""

    what: str
    at: float


def schedule(seed: int, count: int, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """Return `count` faults, evenly over the flow, every kind as often as every other; the same for
    the same seed.
    """
    chance = random.Random(seed)
    names = list(_rounds(chance, count, kinds))
    # The last tenth is left to drain, so that every fault has work to disturb.
    return [
        Fault(what, 0.02 + 0.88 * (number + chance.random() / 2) / count)
        for number, what in enumerate(names)
    ]


def _rounds(chance: random.Random, count: int, kinds: Sequence[str]) -> Iterator[str]:
    given = 0
    while given < count:
        # Workers are added before they are removed, in every round.
        order = sorted(kinds, key=lambda kind: (kind.startswith("remove"), chance.random()))
        yield from order[: count - given]
        given += len(order)

"""The models of a version, as they were when they answered: the examples topic, folded up to it once more."""

from __future__ import annotations

import orjson

from pipeline.models.heads import Head
from pipeline.models.replica import Classifier, Replica, rules_version
from pipeline.runtime.log import Scan
from schemas.topics import EXAMPLES

# As much as a worker takes in at once.
_SCAN_RECORDS = 1_000


def models_of(log: Scan, version: str, heads: tuple[Head, ...]) -> Classifier | None:
    """Return the models that answer with this version, folded anew; None where another recipe or generation made it.

    A hundred thousand examples take some twenty seconds.
    """
    fresh = Replica(heads=heads)
    if version == rules_version(heads):
        return fresh.snapshot()
    generation, _, rest = version.partition("/")
    offset, _, recipe = rest.partition("/")
    if recipe != fresh.recipe or generation != str(fresh.generation):
        return None
    last = int(offset)
    while fresh.offset < last:
        records = log.scan(EXAMPLES.name, 0, fresh.offset + 1, _SCAN_RECORDS)
        if not records:
            return None
        for record in records:
            if record.offset <= last:
                fresh.apply(orjson.loads(record.value), record.offset)
        if records[-1].offset >= last:
            break
    return fresh.snapshot() if fresh.offset == last else None

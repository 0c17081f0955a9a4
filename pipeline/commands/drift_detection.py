"""Drift detection: whether the error rate of a head changed, by ADWIN over its tests.

The tests are in the order of the examples. A. Bifet, R. Gavaldà: Learning from time-changing data
with adaptive windowing, SDM 2007; the implementation is that of river.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from river import drift

from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import Log
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.envelope import stable_id
from schemas.labels import Drift
from schemas.topics import QUALITY

# The probability of a false alarm when the error rate is constant: the default of river and of the
# paper.
_DELTA = 0.002
_DETECTOR = f"adwin {_DELTA}"

_TESTS = """
SELECT tenant, head, toString(label_id) AS label_id, NOT correct AS wrong,
    replaceOne(toString(labelled_at), ' ', 'T') || 'Z' AS at
FROM assessments
ORDER BY tenant, head, generation, offset
"""
_KNOWN = "SELECT tenant, head, max(tests) AS tests FROM drifts GROUP BY tenant, head"


@dataclass(frozen=True, slots=True)
class HeadTest:
    """One test of a head: the label, its time (RFC 3339), and whether the answer was wrong."""

    label_id: str
    at: str
    wrong: bool


def error_rate_changes(tests: Iterable[HeadTest]) -> Iterator[tuple[int, HeadTest, float, float]]:
    """Yield the changes of the error rate: count of tests, the test, the rates before and after."""
    window = drift.ADWIN(delta=_DELTA)  # type: ignore[no-untyped-call]
    errors: list[bool] = []
    for count, test in enumerate(tests, 1):
        errors.append(test.wrong)
        window.update(test.wrong)  # type: ignore[no-untyped-call]
        if window.drift_detected:
            dropped = len(errors) - int(window.width)
            before, errors = errors[:dropped], errors[dropped:]
            if before and errors:
                yield count, test, sum(before) / len(before), sum(errors) / len(errors)


def new_drifts(warehouse: Warehouse) -> list[Drift]:
    """Return the drifts that the history does not contain yet, by tenant and head."""
    known = {(row["tenant"], row["head"]): int(row["tests"]) for row in rows(warehouse, _KNOWN)}
    found = []
    for key, tests in groupby(
        rows(warehouse, _TESTS), key=lambda row: (row["tenant"], row["head"])
    ):
        for count, test, before, after in error_rate_changes(map(_test, tests)):
            # A corrected label moves a test a little: do not report a known drift again a few tests
            # later.
            if count > known.get(key, 0):
                found.append(_drift(*key, count, test, before, after))
    return found


def _test(row: dict[str, Any]) -> HeadTest:
    return HeadTest(row["label_id"], row["at"], bool(row["wrong"]))


def _drift(
    tenant: str, head: str, count: int, test: HeadTest, before: float, after: float
) -> Drift:
    return Drift.model_validate(
        {
            "drift_id": stable_id("drift", tenant, head, test.label_id),
            "tenant": tenant,
            "head": head,
            "label_id": UUID(test.label_id),
            "noticed_at": test.at,
            "tests": count,
            "error_before": before,
            "error_after": after,
            "detector": _DETECTOR,
        }
    )


def publish_new_drifts(warehouse: Warehouse, log: Log) -> list[Drift]:
    """Write new drifts to the log, and return them."""
    found = new_drifts(warehouse)
    if found:
        with log.transaction() as transaction:
            transaction.produce(
                [encode_contract(QUALITY.name, drifted.head, drifted) for drifted in found]
            )
    return found

"""Measure our drift detector, compared with those of river, on the same streams of errors.

`python bench/drift_detectors.py --data ../shared/data`. Synthetic streams are Bernoulli errors:
steady rates for false alarms, and rates that jump so that half of the right answers become wrong.
Real streams are the prequential errors of the learner on data sets, as they are for false alarms,
and with labels permuted half-way. The learner does not restart on them. Delays are tests from the
change to the first alarm after it, at the median, `date` is the error of the detector's estimate of
when the change began; an alarm before the change counts as false. After an alarm a detector starts
again. Of Page-Hinkley the report has the default, and the settings with the smallest delay among
those with no more false alarms than ours. Times are CPU microseconds per update.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models_data import Rows, load, shuffled
from models_streams import DRIFT_SETS, permuted
from river import drift

from pipeline.models.adapters import extract_raw
from pipeline.models.drift import DriftDetector
from pipeline.models.learner import Learner

RATES = (0.02, 0.1, 0.3, 0.5)
STEADY_TESTS, JUMP_AT, JUMP_TESTS, JUMPS = 100_000, 1_000, 1_000, 100
SETS = ("banking77", "waimai", "smp2017", "sms", "airline", "spam_sms")
LIMIT = 8_000
SEED = 7


class Ours:
    """Our detector; `since` is its estimate of the tests since the change."""

    def __init__(self) -> None:
        self._detector = DriftDetector()

    def update(self, wrong: bool) -> bool:
        """Return whether an error, or none, raises an alarm."""
        return self._detector.update(wrong)

    @property
    def since(self) -> float:
        """Tests since the change, by the detector."""
        return self._detector.suspected


class River:
    """A detector of river; only ADWIN estimates when the change began."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._detector = make()

    def update(self, wrong: bool) -> bool:
        """Return whether an error, or none, raises an alarm."""
        before = getattr(self._detector, "estimation", 0.0)
        self._detector.update(float(wrong))
        # ADWIN detects falls too, which are no drift of a model that learns.
        return self._detector.drift_detected and getattr(self._detector, "estimation", 1.0) > before

    @property
    def since(self) -> float:
        """Tests since the change, by the detector."""
        return getattr(self._detector, "width", float("nan"))


Factory = Callable[[], Ours | River]


def of_river(make: Callable[[], Any]) -> Factory:
    """Return a factory of a river detector."""
    return lambda: River(make)


def alarms(factory: Factory, errors: Sequence[bool]) -> list[tuple[int, float]]:
    """Return after how many tests each alarm was raised, and how long ago the change was."""
    detector, positions = factory(), []
    for position, wrong in enumerate(errors, 1):
        if detector.update(wrong):
            positions.append((position, detector.since))
            detector = factory()
    return positions


def bernoulli(rate: float, count: int, chance: random.Random) -> list[bool]:
    """Return random errors of a rate."""
    return [chance.random() < rate for _ in range(count)]


@dataclass(frozen=True)
class Delays:
    """Median delay, median error of the date, changes missed, and false alarms before them."""

    delay: float
    date_error: float
    missed: int
    false: int


def delays(factory: Factory, streams: Sequence[tuple[list[bool], int]]) -> Delays:
    """Return how a detector does on streams with one change each."""
    found, dates, missed, false = [], [], 0, 0
    for errors, change in streams:
        positions = alarms(factory, errors)
        false += sum(position <= change for position, _ in positions)
        after = [(position - change, since) for position, since in positions if position > change]
        missed += not after
        for delay, since in after[:1]:
            found.append(delay)
            dates.append(abs(since - delay))
    nan = float("nan")
    return Delays(
        statistics.median(found) if found else nan,
        statistics.median(dates) if dates else nan,
        missed,
        false,
    )


@dataclass(frozen=True)
class Streams:
    """Streams of errors: `jumps` and `permuted` with the number of tests before the change."""

    steady: list[list[bool]]
    undisturbed: list[list[bool]]
    jumps: list[tuple[list[bool], int]]
    permuted: list[tuple[list[bool], int]]


class NoRestart(DriftDetector):
    """A detector that never raises an alarm."""

    def update(self, wrong: bool) -> bool:
        """Return False."""
        return False


def errors_of(rows: Rows) -> list[bool]:
    """Return the prequential errors of a learner that does not restart."""
    learner = Learner()
    learner._detector = NoRestart()
    errors = []
    for text, label in rows:
        guess = learner.learn(extract_raw([text]), label)
        if guess is not None:
            errors.append(guess != label)
    return errors


def report(name: str, factory: Factory, streams: Streams) -> None:
    """Print one line for a detector."""
    start = time.process_time()
    steady = sum(len(alarms(factory, errors)) for errors in streams.steady)
    us = 1e6 * (time.process_time() - start) / sum(map(len, streams.steady))
    real = sum(len(alarms(factory, errors)) for errors in streams.undisturbed)
    columns = ""
    for changes in (streams.jumps, streams.permuted):
        result = delays(factory, changes)
        columns += f"{result.delay:>10.0f}{result.date_error:>7.0f}"
        columns += f"{result.missed:>8}{result.false:>7}"
    print(f"{name:<44}{us:>7.2f}{steady:>9}{real:>8}{columns}", flush=True)


def best_page_hinkley(streams: Streams, allowed: int) -> dict[str, float]:
    """Return the Page-Hinkley settings of smallest delay without more false alarms than allowed."""
    best: tuple[float, dict[str, float]] = (float("inf"), {})
    for threshold, delta, alpha in itertools.product(
        (5, 10, 15, 20, 30, 50), (0.005, 0.05, 0.1, 0.15, 0.2), (0.99, 0.999, 0.9999)
    ):
        settings = {"threshold": threshold, "delta": delta, "alpha": alpha}
        factory = of_river(partial(drift.PageHinkley, mode="up", **settings))
        false = 0
        for errors in [*streams.undisturbed, *streams.steady]:
            false += len(alarms(factory, errors))
            if false > allowed:
                break
        else:
            result = delays(factory, streams.jumps)
            if not result.missed and result.delay < best[0]:
                best = (result.delay, settings)
    return best[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    chance = random.Random(SEED)
    jumps = [
        (
            bernoulli(rate, JUMP_AT, chance) + bernoulli((1 + rate) / 2, JUMP_TESTS, chance),
            JUMP_AT,
        )
        for rate in RATES
        for _ in range(JUMPS // len(RATES))
    ]
    turned: list[tuple[list[bool], int]] = []
    for name, seed in itertools.product(DRIFT_SETS, (7, 8, 9)):
        rows = permuted(shuffled(load(options.data, name), LIMIT, seed), seed)
        errors = errors_of(rows)
        turned.append((errors, len(errors) - len(rows) // 2))
    streams = Streams(
        [bernoulli(rate, STEADY_TESTS, chance) for rate in RATES],
        [errors_of(shuffled(load(options.data, name), LIMIT, SEED)) for name in SETS],
        jumps,
        turned,
    )
    print(
        f"{'detector':<44}{'µs':>7}{'steady':>9}{'real':>8}{'jumps':>10}{'date':>7}{'missed':>8}{'false':>7}"
        f"{'permuted':>10}{'date':>7}{'missed':>8}{'false':>7}"
    )
    report("ours", Ours, streams)
    report("ADWIN", of_river(drift.ADWIN), streams)
    report("ADWIN(delta=1e-6)", of_river(lambda: drift.ADWIN(delta=1e-6)), streams)
    report(
        "ADWIN(delta=1e-6, clock=1)", of_river(lambda: drift.ADWIN(delta=1e-6, clock=1)), streams
    )
    report("Page-Hinkley", of_river(lambda: drift.PageHinkley(mode="up")), streams)
    report("DDM", of_river(drift.binary.DDM), streams)
    report("HDDM_A", of_river(drift.binary.HDDMA), streams)
    careful = partial(drift.binary.HDDMA, drift_confidence=1e-6)
    report("HDDM_A(drift_confidence=1e-6)", of_river(careful), streams)
    allowed = sum(len(alarms(Ours, errors)) for errors in [*streams.undisturbed, *streams.steady])
    settings = best_page_hinkley(streams, allowed)
    if settings:
        tuned = of_river(partial(drift.PageHinkley, mode="up", **settings))
        report(f"Page-Hinkley {settings}", tuned, streams)
    else:
        print("no setting of Page-Hinkley has as few false alarms")


if __name__ == "__main__":
    sys.exit(main())

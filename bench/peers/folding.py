"""The stateful job of the comparison: per key a running count and the list of numbers seen; what a
worker is told, what must come out.
"""

from __future__ import annotations

import argparse
import ctypes
import signal
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEYS = 500
# The same for both, so that neither misses a dead worker sooner than the other: DESIGN §4.
SESSION_MS, TRANSACTION_MS = 6_000, 10_000
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class FoldJob:
    """What one worker of the stateful job does; `slot` tells the workers of a group apart and is
    the same after a restart.
    """

    broker: str
    source: str
    target: str
    states: str
    group: str
    slot: str
    folder: Path


def fold_job() -> FoldJob:
    """Return the job that the command line gives."""
    parser = argparse.ArgumentParser()
    for name in ("broker", "source", "target", "states", "group", "slot", "folder"):
        parser.add_argument(f"--{name}", required=True)
    given = vars(parser.parse_args())
    # No worker outlives the bench that started it (Linux).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return FoldJob(**{**given, "folder": Path(given["folder"])})


def key_of(number: int) -> str:
    """Return the key of an input: neighbours have different ones, every key comes again and
    again.
    """
    return f"k{number * 7_919 % KEYS}"


# What a key's outputs must be, in order: each with the count and the list as they were then.
Truth = dict[str, list[tuple[int, list[int]]]]


def truth(numbers: Sequence[int]) -> Truth:
    """Return what must come of these inputs, key by key."""
    seen: dict[str, list[int]] = defaultdict(list)
    outputs: Truth = defaultdict(list)
    for number in numbers:
        items = seen[key_of(number)]
        items.append(number)
        outputs[key_of(number)].append((len(items), list(items)))
    return dict(outputs)


@dataclass(frozen=True)
class Verdict:
    """How outputs and final states differ from the truth; all zero where they do not."""

    missing: int
    surplus: int
    wrong_keys: int
    wrong_states: int

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.surplus or self.wrong_keys or self.wrong_states)


def judge(expected: Truth, outputs: Truth, states: Mapping[str, tuple[int, list[int]]]) -> Verdict:
    """Compare outputs, in the order in which they lie in the log, and the last states with the
    truth.
    """
    return Verdict(
        missing=sum(
            max(len(all_) - len(outputs.get(key, [])), 0) for key, all_ in expected.items()
        ),
        surplus=sum(
            max(len(all_) - len(expected.get(key, [])), 0) for key, all_ in outputs.items()
        ),
        wrong_keys=sum(outputs.get(key) != all_ for key, all_ in expected.items()),
        wrong_states=sum(states.get(key) != all_[-1] for key, all_ in expected.items()),
    )

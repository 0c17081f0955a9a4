"""The stateful job of the comparison: a running count and a list of numbers for each key."""

from __future__ import annotations

import argparse
import ctypes
import signal
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEYS = 500
# The same for both systems, so that both notice a dead worker after the same time.
SESSION_MS, TRANSACTION_MS = 6_000, 10_000
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class FoldJob:
    """The job of one worker; `slot` identifies it in its group, also after a restart."""

    broker: str
    source: str
    target: str
    states: str
    group: str
    slot: str
    folder: Path


def fold_job() -> FoldJob:
    """Return the job of the command line."""
    parser = argparse.ArgumentParser()
    for name in ("broker", "source", "target", "states", "group", "slot", "folder"):
        parser.add_argument(f"--{name}", required=True)
    options = vars(parser.parse_args())
    # No worker outlives the bench that started it (Linux).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return FoldJob(**{**options, "folder": Path(options["folder"])})


def key_of(number: int) -> str:
    """Return the key of an input: neighbours have different keys, and every key is frequent."""
    return f"k{number * 7_919 % KEYS}"


# The outputs of each key in order, each with the count and the list at that time.
Outputs = dict[str, list[tuple[int, list[int]]]]


def expected_outputs(numbers: Sequence[int]) -> Outputs:
    """Return the expected outputs of these inputs by key."""
    items_by_key: dict[str, list[int]] = defaultdict(list)
    outputs: Outputs = defaultdict(list)
    for number in numbers:
        items = items_by_key[key_of(number)]
        items.append(number)
        outputs[key_of(number)].append((len(items), list(items)))
    return dict(outputs)


@dataclass(frozen=True)
class Differences:
    """The differences of outputs and final states from the expected ones."""

    missing: int
    surplus: int
    wrong_keys: int
    wrong_states: int

    @property
    def clean(self) -> bool:
        """Whether there are no differences."""
        return not (self.missing or self.surplus or self.wrong_keys or self.wrong_states)


def compare(
    expected: Outputs, outputs: Outputs, states: Mapping[str, tuple[int, list[int]]]
) -> Differences:
    """Compare outputs, in log order, and the last states with the expected ones."""
    return Differences(
        missing=sum(
            max(len(all_) - len(outputs.get(key, [])), 0) for key, all_ in expected.items()
        ),
        surplus=sum(
            max(len(all_) - len(expected.get(key, [])), 0) for key, all_ in outputs.items()
        ),
        wrong_keys=sum(outputs.get(key) != all_ for key, all_ in expected.items()),
        wrong_states=sum(states.get(key) != all_[-1] for key, all_ in expected.items()),
    )

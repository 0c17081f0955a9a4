"""Snapshots of a replica: they shorten the start and hold nothing that the examples topic does not."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy.typing as npt

from pipeline.models.doubt import Doubt
from pipeline.models.heads import HEADS, Head
from pipeline.models.learner import Learner
from pipeline.models.packing import StateError, pack, unpack
from pipeline.models.replica import Replica, Tally, TallyKey


def dump(replica: Replica) -> bytes:
    """Return the replica as bytes: the state of every head, the tallies, generation, offset and recipe, a checksum.

    Equal replicas give equal bytes.
    """
    headers: dict[str, Any] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, learner in replica.learners().items():
        headers[name], parts = learner.state()
        arrays |= {f"{name}/{part}": array for part, array in parts.items()}
    header = {
        "generation": replica.generation,
        "offset": replica.offset,
        "recipe": replica.recipe,
        "learners": headers,
        "doubts": {name: doubt.state() for name, doubt in replica.doubts().items()},
        "tallies": [[*key, *astuple(tally)] for key, tally in sorted(replica.tallies.items())],
    }
    return pack(header, arrays)


def load(data: bytes, heads: tuple[Head, ...] = HEADS) -> Replica:
    """Return the replica of `dump`, ready to fold the topic from the offset after its own.

    Raises StateError for bytes that are not a whole and unharmed snapshot, or that another recipe made: the topic must
    then be folded from its beginning.
    """
    header, arrays = unpack(data)
    try:
        replica = Replica(int(header["generation"]), heads, int(header["offset"]))
        if header["recipe"] != replica.recipe:
            raise StateError(
                f"the snapshot was made by recipe {header['recipe']}, this release's is {replica.recipe}: "
                "fold the examples topic from its beginning"
            )
        replica.tallies = {TallyKey(*row[:3]): Tally(*row[3:]) for row in header["tallies"]}
        learners: dict[str, Learner] = {}
        for name, state in header["learners"].items():
            own = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
            learners[name] = Learner.restore(state, own)
        replica.adopt(learners, {name: Doubt.restore(header["doubts"][name]) for name in learners})
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the parts of the snapshot do not fit: {error!r}") from error
    return replica

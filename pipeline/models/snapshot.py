"""Snapshots of the fold, which shorten the start; the examples topic has all they contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.models.abstention import ConfidenceHistogram
from pipeline.models.examples_fold import ControlEvent, ExamplesFold
from pipeline.models.heads import HEADS, Head
from pipeline.models.label_resolution import LabelResolution
from pipeline.models.learner import Learner
from pipeline.models.replica import QualityCounter, QualityKey, Replica
from pipeline.models.state_format import Arrays, StateError, pack, unpack

_LABELS_PREFIX = "held/"


def dump(replica: Replica) -> bytes:
    """Return the replica as bytes with a checksum; equal replicas give equal bytes."""
    headers: dict[str, Any] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, learner in replica.learners().items():
        headers[name], parts = learner.state()
        arrays |= {f"{name}/{part}": array for part, array in parts.items()}
    for head, columns in replica.label_resolution.state(_labels(replica.heads)).items():
        arrays |= {f"{_LABELS_PREFIX}{head}/{column}": array for column, array in columns.items()}
    header = {
        "generation": replica.generation,
        "offset": replica.offset,
        "recipe": replica.recipe,
        "learners": headers,
        "doubts": {
            name: histogram.state() for name, histogram in replica.confidence_histograms().items()
        },
        "tallies": [
            [*key, *astuple(tally)] for key, tally in sorted(replica.quality_counters.items())
        ],
    }
    return pack(header, arrays)


def load(data: bytes, heads: tuple[Head, ...] = HEADS) -> Replica:
    """Return the replica of `dump`, ready to fold the topic from the offset after its own.

    Raises StateError for bytes that are not a complete and intact snapshot, or that another recipe
    wrote: the topic must then be folded from its beginning.
    """
    header, arrays = unpack(data)
    try:
        replica = Replica(int(header["generation"]), heads, int(header["offset"]))
        if header["recipe"] != replica.recipe:
            raise StateError(
                f"the snapshot was written by recipe {header['recipe']}, but this release has"
                f" {replica.recipe}: fold the examples topic from its beginning"
            )
        replica.quality_counters = {
            QualityKey(*row[:3]): QualityCounter(*row[3:]) for row in header["tallies"]
        }
        replica.restore_learners(
            {
                name: Learner.restore(state, _within(name, arrays))
                for name, state in header["learners"].items()
            },
            {
                name: ConfidenceHistogram.restore(header["doubts"][name])
                for name in header["learners"]
            },
        )
        label_arrays = _within(_LABELS_PREFIX.rstrip("/"), arrays)
        names = {name.partition("/")[0] for name in label_arrays}
        replica.label_resolution = LabelResolution.restore(
            {name: _within(name, label_arrays) for name in sorted(names)}, _labels(heads)
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StateError(f"the parts of the snapshot do not fit together: {error!r}") from error
    return replica


def digest(replica: Replica) -> str:
    """Return the SHA-256 of a replica's bytes, which differs if one bit of a weight differs."""
    return sha256(dump(replica)).hexdigest()


_PARTS = ("live", "building", "pinned")


def dump_fold(fold: ExamplesFold) -> bytes:
    """Return the fold as bytes: its replicas by `dump`, position, control events, a checksum."""
    replicas = {name: getattr(fold, name) for name in _PARTS}
    header = {
        "position": fold.position,
        "marks": [list(event) for event in fold.control_events],
        "pin": None if fold._pin is None else list(fold._pin),
    }
    arrays = {
        name: _as_array(dump(replica)) for name, replica in replicas.items() if replica is not None
    }
    return pack(header, arrays)


def load_fold(data: bytes, heads: tuple[Head, ...] = HEADS) -> ExamplesFold:
    """Return the fold of `dump_fold`; raises StateError as `load` does."""
    header, arrays = unpack(data)
    try:
        replicas = {name: load(_as_bytes(array), heads) for name, array in arrays.items()}
        fold = ExamplesFold(
            heads,
            int(header["position"]),
            replicas["live"],
            replicas.get("building"),
            replicas.get("pinned"),
        )
        fold.control_events = [ControlEvent(*event) for event in header["marks"]]
        fold._pin = None if header["pin"] is None else ControlEvent(*header["pin"])
    except StateError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the parts of the snapshot do not fit together: {error!r}") from error
    return fold


def _labels(heads: tuple[Head, ...]) -> Mapping[str, list[str]]:
    return {head.name: list(head.labels) for head in heads}


def _within(name: str, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {
        key.removeprefix(f"{name}/"): array
        for key, array in arrays.items()
        if key.startswith(f"{name}/")
    }


# Packed states contain numbers of four and eight bytes, so bytes are prefixed by their length and
# padded to whole numbers.
_WORD = 4


def _as_array(data: bytes) -> npt.NDArray[np.int32]:
    whole = len(data).to_bytes(_WORD, "little") + data
    return np.frombuffer(whole + bytes(-len(whole) % _WORD), dtype="<i4")


def _as_bytes(array: npt.NDArray[Any]) -> bytes:
    whole = array.astype("<i4").tobytes()
    return whole[_WORD : _WORD + int.from_bytes(whole[:_WORD], "little")]

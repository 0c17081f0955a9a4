"""Ingests input units: each is read once, resumed after a stop, and continued when it grows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import orjson

from pipeline.ingest.byte_streams import UnreadableUnitError
from pipeline.ingest.port import Connector, ConnectorItem, IngestOptions, InputUnit, OptionError
from pipeline.ingest.publisher import Publisher

# Hashing is limited by the disk; larger reads would not be faster.
_HASH_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a unit was read: its first `items` items are durable.

    `done` means that it was read to its end; its first `size` bytes had the hash `prefix`.
    """

    signature: str
    items: int
    done: bool
    size: int = 0
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class UnitResult:
    """The result of one run for one unit.

    A unit with a `problem` was not read to its end, and the next run reads it again.
    """

    name: str
    published: int = 0
    rejected: int = 0
    skipped: int = 0
    unchanged: bool = False
    problem: str = ""


class Ingest:
    """Reads units through a connector into a publisher; `Checkpoint` makes runs resumable."""

    def __init__(self, connector: Connector, options: IngestOptions, publisher: Publisher) -> None:
        self._connector = connector
        self._options = options
        self._publisher = publisher

    def run(self, paths: Sequence[Path]) -> Iterator[UnitResult]:
        """Read all units of the paths and yield the result of each.

        A unit that needs an option, or that cannot be read, has the problem in its result; the
        others are read nevertheless. Everything is durable when the last result has been yielded.
        Raises FileNotFoundError for a missing path.
        """
        for unit in self._connector.units(paths):
            try:
                yield self._read(unit)
            except (OptionError, OSError) as error:
                yield UnitResult(unit.name, problem=str(error))
        self._publisher.flush()

    def _read(self, unit: InputUnit) -> UnitResult:
        key = self._key(unit)
        last = self._checkpoint(key)
        if last is not None and last.done and unit.signature and last.signature == unit.signature:
            return UnitResult(unit.name, skipped=last.items, unchanged=True)
        start = self._start(unit, last)
        return self._publish(unit, key, self._connector.read(unit, self._options), start)

    def _publish(
        self, unit: InputUnit, key: str, items: Iterator[ConnectorItem], start: int
    ) -> UnitResult:
        publisher = self._publisher
        label = f"{self._connector.name}/{self._connector.version}"
        done, before = sum(1 for _ in islice(items, start)), publisher.counts.copy()
        for item in items:
            publisher.publish(item, label, self._options.tenant)
            done += 1
            if publisher.full:
                publisher.mark(key, _dump(Checkpoint(unit.signature, done, done=False)))
                publisher.flush()
        size, prefix = _fingerprint(unit)
        publisher.mark(
            key, _dump(Checkpoint(unit.signature, done, done=True, size=size, prefix=prefix))
        )
        if publisher.full:
            publisher.flush()
        counts = publisher.counts - before
        return UnitResult(
            unit.name, counts["published"], counts["rejected"], skipped=min(start, done)
        )

    def _key(self, unit: InputUnit) -> str:
        options = self._options
        settings = (
            options.tenant,
            options.source,
            str(options.zone),
            options.own.entries,
            sorted(options.extra.items()),
        )
        digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
        return f"ingest/{self._connector.name}/{digest}/{unit.name}"

    def _checkpoint(self, key: str) -> Checkpoint | None:
        value = self._publisher.log.checkpoint(key)
        return None if value is None else Checkpoint(**orjson.loads(value))

    def _start(self, unit: InputUnit, last: Checkpoint | None) -> int:
        """Return how many items at the start of the unit are published already and unchanged."""
        if last is None:
            return 0
        if not last.done:
            return last.items if last.signature == unit.signature else 0
        # The file may have ended in the middle of its last item, so that one is read again. If it
        # was complete it has the same id, and is a redelivery.
        if not self._connector.append_only:
            return 0
        grown = (
            last.size > 0
            and Path(unit.name).is_file()
            and _hash_of_first(unit, last.size) == last.prefix
        )
        return max(last.items - 1, 0) if grown else 0


def _dump(checkpoint: Checkpoint) -> bytes:
    return orjson.dumps(asdict(checkpoint))


def _fingerprint(unit: InputUnit) -> tuple[int, str]:
    """Return size and hash of a plain file, and (0, "") for a member of an archive.

    An archive member can only be read once, and does not grow.
    """
    return _hash_of(unit, None) if Path(unit.name).is_file() else (0, "")


def _hash_of_first(unit: InputUnit, size: int) -> str:
    read, digest = _hash_of(unit, size)
    return digest if read == size else ""


def _hash_of(unit: InputUnit, limit: int | None) -> tuple[int, str]:
    try:
        with unit.open() as stream:
            return _hash(stream, limit)
    except UnreadableUnitError:
        # The connector has reported the damage already. A damaged file has no fingerprint, so it is
        # read from its start when it changes.
        return 0, ""


def _hash(stream: BinaryIO, limit: int | None) -> tuple[int, str]:
    digest, read = hashlib.blake2b(digest_size=16), 0
    while block := stream.read(_HASH_BLOCK if limit is None else min(_HASH_BLOCK, limit - read)):
        digest.update(block)
        read += len(block)
    return read, digest.hexdigest()

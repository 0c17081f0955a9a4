"""Ingesting: units are read once, resumed where a stop left them, and read further where they have
grown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import orjson

from pipeline.ingest.byte_streams import UnreadableUnitError
from pipeline.ingest.port import Connector, IngestOptions, Item, OptionError, Unit
from pipeline.ingest.publisher import Publisher

# Reading for a hash is bound by the disk; a larger block saves nothing.
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a unit was read: `items` are durable; `done` means to its end, whose first `size`
    bytes hash to `prefix`.
    """

    signature: str
    items: int
    done: bool
    size: int = 0
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What one run made of one unit; one with a `problem` was not read to its end, and is read
    again next time.
    """

    name: str
    published: int = 0
    refused: int = 0
    skipped: int = 0
    unchanged: bool = False
    problem: str = ""


class Ingest:
    """Reads units through a connector into a publisher; see `Checkpoint` for what makes it
    resumable and idempotent.
    """

    def __init__(self, connector: Connector, options: IngestOptions, publisher: Publisher) -> None:
        self._connector = connector
        self._options = options
        self._publisher = publisher

    def run(self, paths: Sequence[Path]) -> Iterator[UnitResult]:
        """Read all units of the paths and yield what came of each; raises FileNotFoundError where a
        path is not there.

        A unit that needs an option or cannot be read is told in its result, and the others are read
        all the same. Everything is durable when the last result has been taken.
        """
        for unit in self._connector.units(paths):
            try:
                yield self._read(unit)
            except (OptionError, OSError) as error:
                yield UnitResult(unit.name, problem=str(error))
        self._publisher.flush()

    def _read(self, unit: Unit) -> UnitResult:
        key = self._key(unit)
        last = self._checkpoint(key)
        if last is not None and last.done and unit.signature and last.signature == unit.signature:
            return UnitResult(unit.name, skipped=last.items, unchanged=True)
        start = self._start(unit, last)
        return self._publish(unit, key, self._connector.read(unit, self._options), start)

    def _publish(self, unit: Unit, key: str, items: Iterator[Item], start: int) -> UnitResult:
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
        made = publisher.counts - before
        return UnitResult(unit.name, made["published"], made["refused"], skipped=min(start, done))

    def _key(self, unit: Unit) -> str:
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

    def _start(self, unit: Unit, last: Checkpoint | None) -> int:
        """Return how many items were published before and stand unchanged at the unit's head."""
        if last is None:
            return 0
        if not last.done:
            return last.items if last.signature == unit.signature else 0
        # A file that has grown may have ended inside its last item: that one is read again, and is
        # the same record if it was whole.
        if not self._connector.keeps_items:
            return 0
        grown = (
            last.size > 0
            and Path(unit.name).is_file()
            and _hash_of_first(unit, last.size) == last.prefix
        )
        return max(last.items - 1, 0) if grown else 0


def _dump(checkpoint: Checkpoint) -> bytes:
    return orjson.dumps(asdict(checkpoint))


def _fingerprint(unit: Unit) -> tuple[int, str]:
    """Return size and hash of a plain file; a member of an archive can be read once only, and
    cannot grow.
    """
    return _hash_of(unit, None) if Path(unit.name).is_file() else (0, "")


def _hash_of_first(unit: Unit, size: int) -> str:
    read, digest = _hash_of(unit, size)
    return digest if read == size else ""


def _hash_of(unit: Unit, limit: int | None) -> tuple[int, str]:
    try:
        with unit.open() as stream:
            return _hash(stream, limit)
    except UnreadableUnitError:
        # The reading has told the damage already; a damaged file that changes is read from its
        # start.
        return 0, ""


def _hash(stream: BinaryIO, limit: int | None) -> tuple[int, str]:
    digest, read = hashlib.blake2b(digest_size=16), 0
    while block := stream.read(_BLOCK if limit is None else min(_BLOCK, limit - read)):
        digest.update(block)
        read += len(block)
    return read, digest.hexdigest()

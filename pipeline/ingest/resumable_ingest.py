"""Ingests input units: each is read once, resumed after a stop, and continued when it grows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from pipeline.ingest.byte_streams import UnreadableUnitError
from pipeline.ingest.distinct_items import DistinctItems
from pipeline.ingest.port import Connector, ConnectorItem, IngestOptions, InputUnit, OptionError
from pipeline.ingest.publisher import Publisher
from pipeline.log.port import LogError

# Hashing is limited by the disk; larger reads would not be faster.
_HASH_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a unit was read: its first `items` items are durable.

    `done` means that it was read to its end; its first `size` bytes had the hash `prefix`.
    `distinct` counts the items that no earlier reading of the unit had, whatever its options and
    content were; it is None in checkpoints of 0.2.0 and earlier.
    """

    signature: str
    items: int
    done: bool
    size: int = 0
    prefix: str = ""
    distinct: int | None = None

    @property
    def read(self) -> int:
        """How many items the reconciliation has to find in the history, or as dead letters."""
        return self.items if self.distinct is None else self.distinct


def parse_checkpoint(name: str, value: bytes) -> Checkpoint:
    """Return the checkpoint of a unit; raises LogError if damage changed it."""
    try:
        return Checkpoint(**orjson.loads(value))
    except (ValueError, TypeError) as error:
        raise LogError(
            f"the checkpoint {name} is damaged ({error}): `switchboard check --repair` removes it,"
            " and the unit is read again, which doubles nothing"
        ) from error


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
        fingerprint = _Fingerprint(unit)
        items = self._connector.read(fingerprint.unit, self._options)
        return self._publish(key, items, start, fingerprint, self._counter(unit, last))

    def _counter(self, unit: InputUnit, last: Checkpoint | None) -> _Counter:
        if last is not None and last.distinct is None:
            # Read by 0.2.0 or earlier: which items it had is unknown, so they are counted as then.
            return _Counter(None, 0)
        distinct = DistinctItems(self._publisher.log, self._connector.name, unit.name)
        return _Counter(distinct, 0 if last is None else last.read)

    def _publish(
        self,
        key: str,
        items: Iterator[ConnectorItem],
        start: int,
        fingerprint: _Fingerprint,
        counter: _Counter,
    ) -> UnitResult:
        unit = fingerprint.unit
        publisher = self._publisher
        label = f"{self._connector.name}/{self._connector.version}"
        done, before = sum(1 for _ in islice(items, start)), publisher.counts.copy()
        try:
            for item in items:
                publisher.publish(item, label, self._options.tenant, counter.distinct)
                done += 1
                if publisher.full:
                    counter.mark(publisher, key, Checkpoint(unit.signature, done, done=False))
                    publisher.flush()
        except OSError:
            # The items before the damage are on the log and count; the next run reads the unit from
            # its start.
            if counter.distinct is not None:
                counter.mark(publisher, key, Checkpoint("", 0, done=False))
            raise
        size, prefix = fingerprint.value()
        counter.mark(
            publisher, key, Checkpoint(unit.signature, done, done=True, size=size, prefix=prefix)
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
        return None if value is None else parse_checkpoint(key, value)

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


@dataclass(frozen=True, slots=True)
class _Counter:
    """Counts the distinct items of a unit, after `before` of earlier runs with these options."""

    distinct: DistinctItems | None
    before: int

    def mark(self, publisher: Publisher, key: str, checkpoint: Checkpoint) -> None:
        """Add the checkpoint of a unit, and the hashes of its new items, to the batch."""
        if self.distinct is not None:
            checkpoint = replace(checkpoint, distinct=self.before + self.distinct.count)
            if batch := self.distinct.take_batch():
                publisher.mark(*batch)
        publisher.mark(key, orjson.dumps(checkpoint))


class _Fingerprint:
    """Size and hash of a unit, computed while the connector reads it.

    Only plain files have one: a member of an archive does not grow. It is (0, "") if the unit was
    not read to its end, as a damaged one: such a file is read from its start when it changes.
    """

    def __init__(self, unit: InputUnit) -> None:
        self._unit = unit
        self._stream: _HashingStream | None = None
        is_file = Path(unit.name).is_file()
        self.unit = InputUnit(unit.name, self._open, unit.signature) if is_file else unit

    def _open(self) -> BinaryIO:
        self._stream = _HashingStream(self._unit.open())
        return cast("BinaryIO", self._stream)

    def value(self) -> tuple[int, str]:
        stream = self._stream
        return (0, "") if stream is None or not stream.at_end else (stream.size, stream.digest())


class _HashingStream(io.BufferedIOBase):
    """A stream that hashes what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._read1: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self._digest = _new_digest()
        self.size = 0
        self.at_end = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._hashed(self._stream.read(-1 if size is None else size))

    def read1(self, size: int = -1, /) -> bytes:
        return self._hashed(self._read1(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._hashed(self._stream.readline(-1 if size is None else size))

    def _hashed(self, data: bytes) -> bytes:
        self._digest.update(data)
        self.size += len(data)
        self.at_end = not data
        return data

    def digest(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _hash_of_first(unit: InputUnit, size: int) -> str:
    """Return the hash of the first bytes of a unit; "" if there are fewer, or it is damaged."""
    digest, left = _new_digest(), size
    try:
        with unit.open() as stream:
            while left and (block := stream.read(min(_HASH_BLOCK, left))):
                digest.update(block)
                left -= len(block)
    except UnreadableUnitError:
        return ""
    return "" if left else digest.hexdigest()

"""Finds and quarantines records over which their process ends again and again.

Before each batch the host writes to disk which records are in flight. A process that ends meanwhile
counts against them, whatever ended it: a signal, the kernel short of memory, an exit, an exception,
or the limit of CPU time (pipeline/cpu_limit.py). After enough of that the range is handled in
parts, and the part over which the process ends again in smaller ones, until a single record is
left; it becomes a dead letter. Errors of the installation do not count.

The markers survive kill -9 but not the loss of the disk. Workers that share a data folder share
them, so a partition keeps its history when another worker of the machine takes it over.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson
import psutil

from pipeline import cpu_limit
from pipeline.errors import UserError, is_caused_by_record
from pipeline.log.clock import utc_now
from pipeline.log.dead_letters import record_dead_letter
from pipeline.log.port import LogRecord, Message, TopicPartition, offset_ranges
from pipeline.logs import record_fields
from pipeline.outcomes import Reject
from schemas.dead_letters import RejectCode

logger = logging.getLogger(__name__)

# A worker may die for other reasons than its records (an operator, the kernel short of memory):
# three crashes over the same range are no coincidence (docs/adr/0011), and two more over a single
# record identify it as the cause. The limit of CPU time is never reached by coincidence: once is
# enough for a range.
_RANGE_CRASHES, _RECORD_CRASHES = 3, 2
# A suspect range is handled in so many parts. More parts are more commits (0.1 s each), fewer parts
# are more restarts (some seconds each): sixteen find one record of 10,000 after four restarts.
_PARTS = 16
# Longer than any marker is as JSON: every write covers the previous one.
_WIDTH = 512
# Of the line that took too long; a marker must fit into its width.
_MAX_LINE = 120
_NONE = -1
# Partitions of a worker that ended are taken over within minutes, or by its successor.
_TRACE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class CrashMarker:
    """The marker of one partition: the suspect offsets [start, end) and their count of crashes.

    `first` and `last` are the offsets in flight, and `size` is the number of records of a part of a
    suspect range. `alone_deaths` counts the crashes over a part of one record. `slow`: the last
    crash was the limit of CPU time, at `line`. `busy`, `pid` and `born` say which process has the
    records in flight. The fields are the JSON on disk.
    """

    start: int = _NONE
    end: int = _NONE
    deaths: int = 0
    alone_deaths: int = 0
    first: int = _NONE
    last: int = _NONE
    size: int = 0
    slow: bool = False
    line: str = ""
    busy: bool = False
    pid: int = 0
    born: str = ""

    @property
    def suspect(self) -> bool:
        """Whether the records of the range are handled in parts."""
        return self.deaths >= _RANGE_CRASHES or (self.slow and self.deaths > 0)

    @property
    def guilty(self) -> bool:
        """Whether the range is a single record that is the cause."""
        return self.alone_deaths >= _RECORD_CRASHES

    def after_death(self, *, slow: bool, line: str) -> CrashMarker:
        """Return the marker after the process ended with `first` to `last` in flight."""
        alone = self.suspect and self.size == 1
        again = alone and self.alone_deaths > 0 and self.first == self.start
        return replace(
            self,
            # The cause is in the records that were in flight.
            start=self.first,
            end=self.last + 1,
            deaths=self.deaths + 1,
            alone_deaths=(self.alone_deaths + 1 if again else 1) if alone else 0,
            slow=slow,
            line=line,
            busy=False,
        )


@dataclass(frozen=True, slots=True)
class SubBatch:
    """Records that are handled together, with the first and last offset of each partition.

    `isolated`: a part of a suspect range; `rejection`: the cause of the crashes, a single record
    that must not be handled again.
    """

    records: list[LogRecord]
    ranges: dict[TopicPartition, tuple[int, int]]
    isolated: bool = False
    rejection: Reject | None = None

    @classmethod
    def of(
        cls, records: list[LogRecord], *, isolated: bool = False, rejection: Reject | None = None
    ) -> SubBatch:
        """Return a sub-batch of records that are in order within each partition."""
        return cls(records, offset_ranges(records), isolated, rejection)

    @property
    def commit_offsets(self) -> dict[TopicPartition, int]:
        """The offsets to commit: one past the last of each partition."""
        return {partition: last + 1 for partition, (_, last) in self.ranges.items()}


class CrashMarkers:
    """The crash markers of one group's partitions: a file each, written around every batch.

    A write takes some µs. `traces` is the folder of `limit_cpu_time`.
    """

    def __init__(self, folder: Path, traces: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._pid = os.getpid()
        self._born_at = _born(self._pid)
        self._files: dict[TopicPartition, int] = {}
        self._markers: dict[TopicPartition, CrashMarker] = {}
        self._traces = traces

    def take_over(self, partition: TopicPartition) -> None:
        """Open the marker of a new partition; count a crash if a dead process had it in flight."""
        topic, number = partition
        self._files[partition] = os.open(
            self._folder / f"{topic}-{number}", os.O_RDWR | os.O_CREAT, 0o600
        )
        marker = self._read(partition)
        if marker.busy and not _alive(marker):
            line = self._slowest_line(marker.pid)
            marker = marker.after_death(slow=line is not None, line=(line or "")[:_MAX_LINE])
        self._write(partition, replace(marker, busy=False))

    def _slowest_line(self, pid: int) -> str | None:
        """Return where the limit of CPU time ended a process, or None if something else did."""
        if self._traces is None or pid == self._pid:
            return None
        trace = self._traces / str(pid)
        ended = trace.is_file() and trace.stat().st_size > 0
        return cpu_limit.slowest_line(trace) if ended else None

    def give_up(self, partition: TopicPartition) -> None:
        """Close the marker of a partition that another worker takes over."""
        file = self._files.pop(partition, None)
        if file is not None:
            os.close(file)
            del self._markers[partition]

    def give_up_all(self) -> None:
        """Close all markers; `split` opens them again."""
        for partition in list(self._files):
            self.give_up(partition)

    def split(self, records: list[LogRecord]) -> list[SubBatch]:
        """Return a batch as sub-batches, in order within each partition; usually it is one.

        A suspect range is divided into parts, and what follows it comes last. The markers of new
        partitions are opened.
        """
        ranges = offset_ranges(records)
        for partition in ranges:
            if partition not in self._files:
                self.take_over(partition)
        if not any(marker.suspect for marker in self._markers.values()):
            return [SubBatch(records, ranges)]
        together, after = list[LogRecord](), list[LogRecord]()
        suspects: dict[TopicPartition, list[LogRecord]] = {}
        for record in records:
            marker = self._markers[record.topic, record.partition]
            if not marker.suspect or record.offset < marker.start:
                together.append(record)
            elif record.offset < marker.end:
                suspects.setdefault((record.topic, record.partition), []).append(record)
            else:
                after.append(record)
        parts = [
            part for partition, items in suspects.items() for part in self._parts(partition, items)
        ]
        return [
            *([SubBatch.of(together)] if together else []),
            *parts,
            *([SubBatch.of(after)] if after else []),
        ]

    def _parts(self, partition: TopicPartition, records: list[LogRecord]) -> list[SubBatch]:
        """Return the records of a suspect range in parts; a record that is guilty is rejected."""
        marker = self._markers[partition]
        if marker.guilty and records[0].offset == marker.start:
            rejected = SubBatch.of(records[:1], isolated=True, rejection=_rejection(marker))
            return [rejected, *(self._parts(partition, records[1:]) if records[1:] else [])]
        size = max(len(records) // _PARTS, 1)
        return [
            SubBatch.of(records[start : start + size], isolated=True)
            for start in range(0, len(records), size)
        ]

    def begin(self, sub_batch: SubBatch) -> None:
        """Write to disk that a sub-batch is in flight."""
        for partition, (first, last) in sub_batch.ranges.items():
            marker = self._markers[partition]
            if not sub_batch.isolated and not (marker.start == first and marker.deaths):
                marker = CrashMarker(first, last + 1)
            self._write(
                partition,
                replace(
                    marker,
                    first=first,
                    last=last,
                    size=len(sub_batch.records) if sub_batch.isolated else 0,
                    busy=True,
                    pid=self._pid,
                    born=self._born_at,
                ),
            )

    def finish(self, sub_batch: SubBatch) -> None:
        """Clear the markers of a sub-batch that was committed."""
        for partition, (_, last) in sub_batch.ranges.items():
            marker = self._markers[partition]
            complete = last + 1 >= marker.end
            self._write(
                partition,
                CrashMarker()
                if complete
                else replace(marker, start=last + 1, alone_deaths=0, busy=False),
            )

    def fail(self, error: BaseException) -> None:
        """Leave the records in flight as suspect, unless the error is the installation's."""
        if is_installation_error(error):
            self.clear_busy()

    def clear_busy(self) -> None:
        """Clear the in-flight state: the records did not crash the process."""
        for partition, marker in self._markers.items():
            if marker.busy:
                self._write(partition, replace(marker, busy=False))

    def _read(self, partition: TopicPartition) -> CrashMarker:
        raw = os.pread(self._files[partition], _WIDTH, 0).strip()
        try:
            return CrashMarker(**orjson.loads(raw)) if raw else CrashMarker()
        except (ValueError, TypeError):
            # A torn write after a power cut, or the format of another version: start anew.
            return CrashMarker()

    def _write(self, partition: TopicPartition, marker: CrashMarker) -> None:
        self._markers[partition] = marker
        os.pwrite(self._files[partition], orjson.dumps(asdict(marker)).ljust(_WIDTH), 0)


def _alive(marker: CrashMarker) -> bool:
    """Return whether the process that wrote a marker is alive: it lost the partition, no crash."""
    return marker.pid != os.getpid() and bool(marker.born) and _born(marker.pid) == marker.born


def _born(pid: int) -> str:
    """Return when a process started, in seconds since boot; "" if there is no such process.

    A pid alone does not identify a process, because pids are reused.
    """
    try:
        # Both times follow the system clock, their difference does not.
        return f"{psutil.Process(pid).create_time() - psutil.boot_time():.2f}"
    except psutil.Error:
        return ""


@contextmanager
def limit_cpu_time(traces: Path) -> Iterator[None]:
    """Limit the CPU time of items in this process inside the block (pipeline/cpu_limit.py).

    A process that the limit ends leaves a file in the folder `traces`, which its successor reads.
    """
    traces.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in traces.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > _TRACE_S and not _born(int(old.name)):
                old.unlink()
    path = traces / str(os.getpid())
    with path.open("w", encoding="utf-8") as trace:
        cpu_limit.enable(trace)
        try:
            yield
        finally:
            cpu_limit.disable()
            path.unlink(missing_ok=True)


def quarantine(
    stage: str, record: LogRecord, rejection: Reject, outcomes: Counter[str]
) -> list[Message]:
    """Return the dead letter of a record that ended its process again and again; count and log."""
    logger.error(
        "Record %s/%d@%d ended the process of %s again and again; it goes to the dead letters: %s",
        record.topic,
        record.partition,
        record.offset,
        stage,
        rejection.detail,
        extra={"stage": stage, **record_fields(record)},
    )
    outcomes[f"rejected:{rejection.code}"] += 1
    return [record_dead_letter(stage, record, rejection, utc_now())]


def is_installation_error(error: BaseException) -> bool:
    """Return whether an error is not the records' fault: the disk, rights, a server, an operator.

    Records that wait for a repair are handled again after it. One that needs more memory than the
    machine has is no fault of the machine.
    """
    if isinstance(error, (UserError, KeyboardInterrupt)):
        return True
    return (
        isinstance(error, Exception)
        and not isinstance(error, MemoryError)
        and not is_caused_by_record(error)
    )


def _rejection(marker: CrashMarker) -> Reject:
    if marker.slow:
        where = f" (last at {marker.line})" if marker.line else ""
        return Reject(
            RejectCode.SLOW,
            f"handling this record took more than {cpu_limit.LIMIT_S:g} s of CPU time{where} again"
            " and again; report the fault with the payload, and replay the record after the fix",
            "host",
        )
    return Reject(
        RejectCode.CRASH,
        "handling this record ended the worker's process again and again; report the fault with"
        " the payload, and replay the record after the fix",
        "host",
    )

"""Finds and quarantines records that end their worker's process again and again.

Before each batch the worker writes to disk which records are in flight. After enough crashes over
the same range its records are handled one by one, and a record that crashes the process alone is
quarantined. The markers survive kill -9 but not the loss of the disk. Workers that share a data
folder share them, so a partition keeps its history when another worker of the machine takes it
over.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson
import psutil

from pipeline.log.port import LogRecord, TopicPartition, offset_ranges

# A worker may die for other reasons than its records (an operator, the kernel short of memory):
# three crashes over the same range are no coincidence (docs/adr/0011), and two more over a single
# record identify it as the cause.
_RANGE_CRASHES, _RECORD_CRASHES = 3, 2
# Longer than any marker is as JSON: every write covers the previous one.
_WIDTH = 256
_NONE = -1


@dataclass(frozen=True, slots=True)
class CrashMarker:
    """The marker of one partition: the suspect offsets [start, end) and their count of crashes.

    `alone` is the record of the range that is handled by itself and `alone_deaths` its crashes;
    `busy`, `pid` and `born` say which process has it in flight. The fields are the JSON on disk.
    """

    start: int = _NONE
    end: int = _NONE
    deaths: int = 0
    alone: int = _NONE
    alone_deaths: int = 0
    busy: bool = False
    pid: int = 0
    born: str = ""

    @property
    def suspect(self) -> bool:
        """Whether the records of the range are handled one by one."""
        return self.deaths >= _RANGE_CRASHES


@dataclass(frozen=True, slots=True)
class SubBatch:
    """Records that are handled together, with the first and last offset of each partition.

    `isolated`: a single suspect record; `quarantined`: the record crashed its process and must not
    be handled again.
    """

    records: list[LogRecord]
    ranges: dict[TopicPartition, tuple[int, int]]
    isolated: bool = False
    quarantined: bool = False

    @classmethod
    def of(
        cls, records: list[LogRecord], *, isolated: bool = False, quarantined: bool = False
    ) -> SubBatch:
        """Return a sub-batch of records that are in order within each partition."""
        return cls(records, offset_ranges(records), isolated, quarantined)

    @property
    def commit_offsets(self) -> dict[TopicPartition, int]:
        """The offsets to commit: one past the last of each partition."""
        return {partition: last + 1 for partition, (_, last) in self.ranges.items()}


class CrashMarkers:
    """The crash markers of one group's partitions: a file each, written around every batch.

    A write takes some µs.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._pid = os.getpid()
        self._born_at = _born(self._pid)
        self._files: dict[TopicPartition, int] = {}
        self._markers: dict[TopicPartition, CrashMarker] = {}

    def take_over(self, partition: TopicPartition) -> None:
        """Open the marker of a new partition; count a crash if a dead process had it in flight."""
        topic, number = partition
        self._files[partition] = os.open(
            self._folder / f"{topic}-{number}", os.O_RDWR | os.O_CREAT, 0o600
        )
        marker = self._read(partition)
        if marker.busy and not _alive(marker):
            alone = marker.alone != _NONE
            marker = replace(
                marker, alone_deaths=marker.alone_deaths + alone, deaths=marker.deaths + (not alone)
            )
        self._write(partition, replace(marker, busy=False))

    def give_up(self, partition: TopicPartition) -> None:
        """Close the marker of a partition that another worker takes over."""
        file = self._files.pop(partition, None)
        if file is not None:
            os.close(file)
            del self._markers[partition]

    def split(self, records: list[LogRecord]) -> list[SubBatch]:
        """Return a batch as sub-batches: usually one, with suspect records isolated, in order."""
        if not any(marker.suspect for marker in self._markers.values()):
            return [SubBatch.of(records)]
        together: list[LogRecord] = []
        isolated: list[SubBatch] = []
        for record in records:
            marker = self._markers[record.topic, record.partition]
            if not (marker.suspect and marker.start <= record.offset):
                together.append(record)
            elif record.offset < marker.end:
                crashed = record.offset == marker.alone and marker.alone_deaths >= _RECORD_CRASHES
                isolated.append(SubBatch.of([record], isolated=True, quarantined=crashed))
            # Records after a suspect range are read again with a later batch: offsets are committed
            # in order.
        return [*([SubBatch.of(together)] if together else []), *isolated]

    def begin(self, sub_batch: SubBatch) -> None:
        """Write to disk that a sub-batch is in flight."""
        for partition, (first, last) in sub_batch.ranges.items():
            marker = self._markers[partition]
            if sub_batch.isolated:
                deaths = marker.alone_deaths if marker.alone == first else 0
                marker = replace(marker, alone=first, alone_deaths=deaths)
            elif marker.start == first and marker.deaths:
                marker = replace(marker, alone=_NONE, alone_deaths=0)
            else:
                marker = CrashMarker(first, last + 1)
            self._write(partition, replace(marker, busy=True, pid=self._pid, born=self._born_at))

    def finish(self, sub_batch: SubBatch) -> None:
        """Clear the markers of a sub-batch that was committed."""
        for partition, (_, last) in sub_batch.ranges.items():
            marker = self._markers[partition]
            complete = last + 1 >= marker.end
            self._write(
                partition,
                CrashMarker()
                if complete
                else replace(marker, alone=_NONE, alone_deaths=0, busy=False),
            )

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

"""Which records were in hand when a process died: after enough deaths they go one by one, and the
one that kills is set aside.

The marks survive kill -9 but not the loss of the disk: workers that share a data folder share them,
so a partition that moves to another worker of the same machine keeps its history.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from pipeline.log.port import LogRecord, TopicPartition, spans_of

# A worker may die for reasons that are not its records (an operator, the kernel short of memory):
# three deaths over the same range are no chance any more (DESIGN §4), and two more over one record
# alone name the killer.
_RANGE_DEATHS, _RECORD_DEATHS = 3, 2
# Longer than any mark is as JSON: every write covers the one before.
_WIDTH = 256
_NONE = -1


@dataclass(frozen=True, slots=True)
class Mark:
    """One partition's mark: the offsets [start, end) under suspicion, how often they were in hand
    at a death; the same of one alone.
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
    def careful(self) -> bool:
        """Whether its range goes one by one."""
        return self.deaths >= _RANGE_DEATHS


@dataclass(frozen=True, slots=True)
class Portion:
    """Records to be handled together, with the first and last offset of each partition.

    `alone`: it is one record under suspicion; `killer`: it has killed its process and is not to be
    handled again.
    """

    records: list[LogRecord]
    spans: dict[TopicPartition, tuple[int, int]]
    alone: bool = False
    killer: bool = False

    @classmethod
    def of(cls, records: list[LogRecord], *, alone: bool = False, killer: bool = False) -> Portion:
        """Return a portion of records that are in order within each partition."""
        return cls(records, spans_of(records), alone, killer)

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The offsets to commit: one past the last of each partition."""
        return {place: last + 1 for place, (_, last) in self.spans.items()}


class InFlight:
    """The marks of one group's partitions in a folder; one file each, written in place around every
    batch (some µs).
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._files: dict[TopicPartition, int] = {}
        self._marks: dict[TopicPartition, Mark] = {}

    def take(self, place: TopicPartition) -> None:
        """Take over a partition, and count the death of whoever had records of it in hand."""
        topic, partition = place
        self._files[place] = os.open(
            self._folder / f"{topic}-{partition}", os.O_RDWR | os.O_CREAT, 0o600
        )
        mark = self._read(place)
        if mark.busy and not _alive(mark):
            alone = mark.alone != _NONE
            mark = replace(
                mark, alone_deaths=mark.alone_deaths + alone, deaths=mark.deaths + (not alone)
            )
        self._write(place, replace(mark, busy=False))

    def leave(self, place: TopicPartition) -> None:
        """Give a partition up."""
        file = self._files.pop(place, None)
        if file is not None:
            os.close(file)
            del self._marks[place]

    def portions(self, records: list[LogRecord]) -> list[Portion]:
        """Return a batch as it may be handled: usually whole; records under suspicion alone, in
        their order.
        """
        if not any(mark.careful for mark in self._marks.values()):
            return [Portion.of(records)]
        together: list[LogRecord] = []
        single: list[Portion] = []
        for record in records:
            mark = self._marks[record.topic, record.partition]
            if not (mark.careful and mark.start <= record.offset):
                together.append(record)
            elif record.offset < mark.end:
                killer = record.offset == mark.alone and mark.alone_deaths >= _RECORD_DEATHS
                single.append(Portion.of([record], alone=True, killer=killer))
            # What lies behind a range under suspicion comes with a later batch: offsets are
            # committed in order.
        return [*([Portion.of(together)] if together else []), *single]

    def begin(self, portion: Portion) -> None:
        """Remember that a portion is in hand."""
        for place, (first, last) in portion.spans.items():
            mark = self._marks[place]
            if portion.alone:
                deaths = mark.alone_deaths if mark.alone == first else 0
                mark = replace(mark, alone=first, alone_deaths=deaths)
            elif mark.start == first and mark.deaths:
                mark = replace(mark, alone=_NONE, alone_deaths=0)
            else:
                mark = Mark(first, last + 1)
            self._write(place, replace(mark, busy=True, pid=os.getpid(), born=_born(os.getpid())))

    def done(self, portion: Portion) -> None:
        """Forget a portion that was handled and committed."""
        for place, (_, last) in portion.spans.items():
            mark = self._marks[place]
            over = last + 1 >= mark.end
            self._write(
                place, Mark() if over else replace(mark, alone=_NONE, alone_deaths=0, busy=False)
            )

    def release(self) -> None:
        """Say that whatever is in hand kills nobody: the process leaves by itself."""
        for place, mark in self._marks.items():
            if mark.busy:
                self._write(place, replace(mark, busy=False))

    def _read(self, place: TopicPartition) -> Mark:
        raw = os.pread(self._files[place], _WIDTH, 0).strip()
        try:
            return Mark(**orjson.loads(raw)) if raw else Mark()
        except (ValueError, TypeError):
            # Half a write at a power cut, or another program's format: nothing is known then.
            return Mark()

    def _write(self, place: TopicPartition, mark: Mark) -> None:
        self._marks[place] = mark
        os.pwrite(self._files[place], orjson.dumps(asdict(mark)).ljust(_WIDTH), 0)


def _alive(mark: Mark) -> bool:
    """Return whether the process that made a mark still lives: then it lost the partition, not its
    life.
    """
    return mark.pid != os.getpid() and bool(mark.born) and _born(mark.pid) == mark.born


def _born(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; a pid alone is used again. "" where
    there is none, or no /proc.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, field 22; the name in field 2 may
    hold blanks and brackets.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

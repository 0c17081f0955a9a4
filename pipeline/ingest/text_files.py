"""What connectors of text files share: which files of a folder are theirs, where an item stands,
and refusals that read alike.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.ingest.archives import legible
from pipeline.ingest.byte_streams import BoundedBytes, Line
from pipeline.ingest.input_units import log_skip, walk
from pipeline.ingest.port import IngestOptions, OptionError, Refused, Unit
from schemas.dead_letters import RejectCode

# An archive has no unit of its own name unless it could not be opened: that must be seen, whatever
# the connector looks for.
_ARCHIVE = re.compile(r"(?i)\.(zip|tar|tgz|tbz2?|txz|tar\.\w+)$")
# Files come compressed and rotated: Master.csv.1, Master.csv-20240131.gz
_ROTATED = r"(?:[.-]\d{1,14})?(?:\.(?:gz|bz2|xz))?"

# What tells which item it was, kept of one too large to keep.
_KEPT_OF_OVERSIZE = 1024 * 1024


def is_blank(data: bytes) -> bool:
    """Return whether bytes hold nothing but blanks, line ends and perhaps a byte order mark."""
    return not data.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")


def file_pattern(*suffixes: str) -> re.Pattern[str]:
    """Return a pattern for file names that end in one of these suffixes (no dots), perhaps rotated
    or compressed.
    """
    return re.compile(rf"(?i)\.(?:{'|'.join(suffixes)}){_ROTATED}$")


def matching(paths: Sequence[Path], pattern: re.Pattern[str]) -> Iterator[Unit]:
    """Yield the units under the paths: files named themselves whatever their name, in folders and
    archives those that match.

    Raises FileNotFoundError for a path that is not there.
    """
    named = {legible(os.path.abspath(path)) for path in paths}
    for unit in walk(paths):
        if unit.name in named or pattern.search(unit.name) or _ARCHIVE.search(unit.name):
            yield unit
        else:
            log_skip(
                unit.name,
                "its name is not one that this connector reads; name the file itself to read it",
            )


def at_line(unit: Unit, number: int) -> str:
    """Return the locator of an item that begins in this line of the unit, counted from 1."""
    return f"{unit.name}#{number}"


def refusal(unit: Unit, number: int, raw: bytes, code: RejectCode, message: str) -> Refused:
    """Refuse the bytes of an item that begins in this line; the message names file and line."""
    return Refused(raw, code, f"{unit.name}, line {number}: {message}", at_line(unit, number))


class Block:
    """Lines that make one item: at most `limit` bytes of them are held, `size` is that of all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = BoundedBytes(limit)
        self.size = 0
        self.lines = 0

    def add(self, line: Line) -> None:
        """Add one more line."""
        self._held.add(line.data)
        self.size += line.size
        self.lines += 1

    @property
    def raw(self) -> bytes:
        """The bytes, or the first of them."""
        return self._held.held()

    def refusal(self, unit: Unit, number: int) -> Refused | None:
        """Return the refusal of a block that begins in this line and is larger than it may be; None
        for one that is not.
        """
        return (
            oversize(unit, number, self.raw, self.size, self._limit)
            if self.size > self._limit
            else None
        )


def oversize(unit: Unit, number: int, head: bytes, size: int, limit: int) -> Refused:
    """Refuse an item larger than may be, with its first bytes."""
    head = head[:_KEPT_OF_OVERSIZE]
    message = (
        f"it has {size} bytes, more than an item may have ({limit}); the first {len(head)} bytes"
        " are kept"
    )
    return refusal(unit, number, head, RejectCode.OVERSIZE, message)


def check_known(extra: dict[str, str], known: dict[str, str], connector: str) -> None:
    """Raise OptionError for an option that the connector does not have, naming those it has."""
    for name in extra:
        if name not in known:
            raise OptionError(
                f"{connector} has no option {name!r}; it reads {', '.join(sorted(known)) or 'none'}"
            )


def zone_missing(what: str) -> OptionError:
    """Return the error for local times without a zone."""
    return OptionError(
        f"{what} are local times without a zone: say which with --timezone, such as Asia/Shanghai"
        " or UTC"
    )


def source_of(options: IngestOptions, default: str) -> str:
    """Return the source that a person named, else the connector's own."""
    return options.source or default

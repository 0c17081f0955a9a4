"""What connectors of text files share: file name patterns, locators and uniform rejections."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.ingest.archives import printable_name
from pipeline.ingest.byte_streams import BoundedBytes, Line
from pipeline.ingest.input_units import log_skip, walk
from pipeline.ingest.port import IngestOptions, InputUnit, OptionError, Rejection
from schemas.dead_letters import RejectCode

# A unit is named like an archive only if the archive could not be opened. Every connector passes
# such a unit on, so that the error is reported.
_ARCHIVE = re.compile(r"(?i)\.(zip|tar|tgz|tbz2?|txz|tar\.\w+)$")
# Files may be compressed and rotated: Master.csv.1, Master.csv-20240131.gz
_ROTATED = r"(?:[.-]\d{1,14})?(?:\.(?:gz|bz2|xz))?"

# How much is kept of an oversize item: enough to recognise which item it was.
_OVERSIZE_HEAD_BYTES = 1024 * 1024


def is_blank(data: bytes) -> bool:
    r"""Return whether bytes hold only blanks, line ends and perhaps a byte order mark.

    >>> is_blank(b"\xef\xbb\xbf \r\n"), is_blank(b"a")
    (True, False)
    """
    return not data.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")


def file_pattern(*suffixes: str) -> re.Pattern[str]:
    """Return a pattern for file names with one of these suffixes, also rotated or compressed.

    >>> bool(file_pattern("csv").search("Master.csv-20240131.gz"))
    True
    """
    return re.compile(rf"(?i)\.(?:{'|'.join(suffixes)}){_ROTATED}$")


def matching_units(paths: Sequence[Path], pattern: re.Pattern[str]) -> Iterator[InputUnit]:
    """Yield the units under the paths whose names match the pattern.

    A file that is named itself is read whatever its name. Raises FileNotFoundError for a missing
    path.
    """
    named = {printable_name(os.path.abspath(path)) for path in paths}
    for unit in walk(paths):
        if unit.name in named or pattern.search(unit.name) or _ARCHIVE.search(unit.name):
            yield unit
        else:
            log_skip(
                unit.name,
                "this connector does not read files of such a name; to read it, name the file"
                " itself",
            )


def line_locator(unit: InputUnit, number: int) -> str:
    """Return the locator of an item that starts in this line (counted from 1) of the unit."""
    return f"{unit.name}#{number}"


def reject_line(
    unit: InputUnit, number: int, raw: bytes, code: RejectCode, message: str
) -> Rejection:
    """Return the rejection of an item that starts in this line; the message names file and line."""
    return Rejection(
        raw, code, f"{unit.name}, line {number}: {message}", line_locator(unit, number)
    )


class LineBlock:
    """The lines of one item: at most `limit` bytes are retained, `size` counts all of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = BoundedBytes(limit)
        self.size = 0
        self.lines = 0

    def add(self, line: Line) -> None:
        """Add a line."""
        self._bytes.add(line.data)
        self.size += line.size
        self.lines += 1

    @property
    def raw(self) -> bytes:
        """The bytes of the lines, at most the first `limit`."""
        return self._bytes.retained()

    def oversize_rejection(self, unit: InputUnit, number: int) -> Rejection | None:
        """Return the rejection of a block that is larger than `limit`, or None."""
        return (
            reject_oversize(unit, number, self.raw, self.size, self._limit)
            if self.size > self._limit
            else None
        )


def reject_oversize(unit: InputUnit, number: int, head: bytes, size: int, limit: int) -> Rejection:
    """Return the rejection of an oversize item, with its first bytes."""
    head = head[:_OVERSIZE_HEAD_BYTES]
    message = (
        f"it has {size} bytes, more than the limit of {limit}; the first {len(head)} bytes are kept"
    )
    return reject_line(unit, number, head, RejectCode.OVERSIZE, message)


def check_option_names(extra: dict[str, str], known: dict[str, str], connector: str) -> None:
    """Raise OptionError for an option that the connector does not have."""
    for name in extra:
        if name not in known:
            raise OptionError(
                f"{connector} has no option {name!r}; it reads {', '.join(sorted(known)) or 'none'}"
            )


def missing_zone_error(what: str) -> OptionError:
    """Return the error for local times without a time zone."""
    return OptionError(
        f"{what} are local times without a time zone: name it with --timezone, such as"
        " Asia/Shanghai or UTC"
    )


def source_name(options: IngestOptions, default: str) -> str:
    """Return the source that the options name, else the connector's default."""
    return options.source or default

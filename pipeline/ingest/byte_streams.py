"""Byte streams of units: decompression, lines of bounded length, and the error that says why the
bytes cannot be had.
"""

from __future__ import annotations

import bz2
import errno
import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from pipeline.ingest.port import Item, Refused, Unit
from schemas.dead_letters import RejectCode

# One read: large enough that calls cost nothing beside the disk, small enough that the first item
# comes at once.
CHUNK = 64 * 1024
# What a decompressor is fed at a time: where thousands of tiny streams stand in a row, the rest is
# copied at the end of each.
_FEED = 8 * 1024
# A bomb is told by its ratio once it has grown beyond what text reaches: mail and exports shrink 3
# to 50 times, deflate can do 1,032 and bzip2 over a million. Below the floor even a bomb costs less
# than a second.
MAX_RATIO = 1_000
RATIO_FLOOR = 256 * 1024 * 1024
# xz -9 needs 65 MiB to decompress; a header may ask for 4 GiB.
_XZ_MEMORY = 256 * 1024 * 1024


class UnreadableUnitError(Exception):
    """The bytes of a unit are corrupt, cut short, encrypted or of a format that is not read; the
    message names the unit.

    `rest` is what had been read of the item in which it happened. Faults of the machine
    (permission, a broken disk) are no such thing: they stay OSError, for reading again may succeed.
    """

    def __init__(self, message: str, rest: bytes = b"") -> None:
        super().__init__(message)
        self.rest = rest


def refuse_unreadable(unit: Unit, items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items, and where the unit's bytes turn out unreadable a last refusal that holds
    what was read of its item.
    """
    try:
        yield from items
    except UnreadableUnitError as error:
        yield Refused(error.rest, RejectCode.UNPARSABLE, str(error), unit.name)


def is_format_fault(error: Exception) -> bool:
    """Return whether an error raised by a decompressor or archive reader lies in the bytes, and not
    in the machine.
    """
    if isinstance(error, OSError):
        # bz2 raises a bare OSError for bad data; an offset below zero, in a damaged directory, is
        # an invalid argument to seek.
        return error.errno in (None, errno.EINVAL)
    return True


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the stream in pieces of at most 64 KiB, each as soon as it is there: what precedes a
    corrupt place is delivered.
    """
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while piece := read(CHUNK):
        yield piece


def collect(pieces: Iterator[bytes], limit: int, until: int | None = None) -> BoundedBytes:
    """Return the pieces joined, at most `limit` bytes of them held; all of them, or as many as it
    takes to have `until` bytes.

    UnreadableUnitError is passed on with what was collected as its `rest`.
    """
    joined = BoundedBytes(limit)
    try:
        while until is None or joined.size < until:
            if not (piece := next(pieces, b"")):
                break
            joined.add(piece)
    except UnreadableUnitError as error:
        error.rest = joined.held()
        raise
    return joined


# ---- compression
# ------------------------------------------------------------------------------------------------------------


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface that those of bz2 and lzma share."""

    def __init__(self) -> None:
        # 16 + the largest window: a gzip header is expected and its checksum verified.
        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


_COMPRESSIONS: tuple[tuple[re.Pattern[bytes], str, Callable[[], _Decoder]], ...] = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip", _Gzip),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bzip2", bz2.BZ2Decompressor),
    (
        re.compile(rb"\xfd7zXZ\x00"),
        "xz",
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
    ),
)
# Formats that Python 3.11 cannot read, told by their magic so that the message can say so.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"!BDN", "Outlook PST"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft compound file (Outlook .msg, Office)"),
)
# One header block of a tar archive (POSIX.1-2017, pax).
TAR_BLOCK = 512


def is_zip(head: bytes) -> bool:
    """Return whether these first bytes open a ZIP archive (APPNOTE 6.3.10), perhaps an empty
    one.
    """
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_tar(head: bytes) -> bool:
    """Return whether the first 512 bytes are the header of a tar archive of any age: its checksum
    is right.
    """
    if len(head) < TAR_BLOCK:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:TAR_BLOCK], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def is_compressed(head: bytes) -> bool:
    """Return whether these first bytes open a gzip, bzip2 or xz stream."""
    return any(magic.match(head) for magic, _, _ in _COMPRESSIONS)


def decompressed(
    stream: io.BufferedReader[Any], name: str, packed_bytes: int
) -> io.BufferedReader[Any]:
    """Return the stream, decompressed where its magic says gzip, bzip2 or xz (several streams in a
    row are one).

    `packed_bytes` is its size as stored, from which a bomb is told. Raises UnreadableUnitError, at
    once or while it is read.
    """
    head = stream.peek(TAR_BLOCK)
    for magic, what, new in _COMPRESSIONS:
        if magic.match(head):
            return io.BufferedReader(
                _Decompressing(stream, new, f"{name}: {what}", packed_bytes), CHUNK
            )
    for prefix, what in _FOREIGN:
        if head.startswith(prefix):
            stream.close()
            raise UnreadableUnitError(f"{name}: {what} is not read; unpack or export it first")
    return stream


class CheckedStream(io.RawIOBase):
    """Base of streams over unfriendly bytes: subclasses fill `_next`; format faults become
    UnreadableUnitError, bombs are stopped.

    Memory is one chunk. `what` opens every message; closing it closes what lies beneath.
    """

    def __init__(self, beneath: BinaryIO, what: str, packed_bytes: int) -> None:
        super().__init__()
        self._beneath, self._what = beneath, what
        self._limit = max(RATIO_FLOOR, packed_bytes * MAX_RATIO)
        self._given = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with at least one byte, or return 0 at the end."""
        try:
            data = self._next(len(buffer))
        except (UnreadableUnitError, MemoryError):
            raise
        except Exception as error:
            if not is_format_fault(error):
                raise
            raise UnreadableUnitError(
                f"{self._what}: the data are corrupt: {error or type(error).__name__}"
            ) from error
        self._given += len(data)
        if self._given > self._limit:
            raise UnreadableUnitError(
                f"{self._what}: it expands more than {MAX_RATIO} times, as bombs do; unpack it by"
                " hand if it is genuine"
            )
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        """Close this stream and the one beneath it."""
        if not self.closed:
            self._beneath.close()
        super().close()


class _Decompressing(CheckedStream):
    def __init__(
        self, beneath: BinaryIO, new: Callable[[], _Decoder], what: str, packed_bytes: int
    ) -> None:
        super().__init__(beneath, what, packed_bytes)
        self._new = new
        self._decoder = new()
        # Read beyond the end of one stream: the beginning of the next.
        self._ahead = b""

    def _next(self, size: int) -> bytes:
        while True:
            if self._decoder.eof and not self._next_stream():
                return b""
            fed = self._feed() if self._decoder.needs_input else b""
            starved = self._decoder.needs_input and not fed
            if data := self._decoder.decompress(fed, size):
                return data
            if starved and not self._decoder.eof:
                raise UnreadableUnitError(
                    f"{self._what}: the data end in the middle; the file is cut short"
                )

    def _next_stream(self) -> bool:
        """Start the decoder of the next stream in a row; False at the end. NUL bytes between and
        after them are padding.
        """
        rest = self._decoder.unused_data
        while not (rest := rest.lstrip(b"\0")):
            if not (rest := self._beneath.read(_FEED)):
                return False
        self._decoder, self._ahead = self._new(), rest
        return True

    def _feed(self) -> bytes:
        fed, self._ahead = self._ahead or self._beneath.read(_FEED), b""
        return fed


# ---- lines
# ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    r"""One line with its ending (\n, \r\n or \r) as it stands; `number` counts from 1.

    Where `oversize`, `data` are its first bytes only; `size` is that of the whole line, `sha256`
    (hexadecimal) its digest.
    """

    data: bytes
    number: int
    size: int
    oversize: bool = False
    sha256: str = ""


def read_lines(stream: BinaryIO, limit: int) -> Iterator[Line]:
    r"""Yield the lines of a stream, holding no more than `limit` bytes of one (and one chunk): \n,
    \r\n and a lone \r end a line.

    Where the bytes turn out unreadable, UnreadableUnitError is passed on with the broken line as
    its `rest`.
    """
    number = 1
    open_line = BoundedBytes(limit)
    try:
        for piece in chunks(stream):
            for part in piece.splitlines(keepends=True):
                if open_line.size and open_line.last == b"\r" and part != b"\n":
                    yield open_line.as_line(number)
                    number, open_line = number + 1, BoundedBytes(limit)
                if not open_line.size and part.endswith(b"\n") and len(part) <= limit:
                    yield Line(part, number, len(part))
                    number += 1
                    continue
                open_line.add(part)
                if part.endswith(b"\n"):
                    yield open_line.as_line(number)
                    number, open_line = number + 1, BoundedBytes(limit)
    except UnreadableUnitError as error:
        error.rest = open_line.held()
        raise
    if open_line.size:
        yield open_line.as_line(number)


class BoundedBytes:
    """Bytes that grow piece by piece, of which at most `limit` are held; size and SHA-256 are those
    of all of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._digest = hashlib.sha256()
        self._hashed = False
        self.size = 0
        self.last = b""

    @property
    def oversize(self) -> bool:
        """Whether more was added than is held."""
        return self.size > self._limit

    @property
    def sha256(self) -> str:
        """Digest of everything added, hexadecimal."""
        return self._digest.hexdigest() if self._hashed else hashlib.sha256(self._held).hexdigest()

    def add(self, piece: bytes) -> None:
        """Add a piece; what goes beyond the limit is counted and hashed only."""
        if not piece:
            return
        self.size += len(piece)
        self.last = piece[-1:]
        if not self.oversize:
            self._held += piece
            return
        if not self._hashed:
            # Most never grow too large: they are hashed only if they do.
            self._digest.update(self._held)
            self._hashed = True
        self._digest.update(piece)
        self._held += piece[: self._limit - len(self._held)]

    def held(self) -> bytes:
        """Return the first `limit` bytes."""
        return bytes(self._held)

    def as_line(self, number: int) -> Line:
        """Return them as a line."""
        return Line(
            self.held(), number, self.size, self.oversize, self.sha256 if self.oversize else ""
        )

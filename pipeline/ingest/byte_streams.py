"""Byte streams of input units: decompression, and lines of bounded length."""

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
from itertools import chain
from typing import Any, BinaryIO, Protocol

from pipeline.ingest.port import ConnectorItem, InputUnit, Rejection
from schemas.dead_letters import RejectCode

# Size of one read: large enough that the calls cost little beside the disk, small enough that the
# first item comes at once.
CHUNK = 64 * 1024
# Input of a decompressor at a time. The unused rest is copied at the end of each stream, which
# matters in a file of thousands of tiny streams.
_FEED = 8 * 1024
# A decompression bomb is recognised by its ratio: mail and exports shrink 3 to 50 times, while
# deflate reaches 1,032 and bzip2 over a million. Below the floor even a bomb costs less than a
# second.
MAX_RATIO = 1_000
RATIO_FLOOR = 256 * 1024 * 1024
# xz -9 needs 65 MiB to decompress; a forged header may ask for 4 GiB.
_XZ_MEMORY = 256 * 1024 * 1024


class UnreadableUnitError(Exception):
    """The bytes of a unit are corrupt, cut short, encrypted or of an unsupported format.

    The message names the unit; `rest` are the bytes of the current item that were read before.
    Faults of the machine (permission, a broken disk) stay OSError: reading again may succeed.
    """

    def __init__(self, message: str, rest: bytes = b"") -> None:
        super().__init__(message)
        self.rest = rest


def reject_unreadable(unit: InputUnit, items: Iterator[ConnectorItem]) -> Iterator[ConnectorItem]:
    """Yield the items; if the unit turns out to be unreadable, yield a rejection last.

    The rejection holds what was read of the broken item.
    """
    try:
        yield from items
    except UnreadableUnitError as error:
        yield Rejection(error.rest, RejectCode.UNPARSABLE, str(error), unit.name)


def is_format_error(error: Exception) -> bool:
    """Return whether an exception of a decompressor is caused by the bytes, not by the machine."""
    if isinstance(error, OSError):
        # bz2 raises OSError without errno for bad data; a negative offset in a damaged directory is
        # EINVAL of seek.
        return error.errno in (None, errno.EINVAL)
    return True


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the stream in chunks of at most 64 KiB, each as soon as it is available.

    The chunks before a corrupt position are delivered.
    """
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while piece := read(CHUNK):
        yield piece


def join_chunks(chunks: Iterator[bytes], limit: int) -> BoundedBytes:
    """Return the chunks joined; at most `limit` bytes of them are retained.

    UnreadableUnitError is passed on with the bytes before it as its `rest`.
    """
    joined = BoundedBytes(limit)
    try:
        for chunk in chunks:
            joined.add(chunk)
    except UnreadableUnitError as error:
        error.rest = joined.retained()
        raise
    return joined


def look_ahead(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first `size` bytes or a few more, and all chunks from the start.

    An UnreadableUnitError that occurs meanwhile is raised after the chunks before it.
    """
    first: list[bytes] = []
    rest, known = chunks, 0
    try:
        while known < size and (chunk := next(chunks, b"")):
            first.append(chunk)
            known += len(chunk)
    except UnreadableUnitError as error:
        rest = raise_when_read(error)
    return b"".join(first), chain(first, rest)


def raise_when_read(error: Exception) -> Iterator[Any]:
    """Return an iterator that raises the error instead of its first element."""
    raise error
    yield  # makes it a generator


# ---- compression


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface of those of bz2 and lzma."""

    def __init__(self) -> None:
        # 16 + the largest window: zlib expects a gzip header and verifies the checksum.
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
# Formats that are not supported, recognised by their first bytes so that the message names them.
_UNSUPPORTED: tuple[tuple[bytes, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"!BDN", "Outlook PST"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft compound file (Outlook .msg, Office)"),
)
# One header block of a tar archive (POSIX.1-2017, pax).
TAR_BLOCK = 512


def is_zip(head: bytes) -> bool:
    r"""Return whether the first bytes are those of a ZIP archive (APPNOTE 4.3), even an empty one.

    >>> is_zip(b"PK\x03\x04..."), is_zip(b"From: a@example.com")
    (True, False)
    """
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_tar(head: bytes) -> bool:
    """Return whether the first 512 bytes are a tar header of any format: its checksum is right."""
    if len(head) < TAR_BLOCK:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:TAR_BLOCK], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def is_compressed(head: bytes) -> bool:
    r"""Return whether the first bytes are those of a gzip, bzip2 or xz stream.

    >>> is_compressed(b"\x1f\x8b\x08"), is_compressed(b"From: a@example.com")
    (True, False)
    """
    return any(magic.match(head) for magic, _, _ in _COMPRESSIONS)


def decompress(
    stream: io.BufferedReader[Any], name: str, packed_bytes: int
) -> io.BufferedReader[Any]:
    """Return the stream, decompressed if its first bytes are those of gzip, bzip2 or xz.

    Several compressed streams in a row are read as one. `packed_bytes` is the stored size, used to
    recognise decompression bombs. Raises UnreadableUnitError, at once or while the stream is read.
    """
    head = stream.peek(TAR_BLOCK)
    for magic, what, new in _COMPRESSIONS:
        if magic.match(head):
            return io.BufferedReader(
                _Decompressing(stream, new, f"{name}: {what}", packed_bytes), CHUNK
            )
    for prefix, what in _UNSUPPORTED:
        if head.startswith(prefix):
            stream.close()
            raise UnreadableUnitError(f"{name}: {what} is not supported; unpack or export it first")
    return stream


class CheckedStream(io.RawIOBase):
    """Base of streams over untrusted bytes; subclasses implement `_next`.

    Format errors become UnreadableUnitError, decompression bombs are stopped, memory is one chunk.
    `what` begins every message. Closing the stream closes the underlying one.
    """

    def __init__(self, beneath: BinaryIO, what: str, packed_bytes: int) -> None:
        super().__init__()
        self._beneath, self._what = beneath, what
        self._limit = max(RATIO_FLOOR, packed_bytes * MAX_RATIO)
        self._produced = 0

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
            if not is_format_error(error):
                raise
            raise UnreadableUnitError(
                f"{self._what}: the data are corrupt: {error or type(error).__name__}"
            ) from error
        self._produced += len(data)
        if self._produced > self._limit:
            raise UnreadableUnitError(
                f"{self._what}: it expands more than {MAX_RATIO} times, like a decompression bomb;"
                " if it is genuine, unpack it first"
            )
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        """Close this stream and the underlying one."""
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
        # Bytes read beyond the end of a stream: the beginning of the next one.
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
                    f"{self._what}: the data end too early; the file is cut short"
                )

    def _next_stream(self) -> bool:
        """Start the decoder of the next stream; return False at the end of the file.

        NUL bytes between and after streams are padding.
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


@dataclass(frozen=True, slots=True)
class Line:
    r"""One line with its line ending (\n, \r\n or \r) as in the file; `number` counts from 1.

    If `oversize`, `data` are only its first bytes; `size` and `sha256` (hexadecimal) are those of
    the whole line.
    """

    data: bytes
    number: int
    size: int
    oversize: bool = False
    sha256: str = ""


def read_lines(stream: BinaryIO, limit: int) -> Iterator[Line]:
    """Yield the lines of a stream; see `split_lines`."""
    return split_lines(read_chunks(stream), limit)


def split_lines(chunks: Iterator[bytes], limit: int) -> Iterator[Line]:
    r"""Yield the lines in a row of chunks; \n, \r\n and a lone \r end a line.

    At most `limit` bytes of a line are kept in memory, and one chunk. UnreadableUnitError is passed
    on with the broken line as its `rest`.
    """
    number = 1
    open_line = BoundedBytes(limit)
    try:
        for piece in chunks:
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
        error.rest = open_line.retained()
        raise
    if open_line.size:
        yield open_line.as_line(number)


class BoundedBytes:
    """Bytes that are added piece by piece; at most `limit` of them are retained.

    `size` and `sha256` are those of all bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._retained = bytearray()
        self._digest = hashlib.sha256()
        self._hashed = False
        self.size = 0
        self.last = b""

    @property
    def oversize(self) -> bool:
        """Whether more bytes were added than are retained."""
        return self.size > self._limit

    @property
    def sha256(self) -> str:
        """Digest of all bytes, hexadecimal."""
        return (
            self._digest.hexdigest() if self._hashed else hashlib.sha256(self._retained).hexdigest()
        )

    def add(self, piece: bytes) -> None:
        """Add bytes; what exceeds the limit is only counted and hashed."""
        if not piece:
            return
        self.size += len(piece)
        self.last = piece[-1:]
        if not self.oversize:
            self._retained += piece
            return
        if not self._hashed:
            # Hashing starts only when the limit is exceeded, which is rare.
            self._digest.update(self._retained)
            self._hashed = True
        self._digest.update(piece)
        self._retained += piece[: self._limit - len(self._retained)]

    def retained(self) -> bytes:
        """Return the first `limit` bytes."""
        return bytes(self._retained)

    def as_line(self, number: int) -> Line:
        """Return the bytes as a line."""
        return Line(
            self.retained(), number, self.size, self.oversize, self.sha256 if self.oversize else ""
        )

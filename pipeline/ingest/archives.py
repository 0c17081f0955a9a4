"""The members of tar and zip archives as units: streamed, never written to disk, their names never
used as paths.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from pipeline.ingest.byte_streams import (
    CHUNK,
    TAR_BLOCK,
    CheckedStream,
    UnreadableUnitError,
    decompressed,
    is_format_fault,
    is_tar,
    is_zip,
)
from pipeline.ingest.port import Unit

# What stands before a tar member's bytes: names of 4 KiB and a few attributes. A header that asks
# for more is an attack or a ruin.
_MAX_TAR_HEADER = 1024 * 1024
# Connectors may open a unit twice, to tell its dialect and to read it; a tar can't go back, so a
# member up to this size is held while the archive stands at it. A larger one, opened again, costs
# reading the archive anew up to it.
_HELD_MEMBER = 8 * 1024 * 1024
# zipfile keeps the whole directory in memory, about ten times its size: this is some 800,000
# members.
_MAX_ZIP_DIRECTORY = 64 * 1024 * 1024

Skip = Callable[[str, str], None]
"""Called with the name of what is not read, and the reason."""


def legible(name: str) -> str:
    """Return a file name as text that every encoder takes: bytes that are not UTF-8 become
    \\xNN.
    """
    return (
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if _is_odd(name)
        else name
    )


def _is_odd(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def broken_unit(name: str, message: str, signature: str) -> Unit:
    """Return a unit of which nothing can be read; opening it raises UnreadableUnitError with the
    message.
    """

    def refuse() -> BinaryIO:
        raise UnreadableUnitError(message)

    return Unit(name, refuse, signature)


def member_stream(stream: io.BufferedReader[Any], name: str, packed_bytes: int) -> BinaryIO:
    """Return a member's bytes, decompressed where it is gzip, bzip2 or xz; an archive within an
    archive is refused.
    """
    stream = decompressed(stream, name, packed_bytes)
    head = stream.peek(TAR_BLOCK)
    if is_zip(head) or is_tar(head):
        stream.close()
        raise UnreadableUnitError(
            f"{name}: an archive within an archive is not read; unpack the outer one first"
        )
    return stream


# ---- tar
# --------------------------------------------------------------------------------------------------------------------


class _Forward:
    """What tarfile needs of a file, going forward only, so that a pipe or a compressed stream will
    do.

    Going back would be an endless loop on a header with a negative size. `budget` bounds what may
    be read as headers.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._at = 0
        self.budget: int | None = None
        self.last = b""

    def tell(self) -> int:
        return self._at

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if position < self._at or whence != os.SEEK_SET:
            raise UnreadableUnitError(
                f"{self._name}: the archive refers back to itself, or was read out of order"
            )
        while self._at < position and (
            skipped := self._stream.read(min(CHUNK, position - self._at))
        ):
            self._at += len(skipped)
        return self._at

    def read(self, size: int) -> bytes:
        if self.budget is not None:
            self.budget -= size
            if self.budget < 0 or size < 0:
                raise UnreadableUnitError(
                    f"{self._name}: a member's header is larger than {_MAX_TAR_HEADER} bytes"
                )
        self.last = self._stream.read(size)
        self._at += len(self.last)
        return self.last

    def close(self) -> None:
        self._stream.close()


class _TarCursor:
    """A tar archive being read from front to back, standing at one member."""

    def __init__(self, open_tar: Callable[[], BinaryIO], name: str) -> None:
        self._name = name
        self._file = _Forward(open_tar(), name)
        self._tar: tarfile.TarFile | None = None
        self.index = -1
        self.member: tarfile.TarInfo | None = None
        self._handed_out = False
        self._held: _Held | None = None

    def advance(self) -> tarfile.TarInfo | None:
        """Go to the next member; None after the last. Raises UnreadableUnitError where the archive
        is corrupt or cut short.
        """
        self._file.budget = _MAX_TAR_HEADER
        try:
            member = self._next()
        except UnreadableUnitError:
            raise
        except (
            Exception
        ) as error:  # tarfile raises whatever its parsing runs into: ValueError, RecursionError, …
            if not is_format_fault(error):
                raise
            raise UnreadableUnitError(
                f"{self._name}: the tar archive is corrupt: {error}"
            ) from error
        if member is None and (len(self._file.last) != TAR_BLOCK or self._file.last.strip(b"\0")):
            # tarfile takes a broken header, and the end of the file, for the end of the archive.
            what = (
                "has a broken header" if self._file.last else "has no end mark and may be cut short"
            )
            raise UnreadableUnitError(
                f"{self._name}: the tar archive {what} after {self.index + 1} members; "
                "what follows, if anything, was not read"
            )
        self._file.budget = None
        self.member, self.index, self._handed_out, self._held = member, self.index + 1, False, None
        return member

    def _next(self) -> tarfile.TarInfo | None:
        if self._tar is None:
            self._tar = tarfile.TarFile(fileobj=self._file, errorlevel=2)  # type: ignore[arg-type]
        member = self._tar.next()
        # tarfile keeps every member it has seen, to resolve links, which are not followed here.
        self._tar.members.clear()  # type: ignore[attr-defined]
        return member

    def stands_at(self, index: int) -> bool:
        """Return whether the member of this index can be streamed from here: the present one, once,
        or as often as it is held.
        """
        return self.index == index and (self._held is not None or not self._handed_out)

    def stream(self, name: str, owned: bool) -> io.BufferedReader[Any]:
        """Return the bytes of the present member; where `owned`, closing them closes the
        archive.
        """
        assert self.member is not None
        if not self._handed_out and not owned and self.member.size <= _HELD_MEMBER:
            self._held = _hold(_TarMember(self._file, self.member, name, owned=False))
        self._handed_out = True
        if self._held is not None:
            return io.BufferedReader(_HeldMember(self._held, name), CHUNK)
        return io.BufferedReader(_TarMember(self._file, self.member, name, owned), CHUNK)

    def close(self) -> None:
        self.index, self.member, self._held = -1, None, None
        self._file.close()


class _TarMember(CheckedStream):
    def __init__(self, file: _Forward, member: tarfile.TarInfo, name: str, owned: bool) -> None:
        super().__init__(io.BytesIO(), name, member.size)
        self._file, self._owned = file, owned
        self._at, self._left = member.offset_data, member.size

    def _next(self, size: int) -> bytes:
        if self._left <= 0:
            return b""
        self._file.seek(self._at)
        data = self._file.read(min(size, self._left))
        if not data:
            raise UnreadableUnitError(
                f"{self._what}: the archive is cut short; {self._left} bytes are missing here"
            )
        self._at, self._left = self._at + len(data), self._left - len(data)
        return data

    def close(self) -> None:
        if self._owned and not self.closed:
            self._file.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _Held:
    data: bytes
    fault: UnreadableUnitError | None


def _hold(member: _TarMember) -> _Held:
    data = bytearray()
    try:
        while piece := member.read(CHUNK):
            data += piece
    except UnreadableUnitError as error:
        return _Held(bytes(data), error)
    return _Held(bytes(data), None)


class _HeldMember(CheckedStream):
    """A member that is held; where it could be read only in part, its fault comes after that
    part.
    """

    def __init__(self, held: _Held, name: str) -> None:
        super().__init__(io.BytesIO(held.data), name, len(held.data))
        self._fault = held.fault

    def _next(self, size: int) -> bytes:
        data = self._beneath.read(size)
        if not data and self._fault is not None:
            raise UnreadableUnitError(str(self._fault))
        return data


def tar_units(
    open_tar: Callable[[], BinaryIO], name: str, signature: str, skip: Skip
) -> Iterator[Unit]:
    """Yield the regular files of a tar archive in its order; `open_tar` gives its bytes,
    decompressed.

    A unit opened before the next one is asked for is streamed from where the archive stands; up to
    8 MiB it may be opened again there. Opened later, or again, it is right too, but the archive is
    then read anew up to it. A stream must be finished before the next unit is asked for: afterwards
    reading on in a large one raises UnreadableUnitError. A corrupt place ends the archive with one
    unit that cannot be opened.
    """
    cursor = _TarCursor(open_tar, name)
    try:
        while True:
            try:
                member = cursor.advance()
            except UnreadableUnitError as error:
                yield broken_unit(name, str(error), signature)
                return
            if member is None:
                return
            if unit := _tar_unit(cursor, open_tar, name, signature, skip):
                yield unit
    finally:
        cursor.close()


def _tar_unit(
    cursor: _TarCursor, open_tar: Callable[[], BinaryIO], archive: str, signature: str, skip: Skip
) -> Unit | None:
    member, index = cursor.member, cursor.index
    assert member is not None
    name = f"{archive}!{legible(member.name)}"
    if member.isdir():
        return None
    if not member.isreg():
        skip(name, "a link or device inside an archive")
        return None
    stamp = f"{signature}|{member.size}:{member.mtime}:{member.chksum}"
    if member.issparse():
        return broken_unit(
            name, f"{name}: a sparse file inside a tar archive is not read; unpack it first", stamp
        )

    def open_member() -> BinaryIO:
        if cursor.stands_at(index):
            return member_stream(cursor.stream(name, owned=False), name, member.size)
        return _open_anew(open_tar, archive, index, name)

    return Unit(name, open_member, stamp)


def _open_anew(open_tar: Callable[[], BinaryIO], archive: str, index: int, name: str) -> BinaryIO:
    cursor = _TarCursor(open_tar, archive)
    try:
        while cursor.index < index:
            if cursor.advance() is None:
                raise UnreadableUnitError(
                    f"{name}: the archive has changed since it was listed; read it again"
                )
        assert cursor.member is not None
        return member_stream(cursor.stream(name, owned=True), name, cursor.member.size)
    except BaseException:
        cursor.close()
        raise


# ---- zip
# --------------------------------------------------------------------------------------------------------------------


def zip_units(path: str, name: str, signature: str, skip: Skip) -> Iterator[Unit]:
    """Yield the files of a zip archive in the order of its directory; they may be opened in any
    order, and again.

    An encrypted or corrupt member, or a corrupt archive, gives a unit whose opening or reading
    raises UnreadableUnitError.
    """
    try:
        if (size := _directory_bytes(path)) > _MAX_ZIP_DIRECTORY:
            raise UnreadableUnitError(
                f"its directory has {size} bytes, more than {_MAX_ZIP_DIRECTORY}; unpack it first"
            )
        archive = zipfile.ZipFile(path)
    # zipfile raises whatever its parsing runs into: BadZipFile, struct.error, ValueError, …
    except Exception as error:
        if not is_format_fault(error):
            raise
        yield broken_unit(name, f"{name}: the zip archive cannot be read: {error}", signature)
        return
    # It stays open as long as one of its units is held, and closes itself with the last.
    for info in archive.infolist():
        member = f"{name}!{legible(info.filename)}"
        if info.is_dir():
            continue
        # The upper half of the external attributes holds the Unix mode, 0 where the archive was
        # made elsewhere.
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            skip(member, "a link or device inside an archive")
            continue
        yield _zip_unit(archive, info, member, signature)


def _zip_unit(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, signature: str) -> Unit:
    when = "-".join(f"{part}" for part in info.date_time)

    def open_member() -> BinaryIO:
        # Bit 0 of the flags (APPNOTE 4.4.4): encrypted.
        if info.flag_bits & 1:
            raise UnreadableUnitError(
                f"{name}: it is encrypted; unpack the archive with its password first"
            )
        try:
            stream = archive.open(info)
        except (
            Exception
        ) as error:  # BadZipFile, NotImplementedError for odd compressions, struct.error, …
            if not is_format_fault(error):
                raise
            raise UnreadableUnitError(f"{name}: it cannot be unpacked: {error}") from error
        checked = _ZipMember(stream, name, info.compress_size)  # type: ignore[arg-type]
        return member_stream(io.BufferedReader(checked, CHUNK), name, info.file_size)

    return Unit(name, open_member, f"{signature}|{info.file_size}:{when}:{info.CRC:08x}")


class _ZipMember(CheckedStream):
    _beneath: zipfile.ZipExtFile  # type: ignore[assignment]

    def _next(self, size: int) -> bytes:
        return self._beneath.read1(size)


def _directory_bytes(path: str) -> int:
    """Return the size of a zip's directory as its end record states it (APPNOTE 4.3.14 to 4.3.16),
    0 where there is none.
    """
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        # The record has 22 bytes and a comment of up to 65,535; before it stands the locator of the
        # 64-bit record, 20 bytes.
        start = max(0, end - 22 - 65_535 - 20)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + 16:
            return 0
        size: int = struct.unpack_from("<L", tail, at + 12)[0]
        if size != 0xFFFFFFFF or at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
            return size
        file.seek(struct.unpack_from("<Q", tail, at - 12)[0])
        record = file.read(48)
        return (
            struct.unpack_from("<Q", record, 40)[0]
            if record[:4] == b"PK\x06\x06" and len(record) == 48
            else 0
        )

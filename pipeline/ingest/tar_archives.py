"""The members of a tar archive as input units, streamed from front to back."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from pipeline.ingest.archives import Skip, decompress_member, printable_name, unreadable_unit
from pipeline.ingest.byte_streams import (
    CHUNK,
    TAR_BLOCK,
    CheckedStream,
    UnreadableUnitError,
    is_format_error,
)
from pipeline.ingest.port import InputUnit

# Headers before a tar member's bytes are a name of up to 4 KiB and a few attributes. A header that
# claims more is malicious or corrupt.
_MAX_TAR_HEADER = 1024 * 1024
# A tar archive is read forward only, but a connector may open a unit twice. A member of up to this
# size is buffered while it is the current one. To open a larger one again, the archive is read
# again from its start.
_MAX_BUFFERED_MEMBER = 8 * 1024 * 1024


class _ForwardOnlyFile:
    """The file interface that tarfile needs, over a stream that only moves forward.

    Seeking back would be an endless loop on a header with a negative size. `budget` limits how many
    bytes may be read as headers.
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
                f"{self._name}: the archive refers to an earlier position, or its members were"
                " read out of order"
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
    """A tar archive that is read from front to back; `member` is the current one."""

    def __init__(self, open_tar: Callable[[], BinaryIO], name: str) -> None:
        self._name = name
        self._file = _ForwardOnlyFile(open_tar(), name)
        self._tar: tarfile.TarFile | None = None
        self.index = -1
        self.member: tarfile.TarInfo | None = None
        self._streamed = False
        self._buffered: _BufferedMember | None = None

    def advance(self) -> tarfile.TarInfo | None:
        """Go to the next member; return None after the last one.

        Raises UnreadableUnitError where the archive is corrupt or cut short.
        """
        self._file.budget = _MAX_TAR_HEADER
        try:
            member = self._next()
        except UnreadableUnitError:
            raise
        # tarfile lets errors of its parser pass: ValueError, RecursionError, …
        except Exception as error:
            if not is_format_error(error):
                raise
            raise UnreadableUnitError(
                f"{self._name}: the tar archive is corrupt: {error}"
            ) from error
        if member is None and (len(self._file.last) != TAR_BLOCK or self._file.last.strip(b"\0")):
            # tarfile takes a broken header, and the end of the file, for the end of the archive.
            what = (
                "has a broken header"
                if self._file.last
                else "has no end marker and may be cut short"
            )
            raise UnreadableUnitError(
                f"{self._name}: the tar archive {what} after {self.index + 1} members; the rest"
                " was not read"
            )
        self._file.budget = None
        self.member, self.index, self._streamed, self._buffered = (
            member,
            self.index + 1,
            False,
            None,
        )
        return member

    def _next(self) -> tarfile.TarInfo | None:
        if self._tar is None:
            self._tar = tarfile.TarFile(fileobj=self._file, errorlevel=2)  # type: ignore[arg-type]
        member = self._tar.next()
        # tarfile remembers every member to resolve links, which are not followed here.
        self._tar.members.clear()  # type: ignore[attr-defined]
        return member

    def can_stream(self, index: int) -> bool:
        """Return whether the member of this index can be streamed from the current position.

        That is the current member: once, or any number of times if it is buffered.
        """
        return self.index == index and (self._buffered is not None or not self._streamed)

    def stream(self, name: str, owned: bool) -> io.BufferedReader[Any]:
        """Return the bytes of the current member; if `owned`, closing them closes the archive."""
        assert self.member is not None
        if not self._streamed and not owned and self.member.size <= _MAX_BUFFERED_MEMBER:
            self._buffered = _buffer_member(_TarMember(self._file, self.member, name, owned=False))
        self._streamed = True
        if self._buffered is not None:
            return io.BufferedReader(_BufferedMemberStream(self._buffered, name), CHUNK)
        return io.BufferedReader(_TarMember(self._file, self.member, name, owned), CHUNK)

    def close(self) -> None:
        self.index, self.member, self._buffered = -1, None, None
        self._file.close()


class _TarMember(CheckedStream):
    def __init__(
        self, file: _ForwardOnlyFile, member: tarfile.TarInfo, name: str, owned: bool
    ) -> None:
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
                f"{self._what}: the archive is cut short; {self._left} bytes of this member are"
                " missing"
            )
        self._at, self._left = self._at + len(data), self._left - len(data)
        return data

    def close(self) -> None:
        if self._owned and not self.closed:
            self._file.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _BufferedMember:
    data: bytes
    fault: UnreadableUnitError | None


def _buffer_member(member: _TarMember) -> _BufferedMember:
    data = bytearray()
    try:
        while piece := member.read(CHUNK):
            data += piece
    except UnreadableUnitError as error:
        return _BufferedMember(bytes(data), error)
    return _BufferedMember(bytes(data), None)


class _BufferedMemberStream(CheckedStream):
    """The bytes of a buffered member; if it was read only in part, its error comes at the end."""

    def __init__(self, member: _BufferedMember, name: str) -> None:
        super().__init__(io.BytesIO(member.data), name, len(member.data))
        self._fault = member.fault

    def _next(self, size: int) -> bytes:
        data = self._beneath.read(size)
        if not data and self._fault is not None:
            raise UnreadableUnitError(str(self._fault))
        return data


def tar_units(
    open_tar: Callable[[], BinaryIO], name: str, signature: str, skip: Skip
) -> Iterator[InputUnit]:
    """Yield the regular files of a tar archive in its order.

    `open_tar` opens the decompressed bytes. A unit that is opened before the next one is requested
    is streamed from the current position; up to 8 MiB it can be opened again there. A unit that is
    opened later is read correctly too, but the archive is then read again from its start. A stream
    must be finished before the next unit is requested: reading on in a large one raises
    UnreadableUnitError afterwards. At a corrupt position the archive ends with one unit that cannot
    be opened.
    """
    cursor = _TarCursor(open_tar, name)
    try:
        while True:
            try:
                member = cursor.advance()
            except UnreadableUnitError as error:
                yield unreadable_unit(name, str(error), signature)
                return
            if member is None:
                return
            if unit := _tar_unit(cursor, open_tar, name, signature, skip):
                yield unit
    finally:
        cursor.close()


def _tar_unit(
    cursor: _TarCursor, open_tar: Callable[[], BinaryIO], archive: str, signature: str, skip: Skip
) -> InputUnit | None:
    member, index = cursor.member, cursor.index
    assert member is not None
    name = f"{archive}!{printable_name(member.name)}"
    if member.isdir():
        return None
    if not member.isreg():
        skip(name, "a link or device inside an archive")
        return None
    stamp = f"{signature}|{member.size}:{member.mtime}:{member.chksum}"
    if member.issparse():
        return unreadable_unit(
            name,
            f"{name}: a sparse file inside a tar archive is not supported; unpack it first",
            stamp,
        )

    def open_member() -> BinaryIO:
        if cursor.can_stream(index):
            return decompress_member(cursor.stream(name, owned=False), name, member.size)
        return _open_anew(open_tar, archive, index, name)

    return InputUnit(name, open_member, stamp)


def _open_anew(open_tar: Callable[[], BinaryIO], archive: str, index: int, name: str) -> BinaryIO:
    cursor = _TarCursor(open_tar, archive)
    try:
        while cursor.index < index:
            if cursor.advance() is None:
                raise UnreadableUnitError(
                    f"{name}: the archive changed after it was listed; ingest it again"
                )
        assert cursor.member is not None
        return decompress_member(cursor.stream(name, owned=True), name, cursor.member.size)
    except BaseException:
        cursor.close()
        raise

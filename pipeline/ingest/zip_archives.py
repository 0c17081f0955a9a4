"""The members of a zip archive as input units, decompressed while they are read."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.ingest.archives import Skip, decompress_member, printable_name, unreadable_unit
from pipeline.ingest.byte_streams import (
    CHUNK,
    CheckedStream,
    UnreadableUnitError,
    is_format_error,
)
from pipeline.ingest.port import InputUnit

# zipfile keeps the whole directory in memory, in about ten times its size; this is some 800,000
# members.
_MAX_ZIP_DIRECTORY = 64 * 1024 * 1024


def zip_units(path: str, name: str, signature: str, skip: Skip) -> Iterator[InputUnit]:
    """Yield the files of a zip archive in the order of its directory.

    They may be opened in any order, and again. An encrypted or corrupt member, or a corrupt
    archive, gives a unit that raises UnreadableUnitError when it is opened or read.
    """
    try:
        if (size := _directory_bytes(path)) > _MAX_ZIP_DIRECTORY:
            raise UnreadableUnitError(
                f"its directory has {size} bytes, more than {_MAX_ZIP_DIRECTORY}; unpack it first"
            )
        archive = zipfile.ZipFile(path)
    # zipfile lets errors of its parser pass: BadZipFile, struct.error, ValueError, …
    except Exception as error:
        if not is_format_error(error):
            raise
        yield unreadable_unit(name, f"{name}: the zip archive cannot be read: {error}", signature)
        return
    # The archive stays open as long as one of its units is referenced.
    for info in archive.infolist():
        member = f"{name}!{printable_name(info.filename)}"
        if info.is_dir():
            continue
        # The upper half of the external attributes is the Unix mode; it is 0 if the archive was
        # made on another system.
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            skip(member, "a link or device inside an archive")
            continue
        yield _zip_unit(archive, info, member, signature)


def _zip_unit(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, signature: str
) -> InputUnit:
    when = "-".join(f"{part}" for part in info.date_time)

    def open_member() -> BinaryIO:
        # Bit 0 of the flags (APPNOTE 4.4.4): encrypted.
        if info.flag_bits & 1:
            raise UnreadableUnitError(
                f"{name}: it is encrypted; unpack the archive with its password first"
            )
        try:
            stream = archive.open(info)
        # BadZipFile, NotImplementedError for rare compressions, struct.error, …
        except Exception as error:
            if not is_format_error(error):
                raise
            raise UnreadableUnitError(f"{name}: it cannot be unpacked: {error}") from error
        checked = _ZipMember(stream, name, info.compress_size)  # type: ignore[arg-type]
        return decompress_member(io.BufferedReader(checked, CHUNK), name, info.file_size)

    return InputUnit(name, open_member, f"{signature}|{info.file_size}:{when}:{info.CRC:08x}")


class _ZipMember(CheckedStream):
    _beneath: zipfile.ZipExtFile  # type: ignore[assignment]

    def _next(self, size: int) -> bytes:
        return self._beneath.read1(size)


def _directory_bytes(path: str) -> int:
    """Return the size of a zip's directory by its end record (APPNOTE 4.3.14 to 4.3.16), or 0."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        # The record has 22 bytes and a comment of up to 65,535 bytes. The locator of the 64-bit
        # record, 20 bytes, comes before it.
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

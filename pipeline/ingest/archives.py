"""What tar and zip archives share: names of members, and units of their bytes.

Members are streamed, never written to disk, and their names are never used as paths.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

from pipeline.ingest.byte_streams import (
    TAR_BLOCK,
    UnreadableUnitError,
    decompress,
    is_tar,
    is_zip,
)
from pipeline.ingest.port import InputUnit

Skip = Callable[[str, str], None]
"""Called with the name of what is skipped, and the reason."""


def printable_name(name: str) -> str:
    r"""Return a file name as valid Unicode; bytes that are not UTF-8 become \xNN.

    >>> printable_name("caf\udce9.eml")
    'caf\\xe9.eml'
    """
    return (
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if _has_undecodable_bytes(name)
        else name
    )


def _has_undecodable_bytes(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def unreadable_unit(name: str, message: str, signature: str) -> InputUnit:
    """Return a unit that cannot be read: opening it raises UnreadableUnitError."""

    def refuse() -> BinaryIO:
        raise UnreadableUnitError(message)

    return InputUnit(name, refuse, signature)


def decompress_member(stream: io.BufferedReader[Any], name: str, packed_bytes: int) -> BinaryIO:
    """Return the bytes of an archive member, decompressed where it is gzip, bzip2 or xz.

    An archive within an archive raises UnreadableUnitError.
    """
    stream = decompress(stream, name, packed_bytes)
    head = stream.peek(TAR_BLOCK)
    if is_zip(head) or is_tar(head):
        stream.close()
        raise UnreadableUnitError(
            f"{name}: an archive within an archive is not supported; unpack the outer one first"
        )
    return stream

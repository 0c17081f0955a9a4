"""The binary format of a state: a header, arrays and a checksum, and nothing executable."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]

_MAGIC: Final = b"switchboard-models\n"
FORMAT_VERSION: Final = 1
_PREFIX: Final = struct.Struct("<IQ")  # format version, length of the header
_TYPES: Final = frozenset(("<f4", "<i4", "<i8", "|u1"))


class StateError(ValueError):
    """Bytes that are not a complete and intact state of this format and recipe."""


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Return a header and arrays as bytes; the same input gives the same bytes.

    The bytes are magic, format version, header (JSON), arrays (little-endian, C order), sha256.
    Raises TypeError for an array that is not float32, int32, int64 or uint8.

    >>> unpack(pack({"offset": 3}, {}))[0]
    {'offset': 3}
    """
    parts: list[bytes] = []
    described: list[list[Any]] = []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if little.dtype.str not in _TYPES:
            raise TypeError(
                f"array {name} is of type {array.dtype}, not float32, int32, int64 or uint8"
            )
        described.append([name, little.dtype.str, list(little.shape)])
        parts.append(little.tobytes())
    head = json.dumps({"header": header, "arrays": described}, sort_keys=True).encode()
    body = b"".join([_MAGIC, _PREFIX.pack(FORMAT_VERSION, len(head)), head, *parts])
    return body + sha256(body).digest()


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the header and arrays that `pack` wrote.

    Raises StateError for other bytes, another format version or a wrong checksum.
    """
    if not data.startswith(_MAGIC):
        raise StateError(
            "not a state of Switchboard's models: the bytes do not start with its magic number"
        )
    size = sha256().digest_size
    begin = len(_MAGIC) + _PREFIX.size
    if len(data) < begin + size:
        raise StateError(f"the state is truncated: it has only {len(data)} bytes")
    version, head_size = _PREFIX.unpack_from(data, len(_MAGIC))
    if version != FORMAT_VERSION:
        raise StateError(
            f"the state has format version {version}, but this release reads version"
            f" {FORMAT_VERSION}"
        )
    if sha256(data[:-size]).digest() != data[-size:]:
        raise StateError("the checksum of the state does not match: it was truncated or changed")
    described = json.loads(data[begin : begin + head_size])
    arrays: dict[str, npt.NDArray[Any]] = {}
    position = begin + head_size
    for name, kind, shape in described["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(data, dtype=np.dtype(kind), count=count, offset=position).reshape(
            shape
        )
        arrays[name] = array.astype(array.dtype.newbyteorder("="))
        position += array.nbytes
    return described["header"], arrays

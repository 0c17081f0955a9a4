"""Counts the distinct items of an input unit, however often and with whatever options it is read.

An item that is read again has the same message and changes nothing in the history; counted again
it would look lost. So the ingest keeps a hash of each item, beside the checkpoints.
"""

from __future__ import annotations

import hashlib

from pipeline.log.port import Log, Message
from schemas.topics import DEAD_LETTERS

# With 8 bytes, two of a million items of one unit have the same hash once in 37 million units.
HASH_BYTES = 8
# Long enough that no two units of an installation share it.
_NAME_BYTES = 16


class DistinctItems:
    """The hashes of a unit's items: those on the log already, and the new ones of this batch.

    `count` is the number of new items since this object was created.
    """

    def __init__(self, log: Log, connector: str, unit: str) -> None:
        self._prefix = items_prefix(connector, unit)
        self._known: set[bytes] = set()
        self._batches = 0
        # Nothing is read for a new unit but one absent name, so a folder of mails stays fast.
        while (hashes := log.checkpoint(self._name())) is not None:
            starts = range(0, len(hashes), HASH_BYTES)
            self._known.update(hashes[start : start + HASH_BYTES] for start in starts)
            self._batches += 1
        self._new = bytearray()
        self.count = 0

    def add(self, message: Message, locator: str) -> None:
        """Add the message of an item; it counts if the unit never had this item before."""
        value = item_hash(message, locator)
        if value not in self._known:
            self._new += value
            self.count += 1

    def take_batch(self) -> tuple[str, bytes] | None:
        """Return the checkpoint with the new items since the last call, if there are any."""
        if not self._new:
            return None
        batch = self._name(), bytes(self._new)
        self._batches += 1
        self._new.clear()
        return batch

    def _name(self) -> str:
        return f"{self._prefix}{self._batches:06}"


def items_prefix(connector: str, unit: str) -> str:
    """Return what the names of the checkpoints with a unit's hashes begin with."""
    digest = hashlib.blake2b(unit.encode("utf-8", "replace"), digest_size=_NAME_BYTES)
    return f"items/{connector}/{digest.hexdigest()}/"


def item_hash(message: Message, locator: str) -> bytes:
    """Return what identifies an item in the history: its row of deliveries, or its dead letter.

    The key is the id of the record or of the dead letter. A delivery also has a locator and a body;
    a dead letter's body has the time of its rejection, which is another at every reading.
    """
    digest = hashlib.blake2b(message.key or b"", digest_size=HASH_BYTES)
    if message.topic != DEAD_LETTERS.name:
        digest.update(locator.encode("utf-8", "replace") + b"\0")
        digest.update(message.value)
    return digest.digest()

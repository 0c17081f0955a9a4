"""The interface of connectors: a connector reads an input unit and yields events or rejections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO, Protocol

from pipeline.identity.contacts import OwnSide
from schemas.dead_letters import RejectCode
from schemas.envelope import DEFAULT_TENANT, Event
from schemas.types import Contract

# A larger item is rejected as oversize, and its first bytes are kept. The largest mail that big
# providers accept is 150 MB by their documentation and 50 MB in practice, and a worker must be able
# to keep several copies of an item in memory.
MAX_ITEM_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class InputUnit:
    """One thing to read from start to end: a file, an archive member, a message of a Maildir.

    `name` is the same in every run (an absolute path, or `archive!member`). It is the key of the
    checkpoint and the first part of every locator. `signature` changes when the unit's content
    changes (size and modification time in ns), so that an unchanged unit is skipped without reading
    it; it is empty where nothing of the kind is known.
    """

    name: str
    open: Callable[[], BinaryIO]
    signature: str = ""


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event that a connector read.

    `raw` are the bytes it was read from. They go into the dead letter if validation fails. `data`
    is the event's data as its contract if the connector has validated it; the publisher validates
    the others.
    """

    event: Event
    raw: bytes
    data: Contract | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Bytes that are not an event, and the reason; `locator` names the file and the item."""

    raw: bytes
    code: RejectCode
    detail: str
    locator: str


ConnectorItem = ReadEvent | Rejection


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Options of an ingest run beside the paths; a connector's `options` lists those it reads.

    `source` None means the connector's default. `zone` None means that timestamps without a zone
    are rejected, or that the connector asks for `--timezone`. `own` names the company's own
    addresses and numbers. `extra` holds options of a single connector (chat name, date order) as
    text.
    """

    tenant: str = DEFAULT_TENANT
    source: str | None = None
    zone: tzinfo | None = None
    own: OwnSide = field(default_factory=OwnSide)
    extra: dict[str, str] = field(default_factory=dict)


class OptionError(ValueError):
    """An option is missing or wrong; the message names it and says what to write instead."""


class Connector(Protocol):
    """One kind of source. Reading is a pure function of the unit's bytes and of the options.

    `append_only` means that a file which grows keeps all of its items except the last one, in the
    same order; a later run then continues where the previous one ended. It is False where later
    lines change earlier items (a call may gain legs, the date order of a chat may become clear only
    later); such a file is read again from its start.
    """

    name: str
    version: str
    append_only: bool
    summary: str
    options: dict[str, str]

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        """Yield the units to read in a stable order; raise FileNotFoundError for a missing path."""
        ...

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        """Yield every item of the unit in order; raise OptionError before the first one.

        Memory is bounded by the largest item.
        """
        ...

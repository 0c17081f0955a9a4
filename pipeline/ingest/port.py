"""The port every connector fills: it reads one unit of input and yields events or refusals, in
order, without keeping any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO, Protocol

from pipeline.identity.contacts import OwnSide
from schemas.dead_letters import RejectCode
from schemas.envelope import DEFAULT_TENANT, Event

# One item larger than this is refused as oversize, its bytes kept: the largest mail that big
# providers accept is 150 MB on paper and 50 MB in practice, and an item must fit a worker's memory
# several times over.
MAX_ITEM_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing to read from start to end: a file, a member of an archive, a message of a Maildir.

    `name` is stable over runs (an absolute path, `archive!member` inside one) and is the
    checkpoint's key and the locators' root. `signature` tells an unchanged unit without reading it
    (size and modification time in ns); "" where that can't be told.
    """

    name: str
    open: Callable[[], BinaryIO]
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An event, not yet checked against its contract; `raw` are the bytes it was read from, kept if
    the contract refuses it.
    """

    event: Event
    raw: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that are no event, and why; `locator` names file and item."""

    raw: bytes
    code: RejectCode
    detail: str
    locator: str


Item = Found | Refused


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What a person says beside the path; each connector's summary names those it reads.

    `source` None: the connector's own default. `zone` None: stamps without a zone are refused where
    the format has none, with a message that says to give one. `region` is the ISO 3166 code of
    national telephone numbers. `extra` holds options of one connector alone (chat name, date
    order), already as text.
    """

    tenant: str = DEFAULT_TENANT
    source: str | None = None
    zone: tzinfo | None = None
    own: OwnSide = field(default_factory=OwnSide)
    extra: dict[str, str] = field(default_factory=dict)


class OptionError(ValueError):
    """An option is missing or wrong; the message names it and says what to give."""


class Connector(Protocol):
    """One kind of source. Reading is a pure function of the unit's bytes and the options: the same
    file gives the same items.

    `keeps_items` says that a file which grows keeps all its items but the last, in their order, so
    that it can be read further. A call may gain legs and a chat's order of dates may become clear
    only later: such a file is read again from its start.
    """

    name: str
    version: str
    keeps_items: bool
    summary: str
    options: dict[str, str]

    def units(self, paths: Sequence[Path]) -> Iterator[Unit]:
        """Yield what there is to read, in a stable order; raises FileNotFoundError naming a path
        that is not there.
        """
        ...

    def read(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        """Yield every item of the unit in order, in memory bounded by the largest item; raises
        OptionError before the first.
        """
        ...

"""The `email` connector: mails as files, as Maildir or as mbox, packed or not, become comm.message
events that carry their bytes.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.identity.direction import direction_of
from pipeline.ingest.byte_streams import BoundedBytes, chunks, collect, refuse_unreadable
from pipeline.ingest.email.mail_headers import (
    WHAT_A_MAIL_NEEDS,
    MailBytes,
    check_mail,
    strip_preamble,
)
from pipeline.ingest.email.mbox import message_of, split_mbox, starts_mbox
from pipeline.ingest.input_units import walk
from pipeline.ingest.port import MAX_ITEM_BYTES, Found, IngestOptions, Item, Refused, Unit
from pipeline.ingest.text_files import check_known, source_of
from pipeline.mail.mime import NotAMail
from schemas.dead_letters import RejectCode
from schemas.envelope import Event
from schemas.types import Channel, Direction

# What tells which mail it was, kept of one too large to keep: all headers and the first parts.
_KEPT_OF_OVERSIZE = 1024 * 1024
# An mbox is told by its first two lines; they are far shorter than this.
_HEAD_BYTES = 4096


class EmailConnector:
    """Reads mails (RFC 5322) from single files, folders of them, Maildirs and mbox files, alone or
    in archives.
    """

    def __init__(self) -> None:
        self.name = "email"
        self.version = "1"
        self.keeps_items = True
        self.summary = (
            "mails: .eml and other single files, Maildir, mbox, and tar, zip, gzip, bzip2 or xz"
            " files of them"
        )
        self.options = {
            "source": "name of the mailbox or system they come from, email unless given",
            "own": "our own mail addresses and domains; a mail from one of them counts as sent",
        }

    def units(self, paths: Sequence[Path]) -> Iterator[Unit]:
        """Yield every file, Maildir message and archive member under the paths; see `walk`."""
        return walk(paths)

    def read(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        """Yield an event per mail, with `unit#index` as locator in an mbox; what is no mail, too
        large or corrupt is refused.
        """
        check_known(options.extra, {}, self.name)
        return refuse_unreadable(unit, self._items(unit, options))

    def _items(self, unit: Unit, options: IngestOptions) -> Iterator[Item]:
        with unit.open() as stream:
            rest = chunks(stream)
            head = collect(rest, limit=MAX_ITEM_BYTES, until=_HEAD_BYTES).held()
            pieces = itertools.chain([head], rest)
            if starts_mbox(head):
                for index, section in enumerate(split_mbox(pieces, MAX_ITEM_BYTES)):
                    yield self._item(section, f"{unit.name}#{index}", message_of, options)
            else:
                yield self._item(collect(pieces, MAX_ITEM_BYTES), unit.name, bytes, options)

    def _item(
        self,
        read: BoundedBytes,
        locator: str,
        unwrap: Callable[[bytes], bytes],
        options: IngestOptions,
    ) -> Item:
        raw = read.held()
        if read.oversize:
            detail = (
                f"{locator}: the mail has {read.size} bytes, more than {MAX_ITEM_BYTES}; its sha256"
                f" is {read.sha256}; the first {min(len(raw), _KEPT_OF_OVERSIZE)} bytes are kept"
            )
            return Refused(raw[:_KEPT_OF_OVERSIZE], RejectCode.OVERSIZE, detail, locator)
        try:
            check_mail(raw)
        except NotAMail as error:
            return Refused(
                raw,
                RejectCode.UNPARSABLE,
                f"{locator}: {error.detail}; {WHAT_A_MAIL_NEEDS}",
                locator,
            )
        return Found(self._event(MailBytes(strip_preamble(unwrap(raw))), locator, options), raw)

    def _event(self, mail: MailBytes, locator: str, options: IngestOptions) -> Event:
        direction = direction_of(mail, options.own)
        data: dict[str, Any] = {
            "channel": Channel.EMAIL.value,
            "mime": base64.b64encode(mail.mime).decode("ascii"),
        }
        if direction is not None:
            data["direction"] = direction.value
        return Event(
            id=mail.event_id,
            source=source_of(options, self.name),
            type=(
                "comm.message.received"
                if direction in (None, Direction.INBOUND)
                else "comm.message.sent"
            ),
            tenant=options.tenant,
            locator=locator,
            connector=f"{self.name}/{self.version}",
            data=data,
        )

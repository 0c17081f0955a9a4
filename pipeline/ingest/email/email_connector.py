"""The `email` connector: mails as files, as Maildir or as mbox, also in archives.

A mail becomes a comm.message event that carries its bytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.identity.contacts import OwnSide
from pipeline.identity.direction import message_direction
from pipeline.ingest.byte_streams import (
    BoundedBytes,
    join_chunks,
    look_ahead,
    read_chunks,
    reject_unreadable,
)
from pipeline.ingest.email.mail_headers import (
    MAIL_FORMAT_HINT,
    RawMail,
    check_mail,
    strip_preamble,
)
from pipeline.ingest.email.mbox import is_mbox, separator_time, split_mbox, unwrap_message
from pipeline.ingest.input_units import walk
from pipeline.ingest.port import (
    MAX_ITEM_BYTES,
    ConnectorItem,
    IngestOptions,
    InputUnit,
    ReadEvent,
    Rejection,
)
from pipeline.ingest.text_files import check_option_names, source_name
from pipeline.mail.mime import NotAMailError
from schemas.dead_letters import RejectCode
from schemas.envelope import Event
from schemas.types import Channel, Direction

# How much is kept of an oversize mail: all headers and the first parts.
_OVERSIZE_HEAD_BYTES = 1024 * 1024
# An mbox is recognised by its first two lines; they are far shorter than this.
_HEAD_BYTES = 4096


class EmailConnector:
    """Connector for mails (RFC 5322): single files, folders, Maildirs, mbox files, archives."""

    def __init__(self) -> None:
        self.name = "email"
        self.version = "1"
        self.append_only = True
        self.summary = (
            "mails: .eml and other single files, Maildir, mbox, and tar, zip, gzip, bzip2 or xz"
            " files of them"
        )
        self.options = {
            "source": "name of the mailbox or system they come from; default: email",
            "own": "the company's mail addresses and domains; a mail from one of them is outbound",
        }

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        """Yield every file, Maildir message and archive member under the paths; see `walk`."""
        return walk(paths)

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        """Yield one event per mail; in an mbox the locator is `unit#index`.

        What is not a mail, too large or corrupt is rejected.
        """
        check_option_names(options.extra, {}, self.name)
        return reject_unreadable(unit, self._items(unit, options))

    def _items(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        with unit.open() as stream:
            head, chunks = look_ahead(read_chunks(stream), _HEAD_BYTES)
            if is_mbox(head):
                for index, section in enumerate(split_mbox(chunks, MAX_ITEM_BYTES)):
                    yield self._item(section, f"{unit.name}#{index}", unwrap_message, unit, options)
            else:
                mail = join_chunks(chunks, MAX_ITEM_BYTES)
                yield self._item(mail, unit.name, bytes, unit, options)

    def _item(
        self,
        read: BoundedBytes,
        locator: str,
        unwrap: Callable[[bytes], bytes],
        unit: InputUnit,
        options: IngestOptions,
    ) -> ConnectorItem:
        raw = read.retained()
        if read.oversize:
            detail = (
                f"{locator}: the mail has {read.size} bytes, more than the limit of"
                f" {MAX_ITEM_BYTES}; its sha256 is {read.sha256}; the first"
                f" {min(len(raw), _OVERSIZE_HEAD_BYTES)} bytes are kept"
            )
            return Rejection(raw[:_OVERSIZE_HEAD_BYTES], RejectCode.OVERSIZE, detail, locator)
        try:
            check_mail(raw)
        except NotAMailError as error:
            return Rejection(
                raw,
                RejectCode.UNPARSABLE,
                f"{locator}: {error.detail}; {MAIL_FORMAT_HINT}",
                locator,
            )
        mail = RawMail(strip_preamble(unwrap(raw)))
        arrived = None if mail.has_time else separator_time(raw) or _modified_at(unit)
        return ReadEvent(self._event(mail, arrived, locator, options), raw)

    def _event(
        self, mail: RawMail, arrived: datetime | None, locator: str, options: IngestOptions
    ) -> Event:
        direction = _direction(mail, options.own)
        data: dict[str, Any] = {
            "channel": Channel.EMAIL.value,
            "mime": base64.b64encode(mail.mime).decode("ascii"),
        }
        if direction is not None:
            data["direction"] = direction.value
        if arrived is not None:
            data["received_at"] = arrived.isoformat()
        return Event(
            id=mail.event_id,
            source=source_name(options, self.name),
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


# How `walk` writes the signature of a file: its size, and when it was written in ns.
_FILE_SIGNATURE = re.compile(r"\d+:(\d{10,20})")


def _modified_at(unit: InputUnit) -> datetime | None:
    """Return when a file was written, the last resort for a mail without any time."""
    match = _FILE_SIGNATURE.fullmatch(unit.signature)
    return datetime.fromtimestamp(int(match[1]) // 10**9, UTC) if match else None


def _direction(mail: RawMail, own: OwnSide) -> Direction | None:
    """Return the direction by the headers, or None if the own side is not known."""
    if not own.entries:
        return None
    sender = next(iter(mail.addresses(b"from")), None)
    if sender is None or not own.owns_email(sender):
        # Recipients do not matter, and lists of them may be long.
        return message_direction(sender, (), is_own=own.owns_email)
    to, cc, reply_to = (mail.addresses(name) for name in (b"to", b"cc", b"reply-to"))
    return message_direction(sender, to, cc, reply_to, is_own=own.owns_email)

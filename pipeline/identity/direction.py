"""Who wrote to whom: the direction of a mail by its header, where we know our own side."""

from __future__ import annotations

from pipeline.identity.contacts import OwnSide
from pipeline.ingest.email.mail_headers import RawMail
from pipeline.mail.mime.addresses import parse_addresses
from pipeline.mail.mime.header_block import decode_header_bytes
from schemas.types import Direction


def direction_of(mail: RawMail, own: OwnSide) -> Direction | None:
    """Return outbound for a mail from us, internal if all its visible recipients are ours too, else
    inbound; None if `own` is empty.
    """
    if not own.entries:
        return None
    if not any(own.owns_email(address) for address in _addresses(mail, b"from")):
        return Direction.INBOUND
    recipients = [*_addresses(mail, b"to"), *_addresses(mail, b"cc")]
    ours = recipients and all(own.owns_email(address) for address in recipients)
    return Direction.INTERNAL if ours else Direction.OUTBOUND


def _addresses(mail: RawMail, field: bytes) -> list[str]:
    values = (decode_header_bytes(value) for value in mail.header_values(field))
    return [
        address.email for value in values for address in parse_addresses(value) if address.email
    ]

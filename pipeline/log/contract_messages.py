"""Our own contracts as messages on derived topics."""

from __future__ import annotations

from pipeline.log.port import Headers, Message
from schemas.types import Contract
from schemas.unchecked import to_json

# The header that says which contract a value is, where a topic carries several.
CONTRACT_HEADER = "sb_contract"
# Headers that go with an event from its connector to its row, so that a dead letter of any stage
# can say where it came from.
_ORIGIN = frozenset({"ce_id", "ce_source", "ce_tenant", "ce_connector", "ce_locator"})
# The contract of events limits ids and sources to 512 characters, which are at most 2 KiB. Without
# a limit the outputs of a record with huge headers would exceed what Kafka takes.
_MAX_ORIGIN_BYTES = 4 * 1024
_JSON = (("content-type", b"application/json"),)


def origin_headers(headers: Headers) -> Headers:
    """Return the headers that say where an event came from; every output of it carries them on.

    >>> origin_headers([("ce_id", b"m-1"), ("traceparent", b"00-ab")])
    (('ce_id', b'm-1'),)
    """
    return tuple(
        (name, value)
        for name, value in headers
        if name in _ORIGIN and len(value or b"") <= _MAX_ORIGIN_BYTES
    )


def encode_contract(topic: str, key: str, contract: Contract, headers: Headers = ()) -> Message:
    """Return the message that carries a contract (a record, a link, …) on a derived topic."""
    kind = type(contract).__name__
    return Message(
        topic=topic,
        key=key.encode() or None,
        value=to_json(contract),
        headers=(*headers, (CONTRACT_HEADER, kind.encode()), *_JSON),
    )

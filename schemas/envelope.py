"""The envelope of every event: CloudEvents 1.0, https://github.com/cloudevents/spec."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Literal

from pydantic import ConfigDict, Field

from schemas.types import Contract, UtcTime

DEFAULT_TENANT = "default"


class Event(Contract):
    """One CloudEvent as an integrator writes it; (source, id) identifies it, and the same pair
    again is the same event.

    Extension attributes of CloudEvents are kept. `data` is checked against the contract that `type`
    names.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(
        min_length=1, max_length=512, description="The provider's key, stable over retries."
    )
    source: str = Field(
        min_length=1, max_length=512, description="Where it comes from, such as shop/web."
    )
    type: str = Field(
        min_length=1, max_length=128, description="What happened, such as comm.message.received."
    )
    time: UtcTime | None = Field(
        None, description="When it happened (RFC 3339); absent: when it was received, flagged."
    )
    subject: str | None = Field(None, description="CloudEvents subject; carried, not read.")
    tenant: str = Field(
        DEFAULT_TENANT,
        min_length=1,
        max_length=64,
        description="Whose data it is, where one installation serves several.",
    )
    locator: str = Field(
        "",
        description=(
            "Where a connector found it (file and item); one event found in two places is a repeat."
        ),
    )
    connector: str = Field("", description="Which connector read it, with its version.")
    data: dict[str, Any] = Field(description="The body; its contract depends on type and channel.")


def stable_id(*parts: str) -> uuid.UUID:
    """Return the same UUID (version 8, from SHA-256) for the same parts in the same order, over
    processes and years.

    The length of each part goes into the hash, so ("a", "bc") and ("ab", "c") differ.
    """
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    framed = b"".join(len(raw).to_bytes(8, "big") + raw for raw in encoded)
    return uuid8(hashlib.sha256(framed).digest())


def uuid8(digest: bytes) -> uuid.UUID:
    """Return the first 16 bytes of a digest as a version 8 UUID (RFC 9562, section 5.8: contents of
    one's own choice).
    """
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | (0x8 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return uuid.UUID(int=number)


def record_id_of(tenant: str, source: str, event_id: str) -> uuid.UUID:
    """Return the id under which the history keeps an event: a hash of tenant, source and the
    event's id.
    """
    return stable_id("record", tenant, source, event_id)

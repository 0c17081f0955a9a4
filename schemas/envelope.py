"""The envelope of every event: CloudEvents 1.0, https://github.com/cloudevents/spec."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from schemas.types import Contract, UtcTime

DEFAULT_TENANT = "default"

# ASCII, although names of people and texts are in every script: a tenant is written in URLs, shells
# and configuration, and in Unicode two names may look the same and be different tenants.
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def tenant_problem(name: str) -> str:
    """Return why a text is not the name of a tenant, or "".

    >>> tenant_problem("shop-1.example")
    ''
    >>> tenant_problem("'; DROP TABLE x")[:24]
    'is no name of a tenant: '
    """
    if _TENANT.fullmatch(name):
        return ""
    return (
        "is no name of a tenant: use 1 to 64 of a-z, A-Z, 0-9, dot, dash and underscore, first a"
        " letter or a digit"
    )


def _tenant_name(name: str) -> str:
    if problem := tenant_problem(name):
        raise ValueError(problem)
    return name


TenantName = Annotated[
    str,
    AfterValidator(_tenant_name),
    Field(json_schema_extra={"pattern": f"^{_TENANT.pattern}$"}),
]
"""The name of a tenant, as events and settings declare it; see `tenant_problem`.

Derived contracts take any text, so that rows of earlier versions stay readable.
"""


class Event(Contract):
    """One CloudEvent as an integrator writes it; (source, id) identifies it.

    The same pair again is a redelivery of the same event. Extension attributes of CloudEvents are
    kept. `data` is validated against the contract that `type` names.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(
        min_length=1, max_length=512, description="The provider's id, the same in every retry."
    )
    source: str = Field(
        min_length=1, max_length=512, description="Origin of the event, such as shop/web."
    )
    type: str = Field(
        min_length=1, max_length=128, description="What happened, such as comm.message.received."
    )
    time: UtcTime | None = Field(
        None,
        description="When it happened (RFC 3339); default: when it was received, with a flag.",
    )
    subject: str | None = Field(None, description="CloudEvents subject; kept, but not used.")
    tenant: TenantName = Field(
        DEFAULT_TENANT,
        description="Tenant that owns the data, if an installation serves several.",
    )
    locator: str = Field(
        "",
        description=(
            "File and item from which a connector read it; the same event at another locator is a"
            " redelivery."
        ),
    )
    connector: str = Field("", description="Connector that read it, with its version.")
    data: dict[str, Any] = Field(description="The body; its contract depends on type and channel.")


def stable_id(*parts: str) -> uuid.UUID:
    """Return the same UUID (version 8, from SHA-256) for the same parts in the same order.

    The length of each part is hashed too, so ("a", "bc") and ("ab", "c") differ.

    >>> str(stable_id("record", "default", "shop/web", "m1"))
    '8c4dd2da-6c13-8adb-b97b-e8d1692daec3'
    """
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    framed = b"".join(len(raw).to_bytes(8, "big") + raw for raw in encoded)
    return uuid8(hashlib.sha256(framed).digest())


def uuid8(digest: bytes) -> uuid.UUID:
    """Return the first 16 bytes of a digest as a UUID of version 8 (RFC 9562, section 5.8)."""
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | (0x8 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return uuid.UUID(int=number)


def record_id_of(tenant: str, source: str, event_id: str) -> uuid.UUID:
    """Return the record id of an event: a hash of tenant, source and event id."""
    return stable_id("record", tenant, source, event_id)

"""The fields that records of communications and business events share."""

from __future__ import annotations

from typing import Any

import orjson

from pipeline.envelope import IncomingEvent
from pipeline.processors.clean.timestamps import EventTimes
from pipeline.processors.draft import CustomerRef
from schemas.records import Delivery
from schemas.unchecked import construct


def shared_fields(
    incoming: IncomingEvent,
    times: EventTimes,
    customer: CustomerRef,
    flags: tuple[str, ...],
    staff: str | None,
) -> dict[str, Any]:
    """Return the fields of `schemas.records.Enriched` for an event, its times and its customer."""
    event = incoming.event
    return {
        "record_id": incoming.record_id,
        "tenant": event.tenant,
        "source": event.source,
        "event_id": event.id,
        "event_type": event.type,
        "connector": event.connector,
        "occurred_at": times.occurred_at,
        "received_at": times.received_at,
        "customer_id": customer.customer_id,
        "contact": customer.contact,
        "contact_name": customer.name,
        "contacts": customer.contacts,
        "staff": staff or "",
        "quality_flags": tuple(sorted(set(flags))),
        "attributes": {**customer.attributes, **_extra_fields(incoming)},
        "delivery": construct(Delivery, locator=event.locator, sha256=incoming.body_sha256),
    }


def _extra_fields(incoming: IncomingEvent) -> dict[str, str]:
    """Return the fields of body and envelope that are in no contract, as JSON text."""
    extra = {**(incoming.event.model_extra or {}), **(incoming.data.model_extra or {})}
    return {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in extra.items()
    }

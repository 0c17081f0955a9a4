"""The step `identify`: customer, direction, participants, and links between contact points."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pipeline.identity.contacts import (
    ContactPoint,
    ContactReading,
    OwnSide,
    read_contacts,
    read_email,
    read_phone,
    within_source,
)
from pipeline.identity.direction import message_direction, possible_customers
from pipeline.identity.placeholders import NO_MORE_PLACEHOLDERS, Placeholders
from pipeline.outcomes import Context, Outcome, emit
from pipeline.processors.draft import CustomerRef, Draft, Identified
from schemas.communications import Communication, EmailData, MessageData, default_direction
from schemas.envelope import stable_id, uuid8
from schemas.records import Link, Participant
from schemas.types import Direction, Party
from schemas.unchecked import construct


@dataclass(frozen=True, slots=True)
class Identity:
    """What identification needs beside the event.

    That is the secret, our own side, the region of national numbers, and what identifies nobody.
    """

    secret: bytes
    own: OwnSide
    region: str | None = None
    placeholders: Placeholders = NO_MORE_PLACEHOLDERS

    def customer_id(self, tenant: str, contact: str) -> UUID:
        """Return the customer id of a contact point.

        It is HMAC-SHA256 under the installation's secret, so that an id does not reveal an address.
        """
        return uuid8(hmac.digest(self.secret, f"{tenant}\0{contact}".encode(), "sha256"))

    def find_customer(
        self, parties: Iterable[Party], tenant: str, source: str
    ) -> tuple[CustomerRef, tuple[str, ...]]:
        """Return the first identifiable party that is not on our own side, as the customer.

        The second value are the quality flags of its contact points, and of the parties before it
        that identify nobody.
        """
        name = ""
        unread: list[ContactReading] = []
        for party in parties:
            if self.own.owns(party):
                continue
            name = name or party.name or ""
            reading = self.read(party, source)
            unread.append(reading)
            points = _valid_first(reading.points)
            if points:
                contacts = tuple(map(str, points))
                reference = CustomerRef(
                    party.name or "",
                    contacts,
                    self.customer_id(tenant, contacts[0]),
                    _remarks([reading]),
                )
                return reference, _flags([reading])
        return CustomerRef(name, attributes=_remarks(unread)), _flags(unread)

    def read(self, party: Party, source: str) -> ContactReading:
        """Return the contact points of a party, and what of it identifies nobody."""
        return read_contacts(party, source, self.region, self.placeholders)

    def with_contacts(
        self,
        customer: CustomerRef,
        tenant: str,
        source: str,
        emails: Sequence[str],
        phones: Sequence[str],
    ) -> tuple[CustomerRef, tuple[str, ...]]:
        """Return the customer with additional contact points, weaker than the existing ones.

        The second value are the quality flags of those.
        """
        more = [
            *(read_email(email, self.placeholders) for email in emails),
            *(read_phone(phone, self.region, self.placeholders) for phone in phones),
        ]
        added = [str(within_source(point, source)) for item in more for point in item.points]
        contacts = tuple(dict.fromkeys((*customer.contacts, *added)))
        reference = CustomerRef(
            customer.name,
            contacts,
            self.customer_id(tenant, contacts[0]) if contacts else None,
            {**_remarks(more), **customer.attributes},
        )
        return reference, _flags(more)

    def links(
        self, customer: CustomerRef, tenant: str, record_id: UUID, at: datetime
    ) -> tuple[Link, ...]:
        """Return a link from the identifying contact point to each of the others."""
        return tuple(
            construct(
                Link,
                link_id=stable_id("link", tenant, customer.contact, other),
                tenant=tenant,
                customer_id=self.customer_id(tenant, customer.contact),
                contact=customer.contact,
                other_customer_id=self.customer_id(tenant, other),
                other_contact=other,
                record_id=record_id,
                linked_at=at,
            )
            for other in customer.contacts[1:]
        )


def _flags(readings: Sequence[ContactReading]) -> tuple[str, ...]:
    invalid = any(not point.valid for reading in readings for point in reading.points)
    return (
        *(("contact_invalid",) if invalid else ()),
        *(flag for reading in readings for flag in reading.flags),
    )


def _remarks(readings: Sequence[ContactReading]) -> dict[str, str]:
    """Return as attributes what is in no contact point: extensions, and values as written."""
    unread = [f"{kind}: {text}" for reading in readings for kind, text in reading.unread if text]
    extension = next((reading.extension for reading in readings if reading.extension), "")
    return {
        **({"contact_unread": "; ".join(dict.fromkeys(unread))} if unread else {}),
        **({"phone_extension": extension} if extension else {}),
    }


def _valid_first(points: tuple[ContactPoint, ...]) -> list[ContactPoint]:
    return sorted(points, key=lambda point: not point.valid)


@dataclass(frozen=True, slots=True)
class Identify:
    """The step `identify`; sets `draft.identified`."""

    identity: Identity
    name: str = "identify"

    def __call__(self, batch: Sequence[Draft], ctx: Context) -> Sequence[Outcome[Draft]]:
        for draft in batch:
            draft.identified = self._identified(draft)
        return [emit(draft) for draft in batch]

    def _identified(self, draft: Draft) -> Identified:
        incoming, cleaned = draft.incoming, draft.cleaned
        data, event = cleaned.data, incoming.event
        direction = self._direction(data, event.type)
        candidates = possible_customers(direction, data.from_, data.to, _reply_to(data))
        customer, flags = self.identity.find_customer(candidates, event.tenant, event.source)
        missing = direction is not Direction.INTERNAL and not customer.contacts
        return Identified(
            direction=direction,
            customer=customer,
            participants=tuple(self._participants(data, event.source)),
            links=self.identity.links(
                customer, event.tenant, incoming.record_id, cleaned.times.occurred_at
            ),
            flags=(*(("missing_contact",) if missing else ()), *flags),
        )

    def _direction(self, data: Communication, event_type: str) -> Direction:
        """Return the direction by the event, else by our own side in it, else by its type."""
        if data.direction is not None:
            return data.direction
        if isinstance(data, MessageData) and data.kind != "message":
            return Direction.INTERNAL
        return message_direction(
            data.from_,
            data.to,
            data.cc,
            _reply_to(data),
            is_own=self.identity.own.owns,
            default=default_direction(event_type),
        )

    def _participants(self, data: Communication, source: str) -> Iterable[Participant]:
        people: list[tuple[str, Sequence[Party]]] = [
            ("from", (data.from_,)),
            ("to", data.to),
            ("cc", data.cc),
        ]
        if isinstance(data, EmailData):
            people.append(("bcc", data.bcc))
        for role, parties in people:
            for party in parties:
                reading = self.identity.read(party, source)
                contact = str(reading.points[0]) if reading.points else ""
                # Whoever cannot be identified is shown as written.
                name = party.name or (
                    reading.unread[0][1] if reading.unread and not contact else ""
                )
                if contact or name:
                    yield construct(Participant, role=role, name=name, contact=contact)
        if data.staff:
            yield construct(Participant, role="staff", name=data.staff)


def _reply_to(data: Communication) -> tuple[Party, ...]:
    return data.reply_to if isinstance(data, EmailData) else ()

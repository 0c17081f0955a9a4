"""Finds a customer by address, number or id, and returns the timeline of all linked ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pipeline.identity.contacts import normalise_email, normalise_phone
from pipeline.processors.identify import Identity
from pipeline.sinks.warehouse import Warehouse, rows

# Links are followed this far: id, mail, telephone, handle and back. A longer chain means a shared
# number, not one person.
_MAX_HOPS = 4


@dataclass(frozen=True, slots=True)
class Timeline:
    """A person: linked customers with contact points and profiles, and events, oldest first."""

    customers: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]


def find_customers(warehouse: Warehouse, identity: Identity, tenant: str, wanted: str) -> list[str]:
    """Return the ids of customers who match a text.

    It may be a mail address, telephone number, customer number, customer id, handle or name; the
    first one of the first four that exists is returned, otherwise all with that handle or name. A
    contact point that only links know is one of those that exist.
    """
    email, phone = normalise_email(wanted), normalise_phone(wanted, identity.region)
    guesses = [*(str(point) for point in (email, phone) if point), f"id:{wanted.strip()}"]
    ids = [str(identity.customer_id(tenant, guess)) for guess in guesses]
    with suppress(ValueError):
        ids.append(str(UUID(wanted.strip())))
    found = rows(
        warehouse,
        "SELECT customer_id FROM customers WHERE tenant = {tenant:String} AND (customer_id IN"
        " {ids:Array(UUID)} OR handle = {wanted:String} OR endsWith(handle, concat('/',"
        " lowerUTF8({wanted:String}))) OR name = {wanted:String} OR (startsWith(contact,"
        " 'phone:') AND endsWith(contact, concat('/', {local:String}))))",
        tenant=tenant,
        ids=ids,
        wanted=wanted.strip(),
        # A number without its area code is one only in its source, as a handle is.
        local=phone.value if phone else wanted.strip(),
    )
    known = [row["customer_id"] for row in found]
    linked = {end for link in _links(warehouse, ids) for end in link}
    return [customer for customer in ids if customer in known or customer in linked][:1] or known


def with_linked(warehouse: Warehouse, customers: Sequence[str]) -> list[str]:
    """Return customer ids and all customers linked to them, in at most `_MAX_HOPS` steps.

    Two customer numbers that share an address or a telephone are two people: no step leads from one
    number over a shared contact point to another, nor to that contact point itself, whose events
    may be either's. Whoever asks for the shared contact point gets all of its customers.
    """
    known = list(customers)
    for _ in range(_MAX_HOPS):
        links = _links(warehouse, known)
        numbered = {end for link in links for end, contact in link.items() if _is_number(contact)}
        have_number = any(customer in numbered for customer in known)
        new = dict.fromkeys(end for link in links for end in sorted(link) if end not in known)
        if have_number:
            new = {end: None for end in new if end not in numbered}
            shared = {
                end
                for link in _links(warehouse, list(new))
                for other, contact in link.items()
                if _is_number(contact) and other not in known
                for end in link
            }
            new = {end: None for end in new if end not in shared}
        if not new:
            break
        known.extend(new)
    return known


def _links(warehouse: Warehouse, customers: Sequence[str]) -> list[dict[str, str]]:
    """Return the contact points of both ends of each link of these customers, by customer id."""
    found = rows(
        warehouse,
        "SELECT DISTINCT customer_id, contact, other_customer_id, other_contact FROM links WHERE"
        " customer_id IN {ids:Array(UUID)} OR other_customer_id IN {ids:Array(UUID)} ORDER BY"
        " customer_id, other_customer_id",
        ids=list(customers),
    )
    return [
        {row["customer_id"]: row["contact"], row["other_customer_id"]: row["other_contact"]}
        for row in found
    ]


def _is_number(contact: str) -> bool:
    """Return whether a contact point is a customer number, which two people never share."""
    return contact.startswith("id:")


def timeline(warehouse: Warehouse, identity: Identity, tenant: str, wanted: str) -> Timeline:
    """Return the timeline of a customer across all linked contact points; empty if unknown."""
    ids = with_linked(warehouse, find_customers(warehouse, identity, tenant, wanted))
    if not ids:
        return Timeline((), ())
    customers = rows(
        warehouse,
        "SELECT * FROM customers WHERE customer_id IN {ids:Array(UUID)} ORDER BY last_seen DESC",
        ids=ids,
    )
    events = rows(
        warehouse,
        "SELECT * FROM customer_history(customer_ids = {ids:Array(UUID)}) ORDER BY occurred_at,"
        " record_id",
        ids=ids,
    )
    return Timeline(tuple(customers), tuple(events))

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
    first one of the first four that exists is returned, otherwise all with that handle or name.
    """
    guesses = [
        str(point)
        for point in (normalise_email(wanted), normalise_phone(wanted, identity.region))
        if point
    ]
    guesses.append(f"id:{wanted.strip()}")
    ids = [str(identity.customer_id(tenant, guess)) for guess in guesses]
    with suppress(ValueError):
        ids.append(str(UUID(wanted.strip())))
    found = rows(
        warehouse,
        "SELECT customer_id FROM customers WHERE tenant = {tenant:String} AND (customer_id IN"
        " {ids:Array(UUID)} OR handle = {wanted:String} OR endsWith(handle, concat('/',"
        " lowerUTF8({wanted:String}))) OR name = {wanted:String})",
        tenant=tenant,
        ids=ids,
        wanted=wanted.strip(),
    )
    known = [row["customer_id"] for row in found]
    return [customer for customer in ids if customer in known][:1] or known


def with_linked(warehouse: Warehouse, customers: Sequence[str]) -> list[str]:
    """Return customer ids and all customers linked to them, in at most `_MAX_HOPS` steps."""
    known = list(customers)
    for _ in range(_MAX_HOPS):
        joined = rows(
            warehouse,
            "SELECT DISTINCT arrayJoin([customer_id, other_customer_id]) AS id FROM links WHERE"
            " customer_id IN {ids:Array(UUID)} OR other_customer_id IN {ids:Array(UUID)} ORDER"
            " BY id",
            ids=known,
        )
        new = [row["id"] for row in joined if row["id"] not in known]
        if not new:
            break
        known.extend(new)
    return known


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

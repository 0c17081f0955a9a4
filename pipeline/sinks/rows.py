"""From contracts to rows: which tables each contract fills, column by column.

A column is declared once, by its name and by how its values are taken from the JSON in which contracts travel. What of a contract
goes in as it is, is only named.
"""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from pipeline.models.heads import HEADS
from pipeline.sinks.conversation_rows import CONVERSATION_TABLES
from pipeline.sinks.tables import (
    Batch,
    Bodies,
    Body,
    Column,
    Instants,
    Loadable,
    Table,
    as_instants,
    at,
    constant,
    each,
    instant,
    instants,
    mirror,
    same,
    versions,
    within,
)
from schemas.dead_letters import DeadLetter, Replay
from schemas.labels import Label
from schemas.records import BusinessRecord, Link, Record
from schemas.types import Contract


def _shared() -> dict[str, Column]:
    return {
        **same("record_id", "tenant", "customer_id", "contact", "contact_name", "contacts", "staff", "source"),
        **same("event_id", "event_type", "connector", "quality_flags", "attributes"),
        **instants("occurred_at", "received_at"),
        "version": versions,
    }


def _calls(bodies: Bodies) -> list[Any]:
    return [body["call"] for body in bodies]


def _call(name: str, absent: Any = None) -> Column:
    return within(_calls, name, absent=absent)


_NO_ANSWER = {"label": "", "p": 0.0, "abstained": True, "version": ""}


def _answers(head: str) -> dict[str, Column]:
    def answers(bodies: Bodies) -> list[Any]:
        return [body["predictions"].get(head, _NO_ANSWER) for body in bodies]

    return {
        head: within(answers, "label"),
        f"{head}_p": within(answers, "p"),
        f"{head}_abstained": within(answers, "abstained"),
        f"{head}_version": within(answers, "version"),
    }


COMMUNICATIONS = Table(
    "communication_rows",
    {
        **_shared(),
        **same("channel", "kind", "direction", "conversation_id", "provider", "message_id", "in_reply_to", "subject"),
        **same("body_text", "reply_text", "quoted_text", "signature_text", "cut_rules", "redacted_text", "language"),
        **same("result", "remarks", "campaign"),
        **instants("sent_at"),
        "participants": each(
            lambda body: [f"{who['role']} {who['contact']} {who['name']}".strip() for who in body["participants"]]
        ),
        "auto_kind": each(lambda body: body["auto_kind"] or ""),
        "attachment_names": each(lambda body: [item["name"] or "" for item in body["attachments"]]),
        "attachment_count": each(lambda body: len(body["attachments"])),
        "call_started_at": as_instants(_call("started_at")),
        "call_answered_at": as_instants(_call("answered_at")),
        "call_ended_at": as_instants(_call("ended_at")),
        "ring_s": _call("ring_s"),
        "talk_s": _call("talk_s"),
        "disposition": lambda batch: [way or "" for way in _call("disposition")(batch)],
        **{name: column for head in HEADS for name, column in _answers(head.name).items()},
    },
)


def _predictions(record: Body) -> Iterable[tuple[Body, str, Body]]:
    return ((record, head, answer) for head, answer in record["predictions"].items())


PREDICTIONS = Table(
    "prediction_rows",
    {
        "record_id": at(0, "record_id"),
        "head": at(1),
        "model_version": at(2, "version"),
        "label": at(2, "label"),
        "p": at(2, "p"),
        "abstained": at(2, "abstained"),
        "predicted_at": instant(0, "received_at"),
        "version": versions,
    },
    lambda batch: batch.each(_predictions),
)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


BUSINESS_EVENTS = Table(
    "business_event_rows",
    {
        **_shared(),
        **same("kind", "action", "entity_id", "channel", "conversation", "currency", "payment_method", "feedback_kind"),
        **same("rating", "rating_index", "reason", "text", "handling", "result", "order_id", "target", "profile"),
        **instants("survey_sent_at"),
        "amount": each(lambda body: _decimal(body["amount"])),
        "item_skus": each(lambda body: [item["sku"] for item in body["items"]]),
        "item_names": each(lambda body: [item["name"] or "" for item in body["items"]]),
        "item_quantities": each(lambda body: [float(item["quantity"]) for item in body["items"]]),
    },
)


def _deliveries(record_id: str, received_at: str, history: str) -> Table:
    return Table(
        "delivery_rows",
        {
            "record_id": at(record_id),
            "locator": at("delivery", "locator"),
            "body_sha256": at("delivery", "sha256"),
            "received_at": instant(received_at),
            **same("connector"),
            "history": constant(history),
            "version": versions,
        },
    )


# Older than anything said about a customer, so that whatever is said wins.
_UNSAID = (0, "")
_PROFILE_FIELDS = ("name", "email", "phone", "handle", "address", "city", "origin", "gender", "birth_year", "segment")


def _said(body: Body) -> Iterable[tuple[Body, Body]]:
    """Give what an event says of its customer: the name shown, the contact points, the profile; the later beats the earlier."""
    if body["customer_id"] is not None:
        facts = {"name": body["contact_name"]}
        for point in body["contacts"]:
            kind, _, value = point.partition(":")
            facts[kind] = value
        yield body, facts | body.get("profile", {})


def _told(name: str) -> Column:
    def values(batch: Batch) -> list[Any]:
        told = [facts.get(name) for _, facts in batch.bodies]
        if not any(told):
            return [_UNSAID] * len(told)
        moments = _SEEN(batch)
        return [(moment, value) if value else _UNSAID for moment, value in zip(moments, told, strict=True)]

    return values


_SEEN = instant(0, "occurred_at")
_CONTACT = at(0, "contact")
CUSTOMERS = Table(
    "customer_rows",
    {
        "customer_id": at(0, "customer_id"),
        "tenant": at(0, "tenant"),
        "contact": lambda batch: list(zip(_SEEN(batch), _CONTACT(batch), strict=True)),
        "first_seen": _SEEN,
        "last_seen": _SEEN,
        **{name: _told(name) for name in _PROFILE_FIELDS},
    },
    lambda batch: batch.each(_said),
)


def _customer_index(history: str) -> Table:
    return Table(
        "customer_index",
        {
            **same("customer_id", "record_id"),
            **instants("occurred_at"),
            "history": constant(history),
            "version": versions,
        },
        lambda batch: batch.each(lambda body: (body,) if body["customer_id"] is not None else ()),
    )


def _enriched(history: str) -> tuple[Table, ...]:
    return _deliveries("record_id", "received_at", history), CUSTOMERS, _customer_index(history)


# Above every negated instant in ms, so that a version is positive; 2^20 below it breaks ties between events of one ms.
_LINK_EPOCH = 1 << 62


def _link_versions(batch: Batch) -> list[Any]:
    """Return versions by which, of many events that show the same two contact points, the earliest stays in whatever order they load."""
    return [
        _LINK_EPOCH - (moment << 20) - int(body["record_id"][-5:], 16)
        for body, moment in zip(batch.bodies, instant("linked_at")(batch), strict=True)
    ]


TABLES: dict[type[Contract], tuple[Table, ...]] = {
    Record: (COMMUNICATIONS, PREDICTIONS, *_enriched("communications")),
    BusinessRecord: (BUSINESS_EVENTS, *_enriched("business_events")),
    Link: (mirror(Link, "link_rows", version=_link_versions),),
    Label: (
        mirror(Label, "label_rows", frozenset({"delivery"})),
        _deliveries("label_id", "labelled_at", "labels"),
    ),
    DeadLetter: (
        mirror(
            DeadLetter,
            "dead_letter_rows",
            key=each(lambda body: b64decode(body["key"] or "")),
            payload=each(lambda body: b64decode(body["payload"])),
        ),
    ),
    Replay: (mirror(Replay, "replay_rows"),),
    **CONVERSATION_TABLES,
}


def columns_of(batch: Sequence[Loadable]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yield the columns that contracts become, table by table as they are made; tables that get no row are left out.

    Raises KeyError, TypeError or ValueError where a body is not what its contract says, or no table keeps the contract.
    """
    of_kind: dict[type[Contract], list[Loadable]] = defaultdict(list)
    for loadable in batch:
        of_kind[loadable.contract].append(loadable)
    known = Instants()
    sources: dict[str, list[tuple[Table, Batch]]] = defaultdict(list)
    for contract, loadables in of_kind.items():
        whole = Batch([one.body for one in loadables], [one.version for one in loadables], known)
        for table in TABLES[contract]:
            sources[table.name].append((table, whole))
    for name, parts in sources.items():
        columns: dict[str, list[Any]] = {}
        for table, whole in parts:
            rows = table.rows(whole)
            for column, values in table.columns.items():
                columns.setdefault(column, []).extend(values(rows))
        if any(columns.values()):
            yield name, columns


def rows_of(contract: Contract, version: int) -> dict[str, dict[str, list[Any]]]:
    """Return the rows that one contract becomes, by table; raises KeyError for a contract that no table keeps."""
    return dict(columns_of([Loadable.of(contract, version)]))

"""From contracts to rows: which tables each contract fills, column by column.

A column is declared once, by its name and by how its values are taken from the JSON in which
contracts travel. What of a contract goes in as it is, is only named.
"""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from pipeline.models.heads import HEADS
from pipeline.sinks.conversation_rows import CONVERSATION_TABLES
from pipeline.sinks.table_columns import (
    Batch,
    Bodies,
    Body,
    Column,
    Field,
    Holders,
    Instants,
    Loadable,
    Table,
    Values,
    as_instants,
    at,
    constant,
    each,
    instant,
    instants,
    mirror,
    same,
    versions,
)
from schemas.dead_letters import DeadLetter, Replay, StageReplay
from schemas.labels import Assessment, Drift, Label
from schemas.live import Alert
from schemas.reclassified import Reclassification
from schemas.records import BusinessRecord, Link, Record
from schemas.types import Contract


def _shared() -> dict[str, Column | Field]:
    return {
        **same(
            "record_id",
            "tenant",
            "customer_id",
            "contact",
            "contact_name",
            "contacts",
            "staff",
            "source",
        ),
        **same("event_id", "event_type", "connector", "quality_flags", "attributes"),
        **instants("occurred_at", "received_at"),
        "version": versions,
    }


_NO_CALL = dict.fromkeys(
    ("started_at", "answered_at", "ended_at", "ring_s", "talk_s", "disposition")
)
_NO_ANSWER = {"label": "", "p": 0.0, "abstained": True, "version": "", "also": []}


def _calls(bodies: Bodies) -> Bodies:
    return [body["call"] or _NO_CALL for body in bodies]


def _or_empty(_batch: Batch, values: Values) -> Values:
    return [value or "" for value in values]


def _holders(head: str) -> Holders:
    def answers(bodies: Bodies) -> Bodies:
        return [body["predictions"].get(head, _NO_ANSWER) for body in bodies]

    return answers


_needs = _holders("need")


def _answers(head: str) -> dict[str, Field]:
    answers = _needs if head == "need" else _holders(head)
    return {
        head: Field(answers, "label"),
        f"{head}_p": Field(answers, "p"),
        f"{head}_abstained": Field(answers, "abstained"),
        f"{head}_version": Field(answers, "version"),
    }


_BUILT_IN = frozenset(head.name for head in HEADS)
_OF_ANSWER = ("label", "also", "p", "abstained", "version")
_NO_OWN: dict[str, dict[str, Any]] = {part: {} for part in _OF_ANSWER}


def _own_answers(bodies: Bodies) -> Bodies:
    """Return, by part of an answer, what heads without columns of their own answered: each a
    dictionary by head.
    """
    return [_own(body["predictions"]) for body in bodies]


def _own(predictions: Body) -> dict[str, dict[str, Any]]:
    heads = predictions.keys() - _BUILT_IN
    if not heads:
        return _NO_OWN
    return {part: {head: predictions[head][part] for head in sorted(heads)} for part in _OF_ANSWER}


COMMUNICATIONS = Table(
    "communication_rows",
    {
        **_shared(),
        **same(
            "channel",
            "kind",
            "direction",
            "conversation_id",
            "provider",
            "message_id",
            "in_reply_to",
            "subject",
        ),
        **same(
            "body_text",
            "reply_text",
            "quoted_text",
            "signature_text",
            "cut_rules",
            "redacted_text",
            "language",
        ),
        **same("result", "remarks", "campaign"),
        **instants("sent_at"),
        "participants": each(
            lambda body: [
                f"{who['role']} {who['contact']} {who['name']}".strip()
                for who in body["participants"]
            ]
        ),
        "auto_kind": Field(at("auto_kind").holders, "auto_kind", _or_empty),
        "attachment_names": each(lambda body: [item["name"] or "" for item in body["attachments"]]),
        "attachment_count": each(lambda body: len(body["attachments"])),
        "call_started_at": Field(_calls, "started_at", as_instants),
        "call_answered_at": Field(_calls, "answered_at", as_instants),
        "call_ended_at": Field(_calls, "ended_at", as_instants),
        "ring_s": Field(_calls, "ring_s"),
        "talk_s": Field(_calls, "talk_s"),
        "disposition": Field(_calls, "disposition", _or_empty),
        **{name: column for head in HEADS for name, column in _answers(head.name).items()},
        "need_also": Field(_needs, "also"),
        "answers": Field(_own_answers, "label"),
        **{f"answers_{part}": Field(_own_answers, part) for part in _OF_ANSWER[1:]},
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
        "also": at(2, "also"),
        "p": at(2, "p"),
        "abstained": at(2, "abstained"),
        "predicted_at": instant(0, "received_at"),
        "version": versions,
    },
    lambda batch: batch.each(_predictions),
)


def _reclassified() -> tuple[Table, ...]:
    columns = same("record_id", "head", "model_version", "label", "also", "p", "abstained")
    return (
        Table(
            "prediction_rows",
            {**columns, "predicted_at": instant("judged_at"), "version": versions},
        ),
        mirror(Reclassification, "reclassified_rows"),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


BUSINESS_EVENTS = Table(
    "business_event_rows",
    {
        **_shared(),
        **same(
            "kind",
            "action",
            "entity_id",
            "channel",
            "conversation",
            "currency",
            "payment_method",
            "feedback_kind",
        ),
        **same(
            "rating",
            "rating_index",
            "reason",
            "text",
            "handling",
            "result",
            "order_id",
            "target",
            "profile",
        ),
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
_PROFILE_FIELDS = (
    "name",
    "email",
    "phone",
    "handle",
    "address",
    "city",
    "origin",
    "gender",
    "birth_year",
    "segment",
)


def _fold_customers(known: dict[str, Body], batch: Batch) -> None:
    """Fold what events say of their customers as the table's functions would: the latest of each
    fact, the first and last event.

    Of one event the profile counts most, then the contact points, then the name shown.
    """
    for body in batch.bodies:
        customer = body["customer_id"]
        if customer is None:
            continue
        seen = batch.instants.of(body["occurred_at"])
        said = {"name": body["contact_name"]}
        for point in body["contacts"]:
            kind, _, value = point.partition(":")
            said[kind] = value
        said |= body.get("profile", {})
        said["contact"] = body["contact"]
        row = known.get(customer)
        if row is None:
            row = {
                "customer_id": customer,
                "tenant": body["tenant"],
                "first": seen,
                "last": seen,
                "facts": {},
            }
            known[customer] = row
        elif seen < row["first"]:
            row["first"] = seen
        elif seen > row["last"]:
            row["last"] = seen
        facts = row["facts"]
        for name, value in said.items():
            if value and (told := (seen, value)) > facts.get(name, _UNSAID):
                facts[name] = told


def _latest(name: str) -> Column:
    return lambda batch: [row["facts"].get(name, _UNSAID) for row in batch.bodies]


CUSTOMERS = Table(
    "customer_rows",
    {
        **same("customer_id", "tenant"),
        "first_seen": at("first"),
        "last_seen": at("last"),
        **{name: _latest(name) for name in ("contact", *_PROFILE_FIELDS)},
    },
    fold=_fold_customers,
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


# Above every negated instant in ms, so that a version is positive; 2^20 below it breaks ties
# between events of one ms.
_LINK_EPOCH = 1 << 62


def _link_versions(batch: Batch) -> Values:
    """Return versions by which, of many events that show the same two contact points, the earliest
    stays in whatever order they load.
    """
    return [
        _LINK_EPOCH - (batch.instants.of(body["linked_at"]) << 20) - int(body["record_id"][-5:], 16)
        for body in batch.bodies
    ]


# Few enough that what is decoded is still in the processor's cache when the columns are taken from
# it: 500 at once take half as long again, 3,000 twice as long.
_TAKEN_AT_ONCE = 64
# Small enough that what is encoded is in the cache too, large enough that what a block costs by
# itself does not count.
_BLOCK = 1_024

TABLES: dict[type[Contract], tuple[Table, ...]] = {
    Record: (COMMUNICATIONS, PREDICTIONS, *_enriched("communications")),
    BusinessRecord: (BUSINESS_EVENTS, *_enriched("business_events")),
    Link: (mirror(Link, "link_rows", version=_link_versions),),
    Label: (
        mirror(Label, "label_rows", frozenset({"delivery"})),
        _deliveries("label_id", "labelled_at", "labels"),
    ),
    Reclassification: _reclassified(),
    Assessment: (mirror(Assessment, "assessment_rows"),),
    Drift: (mirror(Drift, "drift_rows"),),
    DeadLetter: (
        mirror(
            DeadLetter,
            "dead_letter_rows",
            key=each(lambda body: b64decode(body["key"] or "")),
            payload=each(lambda body: b64decode(body["payload"])),
        ),
    ),
    Replay: (mirror(Replay, "replay_rows"),),
    StageReplay: (mirror(StageReplay, "stage_replay_rows"),),
    **CONVERSATION_TABLES,
    Alert: (mirror(Alert, "alert_rows"),),
}


def blocks_of(batch: Iterable[Loadable]) -> Iterator[dict[str, dict[str, list[Any]]]]:
    """Give the columns that contracts become, block by block and in each by table; what is folded
    comes in the last.

    Raises KeyError, TypeError or ValueError where a body is not what its contract says, or no table
    keeps the contract.
    """
    tables: dict[str, dict[str, list[Any]]] = {}
    folded: dict[str, tuple[Table, dict[str, Body]]] = {}
    rest, taken = iter(batch), 0
    while few := list(islice(rest, _TAKEN_AT_ONCE)):
        _take(few, tables, folded)
        taken += len(few)
        if taken >= _BLOCK:
            yield tables
            tables, taken = {}, 0
    yield tables
    yield {
        name: {
            column: list(values)
            for column, values in table.taken(Batch(list(rows.values()), ())).items()
        }
        for name, (table, rows) in folded.items()
        if rows
    }


def _take(
    few: Sequence[Loadable],
    tables: dict[str, dict[str, list[Any]]],
    folded: dict[str, tuple[Table, dict[str, Body]]],
) -> None:
    for contract, whole in _by_contract(few).items():
        for table in TABLES[contract]:
            if table.fold is not None:
                table.fold(folded.setdefault(table.name, (table, {}))[1], whole)
                continue
            taken = table.taken(whole)
            columns = tables.setdefault(table.name, {name: [] for name in taken}) if taken else {}
            for name, values in taken.items():
                columns[name].extend(values)


def columns_of(batch: Iterable[Loadable]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Give the columns that contracts become, table by table; see `blocks_of`."""
    whole: dict[str, dict[str, list[Any]]] = {}
    for tables in blocks_of(batch):
        for name, columns in tables.items():
            known = whole.setdefault(name, {column: [] for column in columns})
            for column, values in columns.items():
                known[column].extend(values)
    yield from whole.items()


def _by_contract(part: Sequence[Loadable]) -> dict[type[Contract], Batch]:
    of_kind: dict[type[Contract], list[Loadable]] = defaultdict(list)
    for loadable in part:
        of_kind[loadable.contract].append(loadable)
    known = Instants()
    return {
        contract: Batch([one.body for one in loadables], [one.version for one in loadables], known)
        for contract, loadables in of_kind.items()
    }


def rows_of(contract: Contract, version: int) -> dict[str, dict[str, list[Any]]]:
    """Return the rows that one contract becomes, by table; raises KeyError for a contract that no
    table keeps.
    """
    return dict(columns_of([Loadable.of(contract, version)]))

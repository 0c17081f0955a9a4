"""The step `business`: orders, feedback, complaints and profiles become business events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.envelope import IncomingEvent
from pipeline.outcomes import Context, Emit, Outcome, Output
from pipeline.processors.clean.plain_text import MAX_CHARACTERS, normalise_text, truncate
from pipeline.processors.clean.timestamps import choose_times
from pipeline.processors.identify import Identity
from pipeline.processors.shared_fields import shared_fields
from schemas.business import BusinessData, ComplaintData, CustomerData, FeedbackData, OrderData
from schemas.records import BusinessRecord
from schemas.topics import BUSINESS, LINKS
from schemas.types import Contract


@dataclass(frozen=True, slots=True)
class BusinessEvents:
    """The step `business`, for one installation's identity."""

    identity: Identity
    name: str = "business"

    def __call__(self, batch: Sequence[IncomingEvent], ctx: Context) -> Sequence[Outcome[Contract]]:
        return [self._enriched(incoming) for incoming in batch]

    def _enriched(self, incoming: IncomingEvent) -> Outcome[Contract]:
        event, data = incoming.event, incoming.data
        if not isinstance(data, BusinessData):
            raise TypeError(f"business is for business events, not for {type(data).__name__}")
        times = choose_times(event.time, None, incoming.appended_at, is_sender_clock=False)
        customer, contact_flags = self.identity.find_customer(
            (data.customer,), event.tenant, event.source
        )
        if isinstance(data, CustomerData):
            customer, more_flags = self.identity.with_contacts(
                customer, event.tenant, event.source, data.emails, data.phones
            )
            contact_flags += more_flags
        flags = (
            *times.flags,
            *(() if customer.contacts else ("missing_contact",)),
            *contact_flags,
            *(("text_truncated",) if _is_too_long(data) else ()),
        )
        record = BusinessRecord(
            **shared_fields(incoming, times, customer, flags, data.staff),
            **_own_fields(data),
            action=event.type.rpartition(".")[2],
            channel=data.channel or "",
            conversation=data.conversation or "",
        )
        links = self.identity.links(customer, event.tenant, incoming.record_id, times.occurred_at)
        outputs: list[Output[Contract]] = [
            Output(record, BUSINESS.name, str(record.customer_id or record.record_id))
        ]
        outputs.extend(Output(link, LINKS.name, str(link.customer_id)) for link in links)
        return Emit(tuple(outputs))


def rating_index(rating: float | None, scale_min: float, scale_max: float) -> float | None:
    """Return a rating on a scale of 0 (worst) to 100 (best); None stays None.

    >>> rating_index(4, scale_min=1, scale_max=5)
    75.0
    """
    return None if rating is None else (rating - scale_min) / (scale_max - scale_min) * 100


def _tidy_text(text: str | None) -> str:
    return truncate(normalise_text(text or ""))[0]


def _is_too_long(data: BusinessData) -> bool:
    text = data.text if isinstance(data, (FeedbackData, ComplaintData)) else None
    return len(text or "") > MAX_CHARACTERS and truncate(normalise_text(text or ""))[1]


def _own_fields(data: BusinessData) -> dict[str, Any]:
    if isinstance(data, OrderData):
        return {
            "kind": "order",
            "entity_id": data.order_id,
            "amount": data.amount,
            "currency": data.currency or "",
            "items": data.items,
            "payment_method": data.payment_method or "",
            "reason": data.reason or "",
        }
    if isinstance(data, FeedbackData):
        return {
            "kind": "feedback",
            "entity_id": data.feedback_id or "",
            "feedback_kind": data.kind or ("suggestion" if data.rating is None else "rating"),
            "rating": data.rating,
            "rating_index": rating_index(data.rating, data.scale_min, data.scale_max),
            "text": _tidy_text(data.text),
            "target": data.target or "",
            "survey_sent_at": data.survey_sent_at,
        }
    if isinstance(data, ComplaintData):
        return {
            "kind": "complaint",
            "entity_id": data.complaint_id,
            "reason": data.reason,
            "text": _tidy_text(data.text),
            "handling": data.handling or "",
            "result": data.result or "",
            "order_id": data.order_id or "",
        }
    if isinstance(data, CustomerData):
        return {"kind": "customer", "entity_id": data.customer.id or "", "profile": _profile(data)}
    raise TypeError(f"no fields are declared for {type(data).__name__}")


def _profile(data: CustomerData) -> dict[str, str]:
    fields = {
        "address": data.address,
        "city": data.city,
        "origin": data.source,
        "gender": data.gender,
        "birth_year": data.birth_year,
        "segment": data.segment,
    }
    return {name: str(value) for name, value in fields.items() if value is not None}

"""Business events beside messages: orders, feedback, complaints, customer profiles (crm.*)."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from schemas.types import Contract, Party, Text, UtcTime

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
# Decimal(18, 4) in ClickHouse: four decimals are enough for every ISO 4217 currency, fourteen
# digits before the point for every order.
Money = Annotated[Decimal, Field(max_digits=18, decimal_places=4)]


class ComplaintReason(StrEnum):
    """Reason of a complaint (投诉原因)."""

    QUALITY = "quality"
    DELIVERY = "delivery"
    PRICE = "price"
    SERVICE_ATTITUDE = "service_attitude"
    WAIT_TIME = "wait_time"
    BILLING = "billing"
    PRIVACY = "privacy"
    FRAUD = "fraud"
    OTHER = "other"


class ComplaintResult(StrEnum):
    """Result of a complaint (投诉结果)."""

    REFUNDED = "refunded"
    REPLACED = "replaced"
    EXPLAINED = "explained"
    COMPENSATED = "compensated"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class OrderItem(Contract):
    """One line of an order."""

    sku: str = Field(min_length=1, description="Article number.")
    name: Text = Field(None, description="Article name.")
    category: Text = Field(None, description="Article category.")
    quantity: Annotated[Decimal, Field(gt=0)] = Field(Decimal(1), description="Quantity.")
    price: Money | None = Field(None, description="Unit price, in the order's currency.")


class BusinessData(Contract):
    """Fields of every business event: the customer, and where the event came from."""

    customer: Party = Field(description="The customer; any of id, name, email, phone, handle.")
    channel: Text = Field(None, description="Sales or contact channel: web, shop, app, phone …")
    conversation: Text = Field(None, description="The platform's id of the related conversation.")
    staff: Text = Field(None, description="The staff member who handled it.")


class OrderData(BusinessData):
    """An order, its payment, its refund or its cancellation (订单、付款、退款)."""

    order_id: str = Field(min_length=1, description="Order number.")
    amount: Money | None = Field(
        None,
        description="Amount of this event: order total, payment or refund; never negative.",
        ge=0,
    )
    currency: Currency | None = Field(None, description="ISO 4217 code of the amount.")
    items: tuple[OrderItem, ...] = Field((), description="Ordered items.")
    payment_method: Text = Field(None, description="Payment method (付款方式).")
    reason: Text = Field(None, description="Reason of the refund or cancellation (退款原因).")

    @model_validator(mode="after")
    def _amount_has_a_currency(self) -> OrderData:
        if self.amount is not None and self.currency is None:
            raise ValueError("amount needs a currency (ISO 4217, such as CNY)")
        return self


class FeedbackData(BusinessData):
    """Feedback: a rating, a suggestion, praise or a complaint (评价、建议)."""

    feedback_id: Text = Field(None, description="Number of the feedback.")
    kind: Literal["rating", "suggestion", "praise", "complaint"] | None = Field(
        None, description="Kind of feedback; default: rating if there is a rating, else suggestion."
    )
    rating: float | None = Field(None, description="The rating.")
    scale_min: float = Field(1, description="Worst rating of the scale.")
    scale_max: float = Field(5, description="Best rating of the scale.")
    text: Text = Field(None, description="Text of the feedback (反馈内容).")
    target: Text = Field(None, description="Subject: an order, a conversation or a person.")
    survey_sent_at: UtcTime | None = Field(None, description="When the survey was sent.")

    @model_validator(mode="after")
    def _rating_is_on_its_scale(self) -> FeedbackData:
        if self.scale_min >= self.scale_max:
            raise ValueError(
                f"scale_min {self.scale_min:g} must be below scale_max {self.scale_max:g}"
            )
        if self.rating is not None and not self.scale_min <= self.rating <= self.scale_max:
            raise ValueError(
                f"rating {self.rating:g} is outside its scale {self.scale_min:g} to"
                f" {self.scale_max:g}"
            )
        if self.rating is None and self.text is None:
            raise ValueError("needs a rating or a text")
        return self


class ComplaintData(BusinessData):
    """A complaint: reason, handling and result (投诉原因、处理、结果)."""

    complaint_id: str = Field(
        min_length=1,
        description="Number of the complaint; its opened, handled and closed events share it.",
    )
    reason: ComplaintReason = Field(ComplaintReason.OTHER, description="Reason of the complaint.")
    text: Text = Field(None, description="Text of the customer.")
    handling: Text = Field(None, description="What staff did about it (投诉处理).")
    result: ComplaintResult | None = Field(None, description="Result of the complaint.")
    order_id: Text = Field(None, description="Number of the order concerned.")


class CustomerData(BusinessData):
    """A customer's profile (客户基本信息)."""

    emails: tuple[str, ...] = Field((), description="Additional mail addresses.")
    phones: tuple[str, ...] = Field((), description="Additional telephone numbers.")
    address: Text = Field(None, description="Postal address (地址).")
    city: Text = Field(None, description="City.")
    source: Text = Field(None, description="Acquisition source of the customer (来源).")
    gender: Text = Field(None, description="Gender as stated by the customer.")
    birth_year: int | None = Field(
        None, ge=1880, le=2100, description="Year of birth (an age would soon be outdated)."
    )
    segment: Text = Field(None, description="Customer segment assigned by staff.")


_ACTIONS: dict[str, tuple[type[BusinessData], frozenset[str]]] = {
    "crm.order": (OrderData, frozenset({"created", "paid", "refunded", "cancelled", "other"})),
    "crm.feedback": (FeedbackData, frozenset({"given"})),
    "crm.complaint": (ComplaintData, frozenset({"opened", "handled", "closed", "other"})),
    "crm.customer": (CustomerData, frozenset({"updated"})),
}

TYPES = tuple(
    f"{kind}.{action}" for kind, (_, actions) in _ACTIONS.items() for action in sorted(actions)
)


def data_model(event_type: str, _data: dict[str, Any]) -> type[BusinessData] | None:
    """Return the contract of a crm.* event's data, or None for any other type.

    >>> data_model("crm.order.paid", {}).__name__
    'OrderData'
    """
    kind, _, action = event_type.rpartition(".")
    model, actions = _ACTIONS.get(kind, (None, frozenset()))
    return model if action in actions else None

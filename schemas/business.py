"""What a shop's systems emit beside messages: orders, feedback, complaints, customer profiles (the
crm.* events).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from schemas.types import Contract, Party, Text, UtcTime

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
# Decimal(18, 4) in ClickHouse: four decimals carry every ISO 4217 currency, fourteen digits before
# them every order.
Money = Annotated[Decimal, Field(max_digits=18, decimal_places=4)]


class ComplaintReason(StrEnum):
    """What a complaint is about (投诉原因)."""

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
    """How a complaint ended (投诉结果)."""

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
    quantity: Annotated[Decimal, Field(gt=0)] = Field(Decimal(1), description="How many.")
    price: Money | None = Field(None, description="Price of one, in the order's currency.")


class BusinessData(Contract):
    """What every business event has: the customer it concerns, and the conversation it came from,
    where known.
    """

    customer: Party = Field(description="The customer; any of id, name, email, phone, handle.")
    channel: Text = Field(None, description="Where it was made: web, shop, app, phone …")
    conversation: Text = Field(
        None, description="The platform's id of the conversation it belongs to."
    )
    staff: Text = Field(None, description="Our person in it.")


class OrderData(BusinessData):
    """An order, its payment, its refund or its cancellation (订单、付款、退款)."""

    order_id: str = Field(min_length=1, description="Order number.")
    amount: Money | None = Field(
        None,
        description="Sum that this event moves: total, payment or refund; never negative.",
        ge=0,
    )
    currency: Currency | None = Field(None, description="ISO 4217 code of the amount.")
    items: tuple[OrderItem, ...] = Field((), description="What was ordered.")
    payment_method: Text = Field(None, description="How it was paid (付款方式).")
    reason: Text = Field(None, description="Why it was refunded or cancelled (退款原因).")

    @model_validator(mode="after")
    def _amount_has_a_currency(self) -> OrderData:
        if self.amount is not None and self.currency is None:
            raise ValueError("amount needs a currency (ISO 4217, such as CNY)")
        return self


class FeedbackData(BusinessData):
    """A rating, a suggestion, praise or a complaint given as feedback (评价、建议)."""

    feedback_id: Text = Field(None, description="Number of the feedback.")
    kind: Literal["rating", "suggestion", "praise", "complaint"] | None = Field(
        None, description="Absent: rating where there is one, else suggestion."
    )
    rating: float | None = Field(None, description="The mark given.")
    scale_min: float = Field(1, description="Worst mark of the scale.")
    scale_max: float = Field(5, description="Best mark of the scale.")
    text: Text = Field(None, description="What was written (反馈内容).")
    target: Text = Field(None, description="What it is about: an order, a conversation, a person.")
    survey_sent_at: UtcTime | None = Field(None, description="When we asked.")

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
    """A complaint: its reason, what was done, and how it ended (投诉原因、处理、结果)."""

    complaint_id: str = Field(
        min_length=1, description="Number of the complaint; opened, handled and closed share it."
    )
    reason: ComplaintReason = Field(ComplaintReason.OTHER, description="What it is about.")
    text: Text = Field(None, description="What the customer wrote.")
    handling: Text = Field(None, description="What was done (投诉处理).")
    result: ComplaintResult | None = Field(None, description="How it ended.")
    order_id: Text = Field(None, description="The order it is about.")


class CustomerData(BusinessData):
    """A customer's profile (客户基本信息)."""

    emails: tuple[str, ...] = Field((), description="Further mail addresses.")
    phones: tuple[str, ...] = Field((), description="Further telephone numbers.")
    address: Text = Field(None, description="Postal address (地址).")
    city: Text = Field(None, description="City.")
    source: Text = Field(None, description="Where the customer came from (来源).")
    gender: Text = Field(None, description="As the customer states it.")
    birth_year: int | None = Field(
        None, ge=1880, le=2100, description="Year of birth; an age would be wrong next year."
    )
    segment: Text = Field(None, description="Segment given by hand.")


_ACTIONS: dict[str, tuple[type[BusinessData], frozenset[str]]] = {
    "crm.order": (OrderData, frozenset({"created", "paid", "refunded", "cancelled"})),
    "crm.feedback": (FeedbackData, frozenset({"given"})),
    "crm.complaint": (ComplaintData, frozenset({"opened", "handled", "closed"})),
    "crm.customer": (CustomerData, frozenset({"updated"})),
}

TYPES = tuple(
    f"{kind}.{action}" for kind, (_, actions) in _ACTIONS.items() for action in sorted(actions)
)


def data_model(event_type: str, _data: dict[str, Any]) -> type[BusinessData] | None:
    """Return the contract of a crm.* event's data, or None for a type that is not a business
    event.
    """
    kind, _, action = event_type.rpartition(".")
    model, actions = _ACTIONS.get(kind, (None, frozenset()))
    return model if action in actions else None

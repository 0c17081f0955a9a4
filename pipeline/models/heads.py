"""The table of built-in heads: every question the models answer about a text. A new head is one
entry, or one of a team's own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.models import rules
from pipeline.models.rules import Rule

# A head's own labels are few and its rules good, so a model takes over early: with the rule's
# answer as a hint it was better than the rule alone from 10 to 30 labels on, on reviews, tweets and
# messages (bench/models_quality.py). Thirty keeps a first handful of odd labels from speaking for
# everyone.
_MINIMUM_LABELS: Final = 30
# With one class seen a model can say only that one.
_MINIMUM_CLASSES: Final = 2

# Nine answers of ten right; what a head is less sure of is left to people, and `switchboard review`
# asks them.
_PRECISION: Final = 0.9

_FROM_CUSTOMERS: Final = frozenset(("inbound", ""))
_ALL: Final = frozenset(("inbound", "outbound", "internal", ""))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What something means, in English and in Chinese."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Head:
    """A question about a text.

    `labels` are the possible answers in order. `rule` answers while too little is learnt (None:
    nothing is said before), and abstains below `threshold` (a probability). The model answers from
    `minimum_labels` examples of at least `minimum_classes` labels on; it abstains below the
    confidence from which on the share `precision` of its answers has been right, as far as the
    examples tell, and never answers below `threshold` (`pipeline.models.abstention`). Texts of other
    `directions` are not asked about ("" is an unknown direction). Labels that are `combinable` may
    be given together, where a text asks several things. `terms` are a team's own words, by label;
    the built-in lists are no part of them.
    """

    name: str
    meaning: Meaning
    labels: Mapping[str, Meaning]
    rule: Rule | None
    threshold: float
    directions: frozenset[str] = _ALL
    minimum_labels: int = _MINIMUM_LABELS
    minimum_classes: int = _MINIMUM_CLASSES
    precision: float = _PRECISION
    combinable: frozenset[str] = frozenset()
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def applies_to(self, direction: str) -> bool:
        """Return whether texts of this direction are asked about."""
        return direction in self.directions


# Said beside whatever a message is about, or instead of it: no need of their own.
_NEVER_BESIDE: Final = frozenset(("greeting", "praise", "spam"))

_NEEDS: Final = {
    "price_inquiry": Meaning("price, quote, discount", "价格咨询"),
    "product_info": Meaning("features, specification, choice", "产品咨询"),
    "purchase_process": Meaning("how to order, terms of trade", "下单与交易方式"),
    "availability": Meaning("stock, lead time", "库存与货期"),
    "order_status": Meaning("state or change of an order", "订单查询"),
    "logistics": Meaning("shipping and delivery", "物流"),
    "payment": Meaning("paying, charges, balances", "支付"),
    "invoice": Meaning("invoice, receipt, tax", "发票"),
    "refund_return": Meaning("refund, return, exchange, compensation", "退款退货"),
    "account": Meaning("login, registration, identity, profile", "账户"),
    "technical_support": Meaning("something does not work", "技术支持"),
    "usage_howto": Meaning("how to use or set up", "使用方法"),
    "warranty_repair": Meaning("repair, warranty, spare parts", "维修保修"),
    "appointment": Meaning("a time for a visit, call or booking", "预约"),
    "cancellation": Meaning("cancel, unsubscribe, close", "取消与退订"),
    "cooperation": Meaning("partnership, distribution", "合作"),
    "suggestion": Meaning("a wish or an idea for improvement", "建议"),
    "complaint": Meaning("dissatisfaction to be dealt with", "投诉"),
    "praise": Meaning("satisfaction, thanks for good service", "表扬"),
    "greeting": Meaning("greeting, thanks, acknowledgement", "问候与应答"),
    "other": Meaning("none of these", "其他"),
    "spam": Meaning("nobody's need: mass mail or fraud", "垃圾信息"),
}

HEADS: Final = (
    Head(
        name="need",
        meaning=Meaning("what the customer needs", "客户的需求"),
        labels=_NEEDS,
        rule=rules.need,
        threshold=0.35,  # among 22 labels a third is a clear favourite
        directions=_FROM_CUSTOMERS,
        combinable=frozenset(_NEEDS) - _NEVER_BESIDE,
    ),
    Head(
        name="sentiment",
        meaning=Meaning("how the writer feels", "情感"),
        labels={
            "very_negative": Meaning("furious, despairing", "非常负面"),
            "negative": Meaning("dissatisfied", "负面"),
            "neutral": Meaning("matter of fact, or mixed", "中性"),
            "positive": Meaning("satisfied", "正面"),
            "very_positive": Meaning("delighted", "非常正面"),
        },
        rule=rules.sentiment,
        threshold=0.45,
    ),
    Head(
        name="urgency",
        meaning=Meaning("how soon an answer is needed", "紧急程度"),
        labels={
            "low": Meaning("whenever it suits", "低"),
            "normal": Meaning("in its turn", "普通"),
            "high": Meaning("soon", "高"),
            "urgent": Meaning("at once", "紧急"),
        },
        rule=rules.urgency,
        threshold=0.5,
        directions=_FROM_CUSTOMERS,
    ),
    Head(
        name="spam",
        meaning=Meaning("unsolicited mass mail or fraud", "垃圾信息"),
        labels={
            "ham": Meaning("meant for us", "正常"),
            "spam": Meaning("mass mail or fraud", "垃圾"),
        },
        rule=rules.spam,
        threshold=0.6,  # a coin's toss between two labels is no answer
        precision=0.97,  # a customer's mail that goes by as spam is the dearest mistake of all
    ),
    Head(
        name="purchase_intent",
        meaning=Meaning("how near the customer is to buying", "购买意向"),
        labels={
            "none": Meaning("no sign of it, or a refusal", "无意向"),
            "exploring": Meaning("looks around", "了解中"),
            "considering": Meaning("weighs price, terms, alternatives", "考虑中"),
            "ready": Meaning("wants to order", "准备购买"),
            "bought": Meaning("has bought", "已购买"),
        },
        rule=rules.purchase_intent,
        threshold=0.4,
        directions=_FROM_CUSTOMERS,
    ),
)

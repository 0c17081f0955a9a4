"""The table of built-in heads: every question that models answer about a text.

A new head is one entry here and `make generate`, or an entry in a team's own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.models import rules
from pipeline.models.answers import Rule

# A model takes over early: with the rule's answer as a hint it was better than the rule alone from
# 10 to 30 labels on, on reviews, tweets and messages (bench/models_quality.py). Thirty keeps a few
# unusual labels from deciding the answers for everybody.
_MINIMUM_LABELS: Final = 30
# A model that has learnt one label can answer only that one.
_MINIMUM_CLASSES: Final = 2

# Nine answers of ten must be right; people answer the rest, which `switchboard review` asks them.
_PRECISION: Final = 0.9

_FROM_CUSTOMERS: Final = frozenset(("inbound", ""))
_ALL: Final = frozenset(("inbound", "outbound", "internal", ""))


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a head or a label, in English and in Chinese."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Head:
    """A question about a text.

    `labels` are the possible answers in order. `rule` answers until enough is learnt (None: nothing
    answers before), and abstains below `threshold` (a probability). The model answers after
    `minimum_labels` examples of at least `minimum_classes` labels; it abstains below the confidence
    at which the share `precision` of its answers has been right, and always below `threshold`
    (`pipeline.models.abstention`). The head applies to texts of `directions` only ("" is an unknown
    direction). A text that asks several things may have several of the `combinable` labels. The
    `ordinary` labels are those of most messages, or of messages without content: more of them
    raises no alert. `terms` are a team's own terms by label, without the built-in lexicons.
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
    ordinary: frozenset[str] = frozenset()
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def applies_to(self, direction: str) -> bool:
        """Return whether the head answers about texts of this direction."""
        return direction in self.directions


# These come beside whatever a message is about, or instead of it, so they never combine.
_NEVER_COMBINED: Final = frozenset(("greeting", "praise", "spam"))

_NEEDS: Final = {
    "price_inquiry": Meaning("price, quote, discount", "价格咨询"),
    "product_info": Meaning("features, specification, choice", "产品咨询"),
    "purchase_process": Meaning("how to order, terms of trade", "下单与交易方式"),
    "availability": Meaning("stock, lead time", "库存与货期"),
    "order_status": Meaning("state or change of an order", "订单查询"),
    "logistics": Meaning("shipping and delivery", "物流"),
    "payment": Meaning("paying, charges, balances", "付款"),
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
    "complaint": Meaning("dissatisfaction that needs a response", "投诉"),
    "praise": Meaning("satisfaction, thanks for good service", "表扬"),
    "greeting": Meaning("greeting, thanks, acknowledgement", "问候与应答"),
    "other": Meaning("none of these", "其他"),
    "spam": Meaning("no need: mass mail or fraud", "垃圾信息"),
}

HEADS: Final = (
    Head(
        name="need",
        meaning=Meaning("what the customer needs", "客户的需求"),
        labels=_NEEDS,
        rule=rules.need,
        threshold=0.35,  # with 22 labels a probability of a third is a clear favourite
        directions=_FROM_CUSTOMERS,
        combinable=frozenset(_NEEDS) - _NEVER_COMBINED,
        ordinary=frozenset(("greeting", "other")),
    ),
    Head(
        name="sentiment",
        meaning=Meaning("how the writer feels", "情感倾向"),
        labels={
            "very_negative": Meaning("furious, despairing", "非常负面"),
            "negative": Meaning("dissatisfied", "负面"),
            "neutral": Meaning("factual, or mixed", "中性"),
            "positive": Meaning("satisfied", "正面"),
            "very_positive": Meaning("delighted", "非常正面"),
        },
        rule=rules.sentiment,
        threshold=0.45,
        ordinary=frozenset(("neutral",)),
    ),
    Head(
        name="urgency",
        meaning=Meaning("how soon an answer is needed", "紧急程度"),
        labels={
            "low": Meaning("no hurry", "不急"),
            "normal": Meaning("in the usual order", "普通"),
            "high": Meaning("soon", "较急"),
            "urgent": Meaning("immediately", "紧急"),
        },
        rule=rules.urgency,
        threshold=0.5,
        directions=_FROM_CUSTOMERS,
        ordinary=frozenset(("normal", "low")),
    ),
    Head(
        name="spam",
        meaning=Meaning("unsolicited mass mail or fraud", "垃圾信息"),
        labels={
            "ham": Meaning("a genuine message", "正常信息"),
            "spam": Meaning("mass mail or fraud", "垃圾信息"),
        },
        rule=rules.spam,
        threshold=0.6,  # between two labels a probability near 0.5 is no answer
        precision=0.97,  # a customer's mail that is taken for spam is the most costly mistake
        ordinary=frozenset(("ham",)),
    ),
    Head(
        name="purchase_intent",
        meaning=Meaning("how close the customer is to buying", "购买意向"),
        labels={
            "none": Meaning("none, or a refusal", "无意向"),
            "exploring": Meaning("gathers information", "了解中"),
            "considering": Meaning("compares prices, terms, alternatives", "考虑中"),
            "ready": Meaning("wants to order", "准备购买"),
            "bought": Meaning("has bought", "已购买"),
        },
        rule=rules.purchase_intent,
        threshold=0.4,
        directions=_FROM_CUSTOMERS,
        ordinary=frozenset(("none",)),
    ),
)

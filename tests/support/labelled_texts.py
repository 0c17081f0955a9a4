"""Synthetic labelled texts for tests of models: two languages, three labels, some noise."""

from __future__ import annotations

import random

from pipeline.models.evaluation.labelled_rows import LabelledRow

_WORDS = {
    "refund": (["refund", "money back", "return it", "credited"], ["退款", "退货", "把钱退给我"]),
    "delivery": (
        ["parcel", "courier", "tracking number", "arrive"],
        ["快递", "物流", "什么时候到货"],
    ),
    "praise": (
        ["great service", "thank you", "wonderful", "love it"],
        ["太好了", "非常满意", "服务很棒"],
    ),
}
_FILLERS = (
    ["please", "my order", "yesterday", "hello", "the shop"],
    ["你好", "请问", "昨天的订单", "店家"],
)


def labelled_texts(count: int, seed: int = 1) -> list[LabelledRow]:
    """Return `count` rows, alternating in language and label.

    One in twelve has a word of another label.
    """
    dice = random.Random(seed)
    rows = []
    for number in range(count):
        chinese = number % 2
        label = list(_WORDS)[number % len(_WORDS)]
        word_label = dice.choice(list(_WORDS)) if dice.random() < 1 / 12 else label
        parts = [
            *dice.sample(_FILLERS[chinese], 2),
            dice.choice(_WORDS[word_label][chinese]),
            str(dice.randrange(100)),
        ]
        dice.shuffle(parts)
        text = ("，" if chinese else " ").join(parts)
        rows.append(
            LabelledRow(text, label, "zh" if chinese else "en", "chat" if number % 3 else "email")
        )
    return rows

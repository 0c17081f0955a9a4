"""Exports of shops whose column names mean something else there than elsewhere.

A preset is chosen by names that only this shop's header has. Names that mean the same everywhere
are in `column_names.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ingest.business.cell_values import normalise_word


@dataclass(frozen=True, slots=True)
class ShopPreset:
    """The columns of one shop's export: header to field; an empty field keeps it as attribute."""

    name: str
    kind: str
    signature: tuple[str, ...]
    columns: dict[str, str]


SHOP_PRESETS = (
    # help.shopify.com: Exporting orders. Name is the number of the order.
    ShopPreset(
        "Shopify",
        "crm.order",
        ("Name", "Financial Status", "Lineitem name"),
        {
            "Name": "order_id",
            "Id": "",
            "Financial Status": "action",
            "Fulfillment Status": "",
            "Created at": "occurred_at",
            "Paid at": "",
            "Cancelled at": "",
            "Total": "amount",
            "Refunded Amount": "refund_amount",
            "Billing Name": "customer.name",
            "Shipping Name": "",
            "Phone": "customer.phone",
            "Billing Phone": "customer.phone",
            "Lineitem sku": "item.sku",
            "Lineitem name": "item.name",
            "Lineitem quantity": "item.quantity",
            "Lineitem price": "item.price",
        },
    ),
)
_BY_KEY = tuple(
    (
        preset.kind,
        frozenset(map(normalise_word, preset.signature)),
        {normalise_word(header): field for header, field in preset.columns.items()},
    )
    for preset in SHOP_PRESETS
)


def preset_of(kind: str, header: Sequence[str]) -> dict[str, str] | None:
    """Return the fields of a shop's columns by normalised header; None if it is no shop's header.

    >>> preset_of("crm.order", ["Name", "Financial Status", "Lineitem name"])["name"]
    'order_id'
    """
    names = set(map(normalise_word, header))
    return next(
        (columns for of, signature, columns in _BY_KEY if of == kind and signature <= names), None
    )

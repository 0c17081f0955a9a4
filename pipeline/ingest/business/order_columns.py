"""The table of the connector `orders`: column names, states, and the amount of an event."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from pipeline.ingest.business.amounts import (
    WrittenAmount,
    amount_value,
    is_ambiguous,
    read_amount,
)
from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    normalise_word,
    read_identifier,
    read_items,
    word_table,
)
from pipeline.ingest.business.csv_tables import (
    ACTION,
    COMMON,
    CUSTOMER,
    OTHER,
    TIME,
    CsvTable,
    RowValues,
    new_column,
    new_time,
)
from pipeline.ingest.business.currencies import choose_currency, read_currency
from schemas.business import OrderData
from schemas.dead_letters import RejectCode

_ORDER_ACTIONS = word_table(
    {
        "created": (
            "create|new|open|placed|pending|unpaid|awaiting payment|on hold|pending payment"
            "|authorized|authorised|draft|checkout draft|partially paid|invoice sent"
            "|下单|已下单|新订单|新建|待付款|未付款|待支付|未支付|待確認|等待买家付款|等待付款"
            "|待买家付款|等待买家付款中|等待付款确认"
        ),
        "paid": (
            "payment|pay|completed|complete|processing|shipped|fulfilled|delivered|付款|已付款"
            "|付款成功|支付|已支付|支付成功|待发货|"
            "已发货|已收货|已签收|已完成|完成|交易成功|已出貨|已完成付款"
            "|买家已付款，等待卖家发货|卖家已发货，等待买家确认|买家已付款|卖家已发货|等待卖家发货"
            "|等待买家确认收货|卖家部分发货|等待出库|等待发货|正在出库|等待确认收货|已出库|待收货"
        ),
        "refunded": "refund|returned|退款|已退款|退款成功|退货|已退货|退貨|全额退款",
        "cancelled": (
            "cancel|canceled|void|voided|expired|取消|已取消|订单取消|关闭|已关闭|交易关闭"
            "|作废|已關閉"
            "|付款以前，卖家或买家主动关闭交易|锁定已取消"
        ),
        # A refund of a part is a refund where the file has its amount; see `_finish_order`.
        "partially refunded": "partially refunded|partial refund|部分退款",
    }
)


def _read_order_action(text: str, _cell_format: CellFormat) -> str:
    # WooCommerce's database has its states with this prefix.
    return _ORDER_ACTIONS.get(normalise_word(text.removeprefix("wc-")), OTHER)


def row_amounts(row: RowValues, cell_format: CellFormat) -> Iterator[tuple[str, str]]:
    """Yield the number and the currency of each amount of a row; raises CellError."""
    for name, value in row.values.items():
        if isinstance(value, WrittenAmount):
            yield value.number, _currency_of(row, name, cell_format) or ""


def _currency_of(row: RowValues, name: str, cell_format: CellFormat) -> str | None:
    amount: WrittenAmount = row.values[name]
    column = row.values.get("currency")
    header = row.currencies.get(name)
    if column and header and column != header:
        what = f"the header says {header}, the column of the currency {column}"
        raise CellError(RejectCode.SCHEMA_VALUE, what, name)
    try:
        return choose_currency(column or header, amount.currency, amount.symbol, cell_format)
    except CellError as error:
        raise CellError(error.code, str(error), name) from error


def _value_of(row: RowValues, name: str, currency: str, cell_format: CellFormat) -> Decimal:
    amount: WrittenAmount = row.values[name]
    needs_others = is_ambiguous(amount.number) and cell_format.decimal is None
    try:
        return amount_value(
            amount, currency, row.evidence() if needs_others else None, cell_format.decimal
        )
    except CellError as error:
        raise CellError(error.code, str(error), name) from error


def read_price(row: RowValues, cell_format: CellFormat) -> str:
    """Return the value of a row's only amount, such as an item's price. Raises CellError."""
    currency = _currency_of(row, "amount", cell_format) or ""
    return str(_value_of(row, "amount", currency, cell_format))


def _finish_order(row: RowValues, cell_format: CellFormat) -> str:
    values = row.values
    action = str(values.get(ACTION, "created"))
    if action == "partially refunded":
        # Without the amount of the refund, the total would count as paid back.
        action = "refunded" if "refund_amount" in values else OTHER
    if ACTION in values:
        values[ACTION] = action
        row.keep_wording(ACTION, "status")
    currencies = {
        name: _currency_of(row, name, cell_format)
        for name, value in values.items()
        if isinstance(value, WrittenAmount)
    }
    amounts = {
        name: _value_of(row, name, currency or "", cell_format)
        for name, currency in currencies.items()
    }
    moved = "amount"
    if action == "refunded" and "refund_amount" in amounts:
        moved = "refund_amount"
    elif "amount" not in amounts or (action in ("paid", "refunded") and amounts.get("paid_amount")):
        moved = "paid_amount"
    for name, value in amounts.items():
        values[name] = str(value)
    if moved in amounts:
        if currencies[moved] is None:
            what = "the currency is not known: add a column currency, or use --option currency=CNY"
            raise CellError(RejectCode.SCHEMA_MISSING_FIELD, what, moved)
        amount = amounts[moved]
        values["amount"] = str(abs(amount) if action == "refunded" else amount)
        values["currency"] = currencies[moved]
    return action


ORDERS = CsvTable(
    kind="crm.order",
    contract=OrderData,
    columns=(
        *COMMON,
        new_column(
            "order_id",
            "order_id|订单号|订单编号|订单ID|单号|order no|order number|order"
            "|訂單號|訂單編號|訂單號碼",
            read_identifier,
        ),
        new_time(
            "下单时间|订单时间|订单创建时间|订单付款时间|付款时间|支付时间|退款时间"
            "|order date|order time|order created|paid"
            " at|purchase date|訂單時間|下單時間"
        ),
        new_column(
            ACTION,
            "action|状态|订单状态|交易状态|动作|操作|类型|status|order"
            " status|state|type|event|狀態|訂單狀態",
            _read_order_action,
        ),
        new_column(
            "amount",
            "amount|金额|订单金额|总金额|总价|合计"
            "|买家应付货款|应付货款|total|total"
            " amount|order total amount|order total|sum|total price|grand total|金額"
            "|訂單金額|總金額|總計",
            read_amount,
        ),
        new_column(
            "refund_amount",
            "refund amount|退款金额|退款金額|amount refunded|refunded amount",
            read_amount,
        ),
        new_column(
            "paid_amount",
            "实付金额|实付|实付款|付款金额|应付金额|买家实际支付金额|实际支付金额"
            "|paid amount|amount paid",
            read_amount,
        ),
        new_column("currency", "currency|币种|货币|currency code|幣別|幣種|貨幣", read_currency),
        new_column(
            "items",
            "items|商品|商品明细|商品清单|订单明细|货品|products|line items|goods|articles"
            "|商品明細|品項",
            read_items,
        ),
        # One line of an order; several rows of one order are one event.
        new_column("item.sku", "sku|货号|商品编码|商品编号|商家编码|商品ID|lineitem sku|item sku"),
        new_column(
            "item.name",
            "商品名称|商品标题|宝贝标题|宝贝名称|product name|lineitem name|item name|product",
        ),
        new_column(
            "item.quantity",
            "quantity|数量|商品数量|购买数量|订购数量|qty|lineitem quantity|數量",
        ),
        new_column(
            "item.price", "单价|商品单价|京东价|unit price|lineitem price|單價", read_amount
        ),
        new_column(
            "payment_method",
            "payment_method|付款方式|支付方式|payment|paid with|payment type|付款方法",
        ),
        new_column(
            "reason",
            "reason|原因|退款原因|取消原因|refund reason|cancel reason|cancellation reason",
        ),
    ),
    needs=(("order_id",), (TIME,), CUSTOMER),
    identity=("order_id", ACTION, TIME),
    finish=_finish_order,
)

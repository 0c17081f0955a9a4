"""The tables of the CSV connectors: column names, and the event that a row becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.ingest.business.cell_times import read_time
from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    normalise_word,
    read_birth_year,
    read_currency,
    read_identifier,
    read_items,
    read_list,
    read_money,
    read_number,
    read_phrase,
    read_rating,
    read_text,
    read_word,
    word_table,
)
from schemas.business import BusinessData, ComplaintData, CustomerData, FeedbackData, OrderData
from schemas.dead_letters import RejectCode

# This field becomes the event's time; all other fields are paths in its data.
TIME = "occurred_at"
ACTION = "action"
CUSTOMER = ("customer.id", "customer.email", "customer.phone", "customer.handle", "customer.name")


@dataclass(frozen=True, slots=True)
class Column:
    """One field: its path in the event's data, accepted header names, and how a cell is parsed.

    The first name is the standard one.
    """

    field: str
    names: tuple[str, ...]
    read: Callable[[str, CellFormat], Any] = read_text


@dataclass(slots=True)
class RowValues:
    """The values of a row by field, and the cells as written."""

    values: dict[str, Any] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)

    def keep_wording(self, name: str, as_name: str) -> None:
        """Keep the wording of a cell in another field if it says more than the mapped value."""
        if normalise_word(self.written[name]) != normalise_word(str(self.values.get(name, ""))):
            self.values[as_name] = self.written[name]


@dataclass(frozen=True, slots=True)
class CsvTable:
    """One kind of file.

    `needs` are groups of fields; header and row must have one field of each group. `finish`
    completes the values of a row and returns the action of the event. `identity` are the fields
    that identify an event; in a row without them, all cells do.
    """

    kind: str
    contract: type[BusinessData]
    columns: tuple[Column, ...]
    needs: tuple[tuple[str, ...], ...]
    identity: tuple[str, ...]
    finish: Callable[[RowValues, CellFormat], str]


def _column(name: str, names: str, read: Callable[[str, CellFormat], Any] = read_text) -> Column:
    return Column(name, tuple(names.split("|")), read)


_COMMON = (
    _column(
        "customer.id",
        "customer_id|客户编号|客户ID|客户号|会员号|会员编号|会员ID|用户ID|用户编号|买家ID|customer"
        " no|customer number|member id|user id|buyer id|client id|客戶編號|會員編號",
        read_identifier,
    ),
    _column(
        "customer.name",
        "name|客户姓名|姓名|客户|客户名称|联系人|收货人|收件人|买家|会员名称|customer|customer"
        " name|full name|buyer|contact name|client|client name|客戶姓名|客戶|客戶名稱|聯絡人",
    ),
    _column(
        "customer.email",
        "email|客户邮箱|邮箱|电子邮箱|电子邮件|邮件地址|邮件|e-mail|customer email|mail|email"
        " address|電子郵件|電子信箱|信箱",
    ),
    _column(
        "customer.phone",
        "phone|电话|手机|手机号|手机号码|联系电话|电话号码|客户电话|客户手机|联系方式|mobile|telephone|tel|cell|phone"
        " number|"
        "mobile number|customer phone|電話|手機|手機號碼|聯絡電話",
    ),
    _column("customer.handle", "handle|微信|微信号|微信號|旺旺|wechat|wechat id|username|用户名"),
    _column("channel", "channel|渠道|下单渠道|sales channel|通路"),
    _column("conversation", "conversation|会话|会话编号|会话ID|conversation id|對話編號"),
    _column(
        "staff",
        "staff|客服|客服人员|员工|业务员|销售|经办人|处理人|负责人|agent|handled by|sales"
        " rep|owner|客服人員|員工|處理人|負責人",
    ),
)
_TIMES = (
    "occurred_at|时间|日期|日期时间|发生时间|创建时间|time|date|datetime|date"
    " time|timestamp|created at|created|時間|建立時間"
)


def _time(more: str) -> Column:
    return _column(TIME, f"{_TIMES}|{more}", read_time)


# ---- orders

_ORDER_ACTIONS = word_table(
    {
        "created": (
            "create|new|open|placed|pending|unpaid|awaiting"
            " payment|下单|已下单|新订单|新建|待付款|未付款|待支付|未支付|待確認"
        ),
        "paid": (
            "payment|pay|completed|complete|processing|shipped|fulfilled|delivered|付款|已付款|付款成功|支付|已支付|支付成功|待发货|"
            "已发货|已收货|已签收|已完成|完成|交易成功|已出貨|已完成付款"
        ),
        "refunded": "refund|returned|退款|已退款|退款成功|退货|已退货|退貨",
        "cancelled": (
            "cancel|canceled|void|voided|expired|取消|已取消|订单取消|关闭|已关闭|交易关闭|作废|已關閉"
        ),
    }
)


def _read_order_action(text: str, _cell_format: CellFormat) -> str:
    return read_word(text, _ORDER_ACTIONS, "created, paid, refunded, cancelled")


def _finish_order(row: RowValues, cell_format: CellFormat) -> str:
    values = row.values
    action = str(values.get(ACTION, "created"))
    if ACTION in values:
        row.keep_wording(ACTION, "status")
    moved = "refund_amount" if action == "refunded" and "refund_amount" in values else "amount"
    if moved in values:
        amount, beside = values[moved]
        values["amount"] = str(abs(amount) if action == "refunded" else amount)
        currency = values.get("currency") or beside or cell_format.currency
        if currency is None:
            what = "the currency is not known: add a column currency, or use --option currency=CNY"
            raise CellError(RejectCode.SCHEMA_MISSING_FIELD, what, moved)
        values["currency"] = currency
    if isinstance(values.get("refund_amount"), tuple):
        values["refund_amount"] = str(values["refund_amount"][0])
    return action


_ORDERS = CsvTable(
    kind="crm.order",
    contract=OrderData,
    columns=(
        *_COMMON,
        _column(
            "order_id",
            "order_id|订单号|订单编号|订单ID|单号|order no|order number|order"
            "|訂單號|訂單編號|訂單號碼",
            read_identifier,
        ),
        _time(
            "下单时间|订单时间|付款时间|支付时间|退款时间|order date|order time|order created|paid"
            " at|purchase date|訂單時間|下單時間"
        ),
        _column(
            ACTION,
            "action|状态|订单状态|交易状态|动作|操作|类型|status|order"
            " status|state|type|event|狀態|訂單狀態",
            _read_order_action,
        ),
        _column(
            "amount",
            "amount|金额|订单金额|总金额|实付金额|实付|实付款|付款金额|应付金额|总价|合计|total|total"
            " amount|order total|sum|total price|grand total|金額|訂單金額|總金額|總計",
            read_money,
        ),
        _column(
            "refund_amount",
            "refund amount|退款金额|退款金額|amount refunded|refunded amount",
            read_money,
        ),
        _column("currency", "currency|币种|货币|currency code|幣別|幣種|貨幣", read_currency),
        _column(
            "items",
            "items|商品|商品明细|商品清单|订单明细|货品|products|line items|goods|articles"
            "|商品明細|品項",
            read_items,
        ),
        _column(
            "payment_method",
            "payment_method|付款方式|支付方式|payment|paid with|payment type|付款方法",
        ),
        _column(
            "reason",
            "reason|原因|退款原因|取消原因|refund reason|cancel reason|cancellation reason",
        ),
    ),
    needs=(("order_id",), (TIME,), CUSTOMER),
    identity=("order_id", ACTION, TIME),
    finish=_finish_order,
)


# ---- feedback

_FEEDBACK_KINDS = {
    "rating": "评分|评价|打分|score|review|評分|評價",
    "suggestion": "建议|意见|建議|意見|idea",
    "praise": "表扬|好评|赞|表揚|compliment",
    "complaint": "投诉|差评|抱怨|投訴",
}


def _finish_feedback(row: RowValues, _cell_format: CellFormat) -> str:
    values = row.values
    if "rating" in values:
        values["rating"], best = values["rating"]
        if best is not None:
            values.setdefault("scale_max", best)
    if "kind" in values:
        values["kind"] = read_phrase(row.written["kind"], _FEEDBACK_KINDS)
        row.keep_wording("kind", "kind_written")
    return "given"


_FEEDBACK = CsvTable(
    kind="crm.feedback",
    contract=FeedbackData,
    columns=(
        *_COMMON,
        _column(
            "feedback_id",
            "feedback_id|反馈编号|反馈ID|评价编号|编号|review id|survey id|response id|id|評價編號",
            read_identifier,
        ),
        _time(
            "反馈时间|评价时间|提交时间|评论时间|submitted at|submitted|review date|feedback"
            " date|評價時間"
        ),
        _column("kind", "kind|类型|反馈类型|type|feedback type|類型"),
        _column(
            "rating",
            "rating|评分|评价|星级|打分|满意度|得分|分数|score|stars|mark|satisfaction|csat|nps|評分|滿意度",
            read_rating,
        ),
        _column("scale_min", "scale_min|最低分|lowest|min score|worst", read_number),
        _column(
            "scale_max", "scale_max|最高分|满分|highest|max score|out of|best|滿分", read_number
        ),
        _column(
            "text",
            "text|内容|建议|反馈内容|反馈|评论|评论内容|评价内容|意见|意见建议|comment|comments|content|feedback|review|message|suggestion|"
            "內容|建議|意見|評論",
        ),
        _column(
            "target",
            "target|对象|评价对象|about|订单号|订单编号|order id|order no|order"
            " number|order|訂單號|訂單編號",
        ),
        _column(
            "survey_sent_at",
            "survey_sent_at|邀请时间|问卷发送时间|survey sent|sent at|invited at",
            read_time,
        ),
    ),
    needs=((TIME,), ("rating", "text"), CUSTOMER),
    identity=("feedback_id",),
    finish=_finish_feedback,
)


# ---- complaints

_COMPLAINT_ACTIONS = word_table(
    {
        "opened": (
            "open|new|received|submitted|创建|新建|已提交|待处理|未处理|已受理|受理|待受理|建立|待處理"
        ),
        "handled": (
            "handling|in progress|processing|pending|assigned|处理|处理中|跟进中|已处理"
            "|處理中|跟進中"
        ),
        "closed": (
            "close|resolved|solved|done|finished|关闭|已关闭|已解决|已完成|完成|办结|已办结|结案|已结案|已關閉|已解決|結案"
        ),
    }
)
_REASONS = {
    "quality": "质量|品质|瑕疵|损坏|破损|quality|defect|broken|damaged|faulty|品質|質量",
    "delivery": "物流|快递|配送|发货|送货|运输|delivery|shipping|shipment|出貨|送貨",
    "price": "价格|太贵|差价|price|expensive|價格",
    "service_attitude": "态度|服务|attitude|rude|service|態度|服務",
    "wait_time": "等待|等候|排队|wait|queue|排隊",
    "billing": "账单|扣费|收费|扣款|发票|billing|charge|invoice|overcharged|帳單|收費|發票",
    "privacy": "隐私|个人信息|privacy|data protection|隱私|個資",
    "fraud": "欺诈|诈骗|假货|虚假|fraud|scam|counterfeit|詐騙|假貨",
    "other": "其他|其它|other",
}
_RESULTS = {
    "refunded": "退款|退货|refund|退貨",
    "replaced": "换货|更换|补发|重发|replace|exchange|換貨|補發",
    "explained": "解释|说明|explain|clarified|解釋|說明",
    "compensated": "赔偿|补偿|赔付|优惠券|compensat|voucher|coupon|賠償|補償",
    "rejected": "驳回|拒绝|不成立|不予|reject|denied|declined|駁回|拒絕",
    "withdrawn": "撤诉|撤销|撤回|withdraw|撤訴|撤銷",
}


def _read_complaint_action(text: str, _cell_format: CellFormat) -> str:
    return read_word(text, _COMPLAINT_ACTIONS, "opened, handled, closed")


def _finish_complaint(row: RowValues, _cell_format: CellFormat) -> str:
    values = row.values
    # People write reasons and results in their own words: the recognised value is stored, and the
    # words are kept beside it.
    for name, phrases, unknown in (("reason", _REASONS, "other"), ("result", _RESULTS, None)):
        if name in values:
            values[name] = read_phrase(row.written[name], phrases) or unknown
            row.keep_wording(name, f"{name}_written")
    if ACTION in values:
        row.keep_wording(ACTION, "status")
        return str(values[ACTION])
    return "closed" if "result" in values else "handled" if "handling" in values else "opened"


_COMPLAINTS = CsvTable(
    kind="crm.complaint",
    contract=ComplaintData,
    columns=(
        *_COMMON,
        _column(
            "complaint_id",
            "complaint_id|投诉编号|投诉单号|投诉ID|工单号|编号|complaint no|complaint number|ticket"
            " id|case id|id|投訴編號|投訴單號",
            read_identifier,
        ),
        _time(
            "投诉时间|受理时间|处理时间|反馈时间|提交时间|更新时间|complaint date|opened at|updated"
            " at|投訴時間|處理時間"
        ),
        _column(
            ACTION,
            "action|状态|投诉状态|处理状态|阶段|进度|status|stage|state|狀態|階段",
            _read_complaint_action,
        ),
        _column(
            "reason",
            "reason|投诉原因|原因|投诉类型|类别|类型|category|complaint reason|complaint"
            " type|type|投訴原因|類型",
        ),
        _column(
            "text",
            "text|投诉内容|内容|描述|问题描述|详情|content|description|details|complaint|message|投訴內容|內容",
        ),
        _column(
            "handling",
            "handling|处理|投诉处理|处理方式|处理情况|处理措施|处理过程|action"
            " taken|treatment|steps taken|處理|處理方式|處理情況",
        ),
        _column("result", "result|结果|投诉结果|处理结果|outcome|resolution|結果|處理結果"),
        _column(
            "order_id",
            "order_id|订单号|订单编号|order no|order number|order|訂單號|訂單編號",
            read_identifier,
        ),
    ),
    needs=(("complaint_id",), (TIME,), CUSTOMER),
    identity=("complaint_id", ACTION, TIME),
    finish=_finish_complaint,
)


# ---- customers


def _finish_customer(_row: RowValues, _cell_format: CellFormat) -> str:
    return "updated"


_CUSTOMERS = CsvTable(
    kind="crm.customer",
    contract=CustomerData,
    columns=(
        *_COMMON,
        _time(
            "更新时间|注册时间|updated at|updated|registered at|registered|signup date|last"
            " modified|更新時間|註冊時間"
        ),
        _column(
            "emails",
            "emails|其他邮箱|备用邮箱|other emails|secondary email|second email|其他信箱",
            read_list,
        ),
        _column(
            "phones",
            "phones|其他电话|备用电话|电话2|手机2|other phones|secondary phone|second phone"
            "|其他電話",
            read_list,
        ),
        _column(
            "address",
            "address|地址|客户地址|收货地址|联系地址|street address|postal address|聯絡地址",
        ),
        _column("city", "city|城市|所在城市|所在地|town"),
        _column("source", "source|来源|客户来源|获客渠道|lead source|來源|客戶來源"),
        _column("gender", "gender|性别|sex|性別"),
        _column(
            "birth_year",
            "birth_year|出生年份|出生年|生日|出生日期|birthday|date of birth|dob|year of birth",
            read_birth_year,
        ),
        _column(
            "segment",
            "segment|客户分群|客户等级|会员等级|等级|客户分类|tier|level|group|客戶等級|會員等級",
        ),
    ),
    needs=(CUSTOMER,),
    identity=(),
    finish=_finish_customer,
)

TABLES = {
    "orders": _ORDERS,
    "feedback": _FEEDBACK,
    "complaints": _COMPLAINTS,
    "customers": _CUSTOMERS,
}

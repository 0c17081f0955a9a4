"""The tables of the CSV connectors: column names, and the event that a row becomes."""

from __future__ import annotations

from pipeline.ingest.business.cell_times import read_time
from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    normalise_word,
    read_birth_year,
    read_identifier,
    read_list,
    read_number,
    read_phrase,
    read_rating,
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
from pipeline.ingest.business.order_columns import ORDERS
from schemas.business import ComplaintData, CustomerData, FeedbackData
from schemas.dead_letters import RejectCode

# ---- feedback

FEEDBACK_KINDS = {
    "rating": "评分|评价|打分|score|review|評分|評價",
    "suggestion": "建议|意见|建議|意見|idea",
    "praise": "表扬|好评|赞|表揚|compliment",
    "complaint": "投诉|差评|抱怨|投訴",
}


def _finish_feedback(row: RowValues, cell_format: CellFormat) -> str:
    values = row.values
    if "rating" in values:
        values["rating"], best = values["rating"]
        if best is not None:
            values.setdefault("scale_max", best)
        elif "scale_min" not in values and "scale_max" not in values:
            if scale := cell_format.scale or row.scale:
                values["scale_min"], values["scale_max"] = scale
            elif row.off_scale:
                raise CellError(RejectCode.SCHEMA_VALUE, row.off_scale, "rating")
    if "kind" in values:
        values["kind"] = read_phrase(row.written["kind"], FEEDBACK_KINDS)
        row.keep_wording("kind", "kind_written")
    return "given"


_FEEDBACK = CsvTable(
    kind="crm.feedback",
    contract=FeedbackData,
    columns=(
        *COMMON,
        new_column(
            "feedback_id",
            "feedback_id|反馈编号|反馈ID|评价编号|编号|review id|survey id|response id|id|評價編號",
            read_identifier,
        ),
        new_time(
            "反馈时间|评价时间|提交时间|评论时间|submitted at|submitted|review date|feedback"
            " date|評價時間"
        ),
        new_column("kind", "kind|类型|反馈类型|type|feedback type|類型"),
        new_column(
            "rating",
            "rating|评分|评价|星级|打分|满意度|得分|分数|score|stars|star rating|mark"
            "|satisfaction|csat|nps"
            "|nps score|net promoter score|likelihood to recommend|推荐度|推荐意愿"
            "|推荐指数|推薦度|推薦指數"
            "|ces|ces score|customer effort score|费力度|評分|滿意度",
            read_rating,
        ),
        new_column("scale_min", "scale_min|最低分|lowest|min score|worst", read_number),
        new_column(
            "scale_max", "scale_max|最高分|满分|highest|max score|out of|best|滿分", read_number
        ),
        new_column(
            "text",
            "text|内容|建议|反馈内容|反馈|评论|评论内容|评价内容|意见|意见建议|comment"
            "|comments|content|feedback"
            "|review|message|suggestion|"
            "內容|建議|意見|評論",
        ),
        new_column(
            "target",
            "target|对象|评价对象|about|订单号|订单编号|order id|order no|order"
            " number|order|訂單號|訂單編號",
        ),
        new_column(
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
            "open|new|received|submitted|创建|新建|已提交|待处理|未处理|已受理|受理|待受理"
            "|建立|待處理"
        ),
        "handled": (
            "handling|in progress|processing|pending|assigned|处理|处理中|跟进中|已处理"
            "|處理中|跟進中"
        ),
        "closed": (
            "close|resolved|solved|done|finished|关闭|已关闭|已解决|已完成|完成|办结"
            "|已办结|结案|已结案|已關閉|已解決|結案"
        ),
    }
)
REASONS = {
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
RESULTS = {
    "refunded": "退款|退货|refund|退貨",
    "replaced": "换货|更换|补发|重发|replace|exchange|換貨|補發",
    "explained": "解释|说明|explain|clarified|解釋|說明",
    "compensated": "赔偿|补偿|赔付|优惠券|compensat|voucher|coupon|賠償|補償",
    "rejected": "驳回|拒绝|不成立|不予|reject|denied|declined|駁回|拒絕",
    "withdrawn": "撤诉|撤销|撤回|withdraw|撤訴|撤銷",
}


def _read_complaint_action(text: str, _cell_format: CellFormat) -> str:
    return _COMPLAINT_ACTIONS.get(normalise_word(text), OTHER)


def _finish_complaint(row: RowValues, _cell_format: CellFormat) -> str:
    values = row.values
    # People write reasons and results in their own words: the recognised value is stored, and the
    # words are kept beside it.
    for name, phrases, unknown in (("reason", REASONS, "other"), ("result", RESULTS, None)):
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
        *COMMON,
        new_column(
            "complaint_id",
            "complaint_id|投诉编号|投诉单号|投诉ID|工单号|编号|complaint no|complaint number|ticket"
            " id|case id|id|投訴編號|投訴單號",
            read_identifier,
        ),
        new_time(
            "投诉时间|受理时间|处理时间|反馈时间|提交时间|更新时间|complaint date|opened at|updated"
            " at|投訴時間|處理時間"
        ),
        new_column(
            ACTION,
            "action|状态|投诉状态|处理状态|阶段|进度|status|stage|state|狀態|階段",
            _read_complaint_action,
        ),
        new_column(
            "reason",
            "reason|投诉原因|原因|投诉类型|类别|类型|category|complaint reason|complaint"
            " type|type|投訴原因|類型",
        ),
        new_column(
            "text",
            "text|投诉内容|内容|描述|问题描述|详情|content|description|details|complaint"
            "|message|投訴內容|內容",
        ),
        new_column(
            "handling",
            "handling|处理|投诉处理|处理方式|处理情况|处理措施|处理过程|action"
            " taken|treatment|steps taken|處理|處理方式|處理情況",
        ),
        new_column("result", "result|结果|投诉结果|处理结果|outcome|resolution|結果|處理結果"),
        new_column(
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
        *COMMON,
        new_time(
            "更新时间|注册时间|updated at|updated|registered at|registered|signup date|last"
            " modified|更新時間|註冊時間"
        ),
        new_column(
            "emails",
            "emails|其他邮箱|备用邮箱|other emails|secondary email|second email|其他信箱",
            read_list,
        ),
        new_column(
            "phones",
            "phones|其他电话|备用电话|电话2|手机2|other phones|secondary phone|second phone"
            "|其他電話",
            read_list,
        ),
        new_column(
            "address",
            "address|地址|客户地址|收货地址|联系地址|street address|postal address|聯絡地址",
        ),
        new_column("city", "city|城市|所在城市|所在地|town"),
        new_column("source", "source|来源|客户来源|获客渠道|lead source|來源|客戶來源"),
        new_column("gender", "gender|性别|sex|性別"),
        new_column(
            "birth_year",
            "birth_year|出生年份|出生年|生日|出生日期|birthday|date of birth|dob|year of birth",
            read_birth_year,
        ),
        new_column(
            "segment",
            "segment|客户分群|客户等级|会员等级|等级|客户分类|tier|level|group|客戶等級|會員等級",
        ),
    ),
    needs=(CUSTOMER,),
    identity=(),
    finish=_finish_customer,
)

TABLES = {
    "orders": ORDERS,
    "feedback": _FEEDBACK,
    "complaints": _COMPLAINTS,
    "customers": _CUSTOMERS,
}

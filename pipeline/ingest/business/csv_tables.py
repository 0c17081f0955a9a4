"""What a kind of CSV file is: its columns, the event of a row, and columns of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.ingest.business.amounts import MarkEvidence, read_amount
from pipeline.ingest.business.cell_times import read_time
from pipeline.ingest.business.cell_values import (
    CellFormat,
    normalise_word,
    read_identifier,
    read_text,
)
from pipeline.ingest.business.rating_scales import Scale
from schemas.business import BusinessData

# This field becomes the event's time; all other fields are paths in its data.
TIME = "occurred_at"
ACTION = "action"
# The action of an order or complaint in a state that is none of ours; the word is kept as `status`.
OTHER = "other"
CUSTOMER = (
    "customer.id",
    "customer.email",
    "customer.phone",
    "customer.handle",
    "customer.name",
    "customer.first_name",
    "customer.last_name",
)


@dataclass(frozen=True, slots=True)
class Column:
    """One field: its path in the event's data, accepted header names, and how a cell is parsed.

    The first name is the standard one.
    """

    field: str
    names: tuple[str, ...]
    read: Callable[[str, CellFormat], Any] = read_text

    @property
    def is_money(self) -> bool:
        """Whether its cells are amounts of money."""
        return self.read is read_amount


@dataclass(slots=True)
class RowValues:
    """The values of a row by field, and the cells as written.

    `currencies` and `scale` are those that the headers name; `evidence` reads what the other
    amounts of the file prove, and `off_scale` is the question that its other ratings ask.
    """

    values: dict[str, Any] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    currencies: dict[str, str] = field(default_factory=dict)
    scale: Scale | None = None
    evidence: Callable[[], MarkEvidence] = MarkEvidence
    off_scale: str = ""

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


def new_column(name: str, names: str, read: Callable[[str, CellFormat], Any] = read_text) -> Column:
    """Return a column from its names, separated by bars."""
    return Column(name, tuple(names.split("|")), read)


COMMON = (
    new_column(
        "customer.id",
        "customer_id|客户编号|客户ID|客户号|会员号|会员编号|会员ID|用户ID|用户编号|买家ID|customer"
        " no|customer number|member id|user id|buyer id|client id|客戶編號|會員編號",
        read_identifier,
    ),
    new_column(
        "customer.name",
        "name|客户姓名|姓名|客户|客户名称|联系人|收货人|收货人姓名|收件人|收件人姓名|买家"
        "|会员名称|customer|customer"
        " name|full name|buyer|contact name|client|client name|客戶姓名|客戶|客戶名稱|聯絡人",
    ),
    new_column(
        "customer.email",
        "email|客户邮箱|邮箱|电子邮箱|电子邮件|邮件地址|邮件|e-mail|customer email|mail|email"
        " address|email billing|e-mail 1 value|電子郵件|電子信箱|信箱",
    ),
    new_column(
        "customer.phone",
        "phone|电话|手机|手机号|手机号码|联系电话|联系手机|收货人手机|收货人电话|电话号码"
        "|客户电话|客户手机|联系方式|phone"
        " billing|phone 1 value|mobile phone|mobile|telephone|tel|cell|phone"
        " number|"
        "mobile number|customer phone|電話|手機|手機號碼|聯絡電話",
    ),
    new_column(
        "customer.handle",
        "handle|微信|微信号|微信號|旺旺|wechat|wechat id|username|用户名|买家会员名"
        "|买家昵称|下单帐号|下单账号",
    ),
    new_column("customer.first_name", "first name|given name|first name billing|名|名字"),
    new_column("customer.last_name", "last name|family name|surname|last name billing|姓|姓氏"),
    new_column("channel", "channel|渠道|下单渠道|sales channel|通路"),
    new_column("conversation", "conversation|会话|会话编号|会话ID|conversation id|對話編號"),
    new_column(
        "staff",
        "staff|客服|客服人员|员工|业务员|销售|经办人|处理人|负责人|agent|handled by|sales"
        " rep|owner|客服人員|員工|處理人|負責人",
    ),
)
_TIMES = (
    "occurred_at|时间|日期|日期时间|发生时间|创建时间|time|date|datetime|date"
    " time|timestamp|created at|created|時間|建立時間"
)


def new_time(more: str) -> Column:
    """Return the column of the event's time, with more names than those of every kind."""
    return new_column(TIME, f"{_TIMES}|{more}", read_time)

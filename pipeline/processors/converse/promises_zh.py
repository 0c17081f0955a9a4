"""Chinese rules: whether a sentence promises a follow-up or requests one, and by which way.

Sentences are normalized (`sentences.normalize`), so their characters are simplified.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.processors.converse.due_dates import DueTime
from pipeline.processors.converse.promises_en import Way

_CLAUSE = re.compile(r"[,、:~ ]+")
_YOU = r"(?:您|你)(?:们)?"
_CALL = re.compile(
    rf"(?:给|向|跟|为){_YOU}.{{0,4}}?(?:回|打|去|拨|致)(?:个|一个|一通|通)?(?:电话|电(?!邮|子|脑|视|影|池))|回{_YOU}(?:个|一个)?电话"
    rf"|(?:打|回)(?:个|一个)?电话(?:给|过去)|打给{_YOU}|(?:致电|回电)(?:给)?(?:{_YOU})?(?!子|脑|我)|回拨|电话(?:联系|联络|回复|答复|通知|告知|回访|跟进)"
    rf"|(?:和|与|跟){_YOU}(?:电话|通话|通电话)"
)
_ANSWER = re.compile(
    rf"(?:回复|答复|联系|联络|通知|告知|告诉|反馈|回访|回信|跟进|知会)(?:给)?(?!我|客服|人工|官方|商家|卖家|店|方式|电话|人)"
    rf"|(?:给|向){_YOU}.{{0,6}}?(?:答复|回复|反馈|结果|消息|说法|答案|交代|准信|回应)|(?:和|与|跟){_YOU}(?:确认|联系|联络|沟通|对接)"
)
_DO = re.compile(
    r"处理|解决|办理|核实|退款|退回|退还|发货|发出|寄出|补发|补寄|安排|完成|审核|修好|维修好|更换|查清|调查|发给|寄给|发送给|给您发|给你发"
)
_MARK = re.compile(
    r"会|将|马上|立即|立刻|稍后|稍候|晚点|晚些|迟点|尽快|尽早|一会|待会|等会|等下|回头|第一时间|一定|保证|承诺|随后|这就|我来|我去|再|后|内|前"
)
# What has happened, is denied, is done by somebody else or is asked of the customer is no
# promise of the own side.
_PAST = re.compile(
    r"已经|已(?!知)|刚刚|刚才|刚|昨[天日晚]|前天|上周|之前就|曾|(?:回|打|致电|联系|回复|通知|答复|告知|反馈|处理|解决|发|寄)(?:您|你|给您|给你)?(?:了|过|完[了毕])"
    r"|(?:电话|联系|回复|通知|答复|处理|解决)(?:您|你)?了$|没(?:打|回)通"
)
_DENIED = re.compile(
    r"不会|不能|不再|不便|不用|不必|不需|不要|没法|没有?办法|无法|无需|没有|没人|没空|未|勿|别|从不|绝不|不(?=联系|回复|给|打)"
)
_THEIRS = re.compile(r"快递|物流|顺丰|配送|骑手|银行|平台|系统|自动|厂家|厂商|警方|海关|骗子|有人")
_TO_CUSTOMER = re.compile(
    r"^(?:请|烦请|麻烦|劳烦|欢迎|建议|记得|您可|你可|可以|可|如|您需|您先|您只|随时|避免|注意)|(?:请|麻烦)(?:您|你)?(?:在|于|先|尽快|及时|务必)|(?:您|你)(?:可以|可|需要|需|得|要|应|们可|再|先|尽快)"
)
_CONDITION = re.compile(
    r"如果|若[是您有需]|如[有需您果遇]|要是|假如|倘若|万一|一旦|的话|只要|除非|等(?:您|你|到|货)|(?:您|你)[^,]{0,14}(?:后|之后|以后)[,我会就将马立第]?"
    r"|(?:收到|签收|到货|入库|付款|下单|确认收货)[^,]{0,10}(?:后|之后|以后)|(?:有|出)(?:了)?(?:任何)?(?:消息|结果|进展|货|现货|需要|变化|变动|更新|新|情况|问题|货了)[^内前]{0,8}(?:会|就|再|后|时|立即|马上|第一时间|通知|联系|告知)"
)
_ASKED = re.compile(
    r"\?|吗|么[。!]?$|吧[。!]?$|呢[。!]?$|是否|能否|要不要|能不能|可不可以|需不需要|会不会|什么时候|何时|几点|多久|哪天|怎么|如何|是不是|有没有|方便不"
)


# No pattern that is searched across clauses matches more.
_LONGEST_MATCH = 40


@dataclass(slots=True)
class _Beginning:
    """The beginning of a text, which grows clause by clause, and whether a pattern occurs in it.

    What was searched is not searched again: a sentence of a thousand clauses has a thousand
    beginnings.
    """

    pattern: re.Pattern[str]
    text: str
    end: int = 0
    searched: int = 0
    matches: bool = False

    def grow(self, clause: str) -> None:
        """Add the next clause, and its comma."""
        self.end += len(clause) + 1

    def __bool__(self) -> bool:
        if not self.matches and self.searched < self.end:
            start = max(0, self.searched - _LONGEST_MATCH)
            self.matches = self.pattern.search(self.text, start, self.end) is not None
            self.searched = self.end
        return self.matches


def promise_way(sentence: str, due: Callable[[], DueTime]) -> Way | None:
    """Return the way by which a sentence of the own side promises to get back, or None."""
    if _ASKED.search(sentence):
        return None
    clauses = _CLAUSE.split(sentence)
    text = ",".join(clauses) + ","
    condition, mark = _Beginning(_CONDITION, text), _Beginning(_MARK, text)
    best: Way | None = None
    for clause in clauses:
        condition.grow(clause)
        mark.grow(clause)
        way = _way(clause)
        if way is None or not _by_own_side(clause) or condition:
            continue
        if mark or due().stated:
            best = _stronger(best, way)
    return best


def _way(clause: str) -> Way | None:
    if _CALL.search(clause):
        return "call"
    if _ANSWER.search(clause):
        return "any"
    return "act" if _DO.search(clause) else None


def _stronger(first: Way | None, second: Way) -> Way:
    order: tuple[Way, ...] = ("call", "any", "act")
    return second if first is None else min(first, second, key=order.index)


def _by_own_side(clause: str) -> bool:
    return not any(pattern.search(clause) for pattern in (_PAST, _DENIED, _THEIRS, _TO_CUSTOMER))


_ME = r"(?:我|我们|俺|咱)(?:这边)?"
_ASK = re.compile(
    r"请|麻烦|拜托|劳烦|能否|能不能|可否|可以|可不可以|能|希望|帮我|帮忙|让|叫|安排|需要|我要|我想|想要|记得|务必|最好|方便|别忘|就"
)
_CALL_ME = re.compile(
    rf"(?:给|跟|向){_ME}.{{0,6}}?(?:回|打|来|去)(?:个|一个|通|一下)?(?:电话|电(?!邮|子|脑|视|影|池))|(?:回|打)(?:个|一个)?电话(?:给|过){_ME}?来?"
    rf"|打给{_ME}|(?:打|拨)(?:我|这个)(?:的)?(?:手机|电话|号码)|致电(?:给)?{_ME}|回{_ME}(?:个|一个)?电话?(?=$|[。!])|电话(?:联系|联络|回复|通知|回访)(?:一下)?(?:{_ME})?|(?:来|回)(?:个|一个)电话|回电"
)
_ANSWER_ME = re.compile(
    rf"(?:回复|答复|联系|联络|告知|通知|反馈|告诉|回信|发给|寄给|处理|解决)(?:一下)?(?:{_ME})?|给{_ME}.{{0,4}}?(?:答复|回复|结果|说法|答案|反馈|处理|解决)"
)
# "If it is convenient" asks politely; every other "if" makes the request conditional.
_IF_POLITE = "方便的话"
_BY_WHEN = re.compile(r"(?:之前|以前|前|之内|以内|内)(?!天)")
_NO_REQUEST = re.compile(
    r"(?:给|向|跟)(?:您|你)(?!们?给我)|不要|不用|不必|别(?!忘)|没|未|谁|为什么|为啥|怎么|一直|总是|老是|昨|前天|刚|上[周次]|已经|过(?:电话|了)|打了|回了|(?:电话|联系)(?:我)?了|什么时候|何时|的电话|是不是|有没有|不通|不回|不打|不接|还不|会.{0,12}吗|说(?:会|要|好)|答应"
)


def request_way(sentence: str, due: Callable[[], DueTime]) -> Way | None:
    """Return the way by which a customer's sentence asks to get back, or None."""
    clauses = _CLAUSE.split(sentence)
    text = ",".join(clauses) + ","
    condition = _Beginning(_CONDITION, text.replace(_IF_POLITE, ""))
    ask, by_when = _Beginning(_ASK, text), _Beginning(_BY_WHEN, text)
    for clause in clauses:
        condition.grow(clause.replace(_IF_POLITE, ""))
        ask.grow(clause)
        by_when.grow(clause)
        if _NO_REQUEST.search(clause) or condition:
            continue
        if _CALL_ME.search(clause) and (ask or due().stated):
            return "call"
        if _ANSWER_ME.search(clause) and ask and by_when:
            return "act"
    return None

"""English rules: whether a sentence promises a follow-up or requests one, and by which way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from pipeline.processors.converse.due_dates import DueTime

Way = Literal["call", "any", "act"]
"""call: by telephone; any: an answer by any way; act: something is done, which is a follow-up only
with a stated time."""

_WILL = (
    r"(?:\s+will|'ll|\s+shall|(?:\s+am|'m|\s+are|'re|\s+is)\s+going\s+to"
    r"|\s+promise\s+(?:to|i'll|we'll|that\s+(?:i|we)\s+will))"
)
# What may be between "will" and the verb: a few words of the same sentence that do not change
# its meaning.
_GAP = (
    r"(?:(?!\b(?:not|never|no|stop|avoid|refrain|instead|rather|without|only|nobody|unable|won't"
    r"|can't|cannot)\b)[^.;:?!]){0,80}?"
)
# Those whose promises the own side need not keep: carriers, banks, machines, the customer.
_NOT_OURS = (
    r"(?:you|who|what|that|which|it|this|nobody|none|one|neither|courier|couriers|driver|drivers|carrier|postman|dhl|ups|fedex|usps"
    r"|bank|banks|paypal|system|police|customs|manufacturer|supplier|seller|parcel|package|order|refund|money)"
)
_SOMEBODY = rf"\b(?!{_NOT_OURS}\b)[a-z]+"
_BY_PHONE = r"(?:by|on|over|via)\s+(?:the\s+)?(?:tele)?phone"
_CALL = (
    rf"(?:call(?:ing)?|phon(?:e|ing)|ring|telephone)\s+you\b|give\s+you\s+(?:a|another)\s+(?:quick\s+|short\s+)?(?:call|ring|shout|buzz|bell)"
    rf"|call\s+back\b|(?:contact|reach|speak\s+to|talk\s+to)\s+you\s+{_BY_PHONE}"
)
_ENDS = (
    r"(?=\s*(?:[,.!]|$|(?:by|before|on|at|tomorrow|today|tonight|asap|as|soon|shortly|within|in"
    r"|next|this|later)\b))"
)
_ANSWER = (
    rf"(?:get|come|circle|revert|report|write)\s+back\s+(?:to|with)\s+(?:you|u)\b|(?:get|come)\s+back{_ENDS}|revert\s+to\s+you"
    r"|(?:be|get)\s+(?:back\s+)?in\s+(?:touch|contact)|follow(?:ing)?[\s-]up|let\s+you\s+know|keep\s+you\s+(?:posted|updated|informed)"
    r"|updat(?:e|ing)\s+you|(?:give|send|provide)\s+you\s+(?:with\s+)?(?:an?\s+|the\s+|our\s+|my\s+)?(?:update|answer|feedback|reply|response|news)"
    rf"|(?:reply|respond)(?:\s+to\s+(?:you|your|this|it)\b|{_ENDS})|answer\s+(?:you|your)|contact\s+you|reach\s+out|be\s+(?:right\s+)?with\s+you"
)
_SEND = (
    r"(?:send|email|e-mail|mail|text|message|write|forward)\s+"
    r"(?:(?:it|them|this|that)\s+)?(?:over\s+)?(?:to\s+)?you\b"
)
_DO = (
    r"process|resolve|refund|ship|dispatch|fix|repair|replace|investigate|look\s+into|arrange|sort|handle|confirm|prepare|credit"
    r"|reimburse|complete|issue|review|check|finish|send"
)
_DONE = (
    r"processed|resolved|refunded|shipped|dispatched|fixed|repaired|replaced|investigated|arranged|sorted|handled|confirmed"
    r"|answered|credited|reimbursed|completed|issued|reviewed|sent|contacted|called"
)
_NOUN_OF_CALL = r"(?:phone\s+)?call(?:\s*-?back)?"
_NOUN_OF_ANSWER = r"(?:reply|response|answer|e-?mail|update|message|news)"

_OPENING = r"^(?:(?:ok|okay|sure|great|thanks|noted|understood)[,!]?\s+)?"
_LET = r"\b(?:let\s+me|let\s+us|allow\s+me\s+to)\s+"
_YOU_WILL = r"\byou(?:'ll|\s+will|\s+can|\s+should)(?:\s+expect(?:\s+to)?)?\s+"
_OURS = r"\b(?:i|we|he|she|they|team|department|colleague|technician|warehouse|manager|specialist)"
_PROMISES: tuple[tuple[re.Pattern[str], Way], ...] = (
    (re.compile(rf"(?:{_SOMEBODY}{_WILL}|{_OPENING}will\s+|{_LET}){_GAP}\b(?:{_CALL})"), "call"),
    (
        re.compile(
            rf"(?:{_YOU_WILL}(?:(?:get|receive|have)\s+)?|^(?:please\s+)?expect\s+)(?:an?|our|my)\s+(?:\w+\s+)?{_NOUN_OF_CALL}\b"
        ),
        "call",
    ),
    (re.compile(rf"(?:{_SOMEBODY}{_WILL}|{_OPENING}will\s+|{_LET}){_GAP}\b(?:{_ANSWER})"), "any"),
    (
        re.compile(
            rf"{_YOU_WILL}(?:definitely\s+)?hear\s+(?:back\s+)?from\s+(?:us|me|our|my|him|her|them)\b"
        ),
        "any",
    ),
    (
        re.compile(
            rf"(?:{_YOU_WILL}(?:(?:get|receive|have)\s+)?|\bexpect\s+)(?:an?|our|my)\s+(?:\w+\s+)?{_NOUN_OF_ANSWER}\b"
        ),
        "any",
    ),
    (re.compile(rf"{_SOMEBODY}{_WILL}{_GAP}\b(?:{_SEND})"), "act"),
    (re.compile(rf"{_OURS}{_WILL}{_GAP}\b(?:{_DO})\b"), "act"),
    (
        re.compile(
            rf"\b(?:your|the|this|it|everything)\b[^.;:?!,]{{0,40}}?(?:\s+will|'ll)\s+be\s+(?:\w+ly\s+)?(?:{_DONE})\b"
        ),
        "act",
    ),
)

# Every pattern above contains one of these words: for most sentences this search is all the
# work.
_MAKES_A_PROMISE = re.compile(
    r"\bwill\b|'ll\b|\bshall\b|going\s+to|\blet\s+(?:me|us)\b|allow\s+me|expect|promise|should\s+hear"
)

# In "check if it is in stock" the own side checks; every other "if" makes the promise
# conditional.
_CHECKING = re.compile(
    r"\b(?:check|see|ask|find\s+out|confirm|verify|clarify|look)\b[^,.;]{0,40}?\b(?:if|when|once)\b"
)
_CONDITION = re.compile(
    r"\b(?:if|unless|in\s+case|as\s+long\s+as|provided|should\s+(?:you|anything|there|it))\b"
    r"|\b(?:once|when|whenever|after|as\s+soon\s+as|until|till)\s+(?!possible)(?:you|your|the|it|this|that|we|i|they|he|she|there|everything|any\w*)\b"
)
# What the speaker does first is no condition: "after my meeting", "once I have spoken to the
# warehouse tomorrow" are promises too.
_OWN_ERRAND = re.compile(
    r"\b(?:after|when|once)\s+(?:i|we)(?:\s+(?:have(?!\s+(?:it|the|an?|any|more|your|news)\b)|am|are|get|finish)|'ve|'m|'re)\b"
)
_REPORTED = re.compile(
    r"\b(?:says?|said|claims?|told\s+(?:me|us)|hopes?|think|thought|assume|supposed|would|could|might|may)\s+(?:that\s+)?$"
)
_DENIED = re.compile(r"(?:n't|\bnot|\bnever|\bno\s+longer|\bneither)\b[^,.;]{0,25}$")
_ASKED = re.compile(r"\?\s*$")


def promise_way(sentence: str, _due: Callable[[], DueTime]) -> Way | None:
    """Return the way by which a sentence of the own side promises to get back, or None.

    The sentence is normalized.
    """
    if not _MAKES_A_PROMISE.search(sentence) or _ASKED.search(sentence) or _conditional(sentence):
        return None
    for pattern, way in _PROMISES:
        match = pattern.search(sentence)
        if (
            match
            and not _REPORTED.search(sentence, 0, match.start())
            and not _DENIED.search(sentence, 0, match.start())
        ):
            return way
    return None


def _conditional(sentence: str) -> bool:
    bare = _OWN_ERRAND.sub(" ", _CHECKING.sub(" ", sentence))
    return _CONDITION.search(bare) is not None


_ASK = (
    r"(?:please|pls|plz|kindly"
    r"|(?<!how )(?:can|could|would)\s+(?!i\b|we\b)(?:one\s+of\s+you|(?:your|the)\s+\w+|[a-z]+)"
    r"|i(?:'d|\s+would)\s+(?:like|prefer|appreciate|love|want)|(?:i|we)\s+(?:want|need|expect|request|await|ask)"
    r"|(?:i'm|i\s+am)\s+(?:requesting|expecting|asking)|(?:have|ask|get|tell|let)\s+(?:(?:your|the)\s+\w+|[a-z]+)(?:\s+to)?)"
)
_ASK_GAP = (
    r"(?:(?!\b(?:who|why|when|what|whether|how|if|not|never|tried|did|no|stop|without)\b|n't)"
    r"[^.;:?!]){0,50}?"
)
_CALL_ME = (
    r"(?:call|phone|ring|telephone)\s+(?:me|us|my\s+\w+|on\s+my)\b|give\s+(?:me|us)\s+(?:a|another)\s+(?:quick\s+)?(?:call|ring|buzz|bell|shout)"
    r"|call\s+back\b|call\s+(?:this|my)\s+number"
)
_ANSWER_ME = (
    r"(?:reply|respond|answer|write\s+back|confirm)\b|get\s+back\s+to\s+(?:me|us)|(?:let|update|contact|email|text|message|send|inform)\s+(?:me|us)\b"
    r"|an?\s+(?:answer|reply|response|update|solution)"
)
_REQUESTS: tuple[tuple[re.Pattern[str], Way], ...] = (
    (re.compile(rf"\b{_ASK}\s+{_ASK_GAP}\b(?:{_CALL_ME})"), "call"),
    (
        re.compile(
            rf"\b{_ASK}\s+(?:to\s+)?(?:(?:have|get|receive)\s+)?(?:an?\s+|your\s+)(?:phone\s+)?call\b"
        ),
        "call",
    ),
    (re.compile(rf"\b{_ASK}\s+(?:to\s+be\s+called\s+back|(?:to\s+)?call\s*-?back)"), "call"),
    (
        re.compile(
            rf"^[\s,]*(?:(?:and|so|then|just|ok|okay|thanks|hi|hello|also|sorry|well|better)[,!]?\s+)*(?:{_CALL_ME})"
        ),
        "call",
    ),
)
_REQUEST_OF_ANSWER = re.compile(rf"\b{_ASK}\s+{_ASK_GAP}\b(?:{_ANSWER_ME})")
_BY_WHEN = re.compile(
    r"\b(?:by|before|within|no\s+later\s+than|not\s+later\s+than|at\s+the\s+latest|today|in\s+the\s+next|eod)\b"
)
_WORD_QUESTION = re.compile(r"\b(?:if|when|whether|what|how|why)\b")
_IF_POLITE = re.compile(
    r"\bif\s+(?:possible|you\s+(?:can|could|may|wouldn't)|that'?s?\s+(?:is\s+)?(?:ok|okay|fine|possible)|convenient|at\s+all)\b"
)
_DONT = re.compile(
    r"\b(?:do\s+not|don't|dont|didn't|didnt|never|nobody|no\s+one|no\s+need|needn't|not|stop|quit|why|supposed)\b"
)


def request_way(sentence: str, _due: Callable[[], DueTime]) -> Way | None:
    """Return the way by which a customer's sentence asks to get back, or None.

    The sentence is normalized.
    """
    bare = _IF_POLITE.sub(" ", sentence)
    if _CONDITION.search(bare.replace("don't forget", "")):
        return None
    for pattern, way in _REQUESTS:
        match = pattern.search(bare)
        if match and not _DONT.search(bare.replace("don't forget", " " * 12), 0, match.end()):
            return way
    if (
        _REQUEST_OF_ANSWER.search(bare)
        and _BY_WHEN.search(bare)
        and not _WORD_QUESTION.search(bare)
    ):
        return "act"
    return None

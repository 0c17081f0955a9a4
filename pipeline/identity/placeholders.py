"""Values that stand for nothing: whoever has them in common is not one customer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.text.nfkc import nfkc
from schemas.records import ContactKind


def _words(text: str, separator: str | None = None) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(separator) if word.strip())


# What programs, spreadsheets and people write where there is nothing: JavaScript, Python, R, SQL,
# Excel; and the words for "nobody" of shops, exchanges and chat platforms.
_WORDS = _words(
    """
    null|(null)|nil|none|undefined|undef|nan|-nan|n/a|na|n.a.|n.a|n\\a|n / a|#n/a|#null!|#ref!
    #value!|#name?|#div/0!|#num!|\\n|object object|object|false|true|-1|empty|blank|missing|default
    not set|not available|not applicable|not provided|not specified|not known|no data|no value|tbd
    guest|guest user|guest customer|anonymous|anonymous user|anon
    unknown|unknown user|unknown caller
    private|private number|withheld|restricted|unavailable|blocked|no caller id|asterisk
    anonymous.invalid|nobody|no one|noone|no email|no mail|no phone|no number|no name|noname
    deleted account|deleted user|deleted|facebook user|instagram user|whatsapp user|user deleted
    walk-in|walk-in customer|walk in customer|cash customer|unbekannt|keine|keine angabe|entfällt
    inconnu|aucun|aucune|desconocido|ninguno|sin datos|desconhecido|nenhum|sconosciuto|nessuno
    неизвестно|нет|не указано|なし|不明|非通知|없음|알 수 없음|bilinmiyor|yok
    无|無|没有|沒有|暂无|暫無|空|未知|不详|不詳|未填|未填写|未填寫|未提供|未登记|未登記|保密|匿名
    匿名用户|匿名用戶|游客|遊客|访客|訪客|散客|默认|默認|未知号码|未知號碼|私人号码|私人號碼|隐藏号码
    隱藏號碼|未顯示號碼|未显示号码|未公开|已注销|用户已注销|该用户已注销|账号已注销|微信用户
    """.replace("\n", "|"),
    "|",
)
# "Na" and "No" are people's names, so only in a column of numbers or addresses are they nothing.
_NAMES_TOO = frozenset({"na", "true", "object", "default", "空"})
# Asterisk's extension of callers that have none.
_NO_NUMBER = frozenset({"s"})
# Local parts that no person chose, whatever the domain.
_NO_MAIL = re.compile(
    r"(?:null|undefined|none|nan|anonymous|unknown|nobody|no[-_.]?one"
    r"|no[-_.]?(?:e[-_.]?)?mail|not[-_.]?provided|no[-_.]?address|without[-_.]?(?:e[-_.]?)?mail"
    r"|sin[-_.]?(?:correo|email|mail)|keine?[-_.]?(?:e?[-_.]?mail)|sem[-_.]?email|无|無|没有|匿名)"
)
# What people type to get past a form, as name and domain alike: test@test.com, abc@abc.com.
_TYPED = _words(
    "test tester testing demo example sample email mail mailbox user name domain guest abc abcd"
    " asd asdf qwe qwerty foo bar admin info xxx 123 1234 12345 123456 none na no temp fake dummy"
    " placeholder default anon company"
)
# Domains that everybody knows, and those of RFC 2606: nobody's name there is "test".
_PUBLIC = _words("example gmail googlemail hotmail outlook yahoo mail email qq 163 126 sina test")
_TEST_NAMES = _words("test testing tester example demo asdf qwerty fake dummy")
# What people type into a telephone field, besides one repeated digit; and the number of China
# Mobile's hotline, which Chinese forms show as the example.
_TYPED_NUMBERS = _words(
    "1234567 12345678 123456789 1234567890 12345678900 12345678901 0123456789 0123456 13800138000"
    " 13812345678 13912345678 987654321 9876543210"
)
# A shop may number its first customers 1, 11 or 222, and an exchange its extensions; no number
# plan assigns seven or more equal digits.
_REPEATED = re.compile(r"(\d)\1{6,}")
_ZEROS = re.compile(r"0[0.,\s-]*")
_WRAPPING = "\"'`<>()[]{}“”‘’「」"
# Zero-width and direction characters, soft hyphens, byte order marks.
_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

_DIRECTION = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def strip_invisible(text: str) -> str:
    r"""Return the text without zero-width characters and direction marks.

    >>> strip_invisible("\u200eann\u200b@example.com")
    'ann@example.com'
    """
    return _INVISIBLE.sub("", text)


def strip_direction_marks(text: str) -> str:
    r"""Return the text without direction marks, with the joiners that Persian and emoji need.

    >>> strip_direction_marks("\u200eAnn")
    'Ann'
    """
    return _DIRECTION.sub("", text)


def _folded(text: str) -> str:
    return " ".join(nfkc(strip_invisible(text)).casefold().split()).strip(_WRAPPING).strip()


def _says_nothing(text: str) -> bool:
    return all(unicodedata.category(char)[0] in "PZC" for char in text)


@dataclass(frozen=True, slots=True)
class Placeholders:
    """The values that identify nobody: the built-in ones and those of the installation."""

    more: frozenset[str] = frozenset()

    @staticmethod
    def with_more(values: Iterable[str]) -> Placeholders:
        """Return the built-in values and these ones, which are compared without case and width.

        >>> Placeholders.with_more(["Walk-In 7"]).match("id", "ＷＡＬＫ-ＩＮ 7")
        True
        """
        return Placeholders(frozenset(filter(None, map(_folded, values))))

    def match(self, kind: ContactKind, text: str) -> bool:
        """Return whether a value stands for nothing.

        >>> [Placeholders().match("id", text) for text in ("[object Object]", " NULL ", "C-1")]
        [True, True, False]
        >>> Placeholders().match("email", "none@none.com")
        True
        """
        folded = _folded(text)
        if folded in self.more or _says_nothing(folded):
            return True
        if folded in _WORDS:
            return kind != "handle" or folded not in _NAMES_TOO
        if kind == "email":
            return _is_nobodys_mail(folded)
        if _ZEROS.fullmatch(folded) or _REPEATED.fullmatch(folded):
            return True
        if kind == "phone":
            digits = "".join(char for char in folded if char.isdecimal())
            national = digits.removeprefix("00").removeprefix("86")
            return (
                folded in _NO_NUMBER
                or bool(_REPEATED.fullmatch(digits) or _REPEATED.fullmatch(national))
                or bool({digits, national} & _TYPED_NUMBERS)
            )
        return False


NO_MORE_PLACEHOLDERS = Placeholders()


def _is_nobodys_mail(address: str) -> bool:
    local, at, domain = address.rpartition("@")
    if not at:
        return False
    label = domain.partition(".")[0]
    return (
        domain.endswith(".invalid")
        or bool(_NO_MAIL.fullmatch(local))
        or (local == label and (local in _TYPED or len(set(local)) == 1))
        or (local in _TEST_NAMES and label in _PUBLIC)
    )

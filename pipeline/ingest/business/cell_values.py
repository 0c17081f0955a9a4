"""Cells of a spreadsheet as values: sums of money, numbers, words, lists of articles; every fault
says what would be right.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from typing import Any

import orjson

from pipeline.ingest.local_times import DateOrder, plain
from schemas.dead_letters import RejectCode


class CellError(ValueError):
    """A cell cannot be read; `code` says of which kind the fault is, `field` which field it is
    where a row is judged as a whole.
    """

    def __init__(self, code: RejectCode, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code, self.field = code, field


@dataclass(frozen=True, slots=True)
class Reading:
    """What a person said beside the file: the zone of its times, the order of its dates, the
    currency of its sums.
    """

    zone: tzinfo | None = None
    date_order: DateOrder | None = None
    currency: str | None = None


# Excel keeps digits as text by writing ="0012"; shops' exports put tabs around long numbers for the
# same end.
_EXCEL_TEXT = re.compile(r'="(.*)"', re.DOTALL)


def clean(cell: str) -> str:
    """Return a cell without the blanks around it and the wrapping that spreadsheets put around
    digits.
    """
    text = cell.strip(" \t\r\n\u00a0\u3000\ufeff\0")
    wrapped = _EXCEL_TEXT.fullmatch(text)
    return wrapped[1].strip() if wrapped else text


def word_key(text: str) -> str:
    """Return a word as headers and states are compared: NFKC, case folded, letters and digits
    only.
    """
    return "".join(
        char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum()
    )


# ---- words
# ------------------------------------------------------------------------------------------------------------------


def words_to(table: dict[str, str]) -> dict[str, str]:
    """Return a table from words, as `word_key` folds them, to the value they stand for; the words
    stand between bars.
    """
    return {
        word_key(word): value
        for value, words in table.items()
        for word in (value, *words.split("|"))
    }


def read_word(text: str, words: dict[str, str], allowed: str) -> str:
    """Return what a word stands for. Raises CellError naming what is allowed."""
    if (value := words.get(word_key(text))) is None:
        raise CellError(
            RejectCode.SCHEMA_ENUM, f"it is none of {allowed}, nor another word for one of them"
        )
    return value


def read_phrase(text: str, pieces: dict[str, str]) -> str | None:
    """Return the one value whose words occur in a phrase (质量问题 → quality); None where none does, or
    several do.
    """
    key = word_key(text)
    found = {
        value
        for value, words in pieces.items()
        for word in words.split("|")
        if word_key(word) in key
    }
    return found.pop() if len(found) == 1 else None


# ---- money and numbers
# ------------------------------------------------------------------------------------------------------

# Signs that one currency alone has. ¥ is the yen too, $ and kr have many: those need a column or
# the option.
_SIGNS = {
    "元": "CNY",
    "￥": "CNY",
    "RMB": "CNY",
    "CN¥": "CNY",
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₩": "KRW",
    "円": "JPY",
    "₽": "RUB",
}
_CURRENCIES = words_to(
    {
        "CNY": "人民币|人民幣|RMB|元|yuan|中国元",
        "USD": "美元|美金|US dollar|US dollars",
        "EUR": "欧元|歐元|euro|euros",
        "HKD": "港币|港幣|港元",
        "TWD": "新台币|新台幣|新臺幣|台币|NTD",
        "JPY": "日元|日圆|日圓|円",
        "GBP": "英镑|英鎊",
        "KRW": "韩元|韓元",
        "SGD": "新加坡元|新币",
    }
)
_CODE = re.compile(r"[A-Za-z]{3}")
_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[, ’']\d{3}){1,9}(?:\.\d{1,30})?")
_COMMA_DECIMAL = re.compile(r"[+-]?(?:\d{1,3}(?:[. ]\d{3}){1,9}|\d{1,30}),\d{1,2}")


def read_currency(text: str, _reading: Reading) -> str:
    """Return the ISO 4217 code of a currency given by code, sign or name. Raises CellError."""
    key = word_key(text)
    if key in _CURRENCIES or text in _SIGNS:
        return _CURRENCIES.get(key) or _SIGNS[text]
    if not _CODE.fullmatch(text):
        raise CellError(
            RejectCode.SCHEMA_VALUE, "it is no currency; write the ISO 4217 code, such as CNY"
        )
    return text.upper()


def read_money(text: str, _reading: Reading) -> tuple[Decimal, str | None]:
    """Return a sum, and the currency where a sign or code beside it names one. Raises CellError.

    1,234.50 and 1.234,50 are both read; 1,234 is a thousand, 1.234 is one and a bit. Brackets mean
    below zero, as in bookkeeping.
    """
    words = plain(text).strip()
    negative = words.startswith("(") and words.endswith(")")
    words = words.strip("()") if negative else words
    number = re.search(r"[+-]?[\d][\d., ’']*", words)
    if not number:
        raise CellError(RejectCode.SCHEMA_TYPE, "it is no sum of money; write it as 1234.50")
    beside = (words[: number.start()] + words[number.end() :]).strip()
    if beside.startswith("-") and number[0][0].isdigit():
        negative, beside = True, beside[1:].strip()
    value = _decimal(number[0].strip())
    return (-value if negative else value), _currency_beside(beside)


def _currency_beside(words: str) -> str | None:
    if not words or words in ("¥", "$"):
        return None
    sign = _SIGNS.get(words) or _CURRENCIES.get(word_key(words))
    if sign is None and not _CODE.fullmatch(words):
        raise CellError(
            RejectCode.SCHEMA_TYPE,
            "it is no sum of money; write it as 1234.50, the currency in a column of its own",
        )
    return sign or words.upper()


def _decimal(text: str) -> Decimal:
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    if _GROUPED.fullmatch(text):
        return Decimal(re.sub(r"[, ’']", "", text))
    if _COMMA_DECIMAL.fullmatch(text):
        return Decimal(re.sub(r"[. ]", "", text).replace(",", "."))
    raise CellError(RejectCode.SCHEMA_TYPE, "it is no number; write it as 1234.50")


def read_number(text: str, _reading: Reading) -> float:
    """Return a number such as 4, 4.5 or 4,5. Raises CellError."""
    return float(_decimal(plain(text).strip()))


# 4/5, 8 / 10, 4分, 5星, 4.5 stars
_RATING = re.compile(
    r"(?P<mark>[+-]?\d{1,6}(?:[.,]\d{1,6})?) ?(?:分|星|颗星|顆星|stars?|points?)?(?: ?(?:/|out"
    r" of|满分) ?(?P<best>\d{1,6}) ?分?)?",
    re.I,
)


def read_rating(text: str, _reading: Reading) -> tuple[float, float | None]:
    """Return a mark, and the best mark where the cell names it: 4, 4分, 5星, 8/10. Raises
    CellError.
    """
    match = _RATING.fullmatch(plain(text).strip())
    if not match:
        raise CellError(
            RejectCode.SCHEMA_TYPE, "it is no mark; write it as a number, such as 4 or 8/10"
        )
    return float(match["mark"].replace(",", ".")), float(match["best"]) if match["best"] else None


def read_birth_year(text: str, _reading: Reading) -> int:
    """Return the year of a date of birth, or of a year. Raises CellError."""
    match = re.search(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)", plain(text))
    if not match:
        raise CellError(
            RejectCode.SCHEMA_TYPE, "it names no year of birth; write it as 1985 or 1985-03-21"
        )
    return int(match[1])


# ---- texts and lists
# --------------------------------------------------------------------------------------------------------

_BROKEN_BY_EXCEL = re.compile(r"\d(?:\.\d+)?E\+\d+", re.IGNORECASE)


def read_text(text: str, _reading: Reading) -> str:
    """Return the text as it is."""
    return text


def read_identifier(text: str, _reading: Reading) -> str:
    """Return a number that names something. Raises CellError for one that a spreadsheet has rounded
    away.
    """
    if _BROKEN_BY_EXCEL.fullmatch(text):
        what = "a spreadsheet has rounded the number; export it again with this column as text"
        raise CellError(RejectCode.SCHEMA_VALUE, what)
    return text


def read_list(text: str, _reading: Reading) -> list[str]:
    """Return the parts of a cell that holds several, between commas, semicolons, slashes or line
    breaks.
    """
    return [part for part in (piece.strip() for piece in re.split(r"[,;，；、/|\n]", text)) if part]


# `A-100 x2`, `A-100*2`, `A-100 ×2`; several between semicolons or line breaks.
_ITEM = re.compile(r"(?P<sku>.+?)\s*(?:[xX*×✕]\s*(?P<quantity>\d+(?:\.\d+)?))?", re.DOTALL)


def read_items(text: str, _reading: Reading) -> list[dict[str, Any]]:
    """Return the articles of an order: JSON (a list of numbers or of objects with sku), or `A-100
    x2; B-7`. Raises CellError.
    """
    if text[:1] in "[{":
        return _json_items(text)
    items = []
    for part in re.split(r"[;；\n]", text):
        if (match := _ITEM.fullmatch(part.strip())) and match["sku"]:
            items.append({"sku": match["sku"], "quantity": match["quantity"] or "1"})
    return items


def _json_items(text: str) -> list[dict[str, Any]]:
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CellError(
            RejectCode.UNPARSABLE,
            f"it begins like JSON and is none: {error.msg} at column {error.colno}",
        ) from error
    items = []
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, dict) and item.get("sku"):
            items.append(
                {
                    key: str(value) if isinstance(value, float) else value
                    for key, value in item.items()
                }
                | {"sku": str(item["sku"])}
            )
        elif isinstance(item, (str, int)) and not isinstance(item, bool) and item != "":
            items.append({"sku": str(item)})
        else:
            raise CellError(
                RejectCode.SCHEMA_MISSING_FIELD,
                'each article needs its sku: [{"sku": "A-100", "quantity": 2}]',
            )
    return items

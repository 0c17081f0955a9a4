"""Parses cells of a spreadsheet: numbers, words, lists of articles; `amounts.py` reads money.

Every error says what would be right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from typing import Any

import orjson

from pipeline.ingest.local_times import DateOrder, plain_text
from pipeline.text.nfkc import nfkc
from schemas.dead_letters import RejectCode


class CellError(ValueError):
    """A cell cannot be parsed.

    `code` is the kind of the error; `field` names the field where a row is judged as a whole.
    """

    def __init__(self, code: RejectCode, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code, self.field = code, field


class DecimalMark(StrEnum):
    """The mark between a whole number and its decimals."""

    COMMA = "comma"
    POINT = "point"

    @property
    def character(self) -> str:
        """The mark itself."""
        return "," if self is DecimalMark.COMMA else "."


@dataclass(frozen=True, slots=True)
class CellFormat:
    """What options and settings state about a file.

    Time zone, date order, currency, decimal mark of amounts, scale of ratings, and the region of
    the installation, which decides between the currencies of one symbol.
    """

    zone: tzinfo | None = None
    date_order: DateOrder | None = None
    currency: str | None = None
    decimal: DecimalMark | None = None
    scale: tuple[float, float] | None = None
    region: str | None = None


# Excel keeps digits as text by writing ="0012"; exports of shops put tabs around long numbers for
# the same reason.
_EXCEL_TEXT = re.compile(r'="(.*)"', re.DOTALL)
# Taobao and Shopify write the apostrophe by which Excel marks text before digits.
_APOSTROPHE = re.compile(r"'([+\d][\d +()-]*)")


def clean_cell(cell: str) -> str:
    """Return a cell without surrounding blanks and without the wrapping of digits by spreadsheets.

    >>> clean_cell(' ="0012" ')
    '0012'
    """
    text = cell.replace("\0", "").strip(" \t\r\n\u00a0\u3000\ufeff")
    wrapped = _EXCEL_TEXT.fullmatch(text) or _APOSTROPHE.fullmatch(text)
    return wrapped[1].strip() if wrapped else text


def normalise_word(text: str) -> str:
    """Return a word in the form used to compare headers and values.

    NFKC, case folded, letters and digits only.

    >>> normalise_word("Order No.")
    'orderno'
    """
    return "".join(char for char in nfkc(text).casefold() if char.isalnum())


# ---- words


def word_table(table: dict[str, str]) -> dict[str, str]:
    """Return a table from normalised words to the value they mean; words are separated by bars.

    >>> word_table({"paid": "payment|付款"})
    {'paid': 'paid', 'payment': 'paid', '付款': 'paid'}
    """
    return {
        normalise_word(word): value
        for value, words in table.items()
        for word in (value, *words.split("|"))
    }


def read_word(text: str, words: dict[str, str], allowed: str) -> str:
    """Return the value that a word means. Raises CellError naming the allowed values."""
    if (value := words.get(normalise_word(text))) is None:
        raise CellError(RejectCode.SCHEMA_ENUM, f"it is not one of {allowed}, nor a known synonym")
    return value


def read_phrase(text: str, pieces: dict[str, str]) -> str | None:
    """Return the one value whose words occur in a phrase; None if none does, or several do.

    >>> read_phrase("质量问题", {"quality": "质量|quality", "price": "价格"})
    'quality'
    """
    key = normalise_word(text)
    matches = {
        value
        for value, words in pieces.items()
        for word in words.split("|")
        if normalise_word(word) in key
    }
    return matches.pop() if len(matches) == 1 else None


# ---- numbers

_NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,15})?")
_THOUSAND_OR_DECIMALS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


def read_number(text: str, _cell_format: CellFormat) -> float:
    """Return a number such as 4, 4.5 or 4,5. Raises CellError.

    >>> read_number("4,5", CellFormat())
    4.5
    """
    words = plain_text(text).strip()
    if _THOUSAND_OR_DECIMALS.fullmatch(words):
        what = "it may be a thousand or have three decimals; write it as 1234 or 1.2"
        raise CellError(RejectCode.SCHEMA_TYPE, what)
    if not _NUMBER.fullmatch(words):
        raise CellError(RejectCode.SCHEMA_TYPE, "it is not a number; write it as 1234.5")
    return float(words.replace(",", "."))


# 4/5, 8 / 10, 4分, 5星, 4.5 stars
_RATING = re.compile(
    r"(?P<mark>[+-]?\d{1,6}(?:[.,]\d{1,6})?) ?(?:分|星|颗星|顆星|stars?|points?)?(?: ?(?:/|out"
    r" of|满分) ?(?P<best>\d{1,6}) ?分?)?",
    re.I,
)


def read_rating(text: str, _cell_format: CellFormat) -> tuple[float, float | None]:
    """Return a rating, and the best rating if the cell names it: 4, 4分, 5星, 8/10.

    Raises CellError.

    >>> read_rating("8/10", CellFormat()), read_rating("4分", CellFormat())
    ((8.0, 10.0), (4.0, None))
    """
    match = _RATING.fullmatch(plain_text(text).strip())
    if not match:
        raise CellError(
            RejectCode.SCHEMA_TYPE, "it is not a rating; write it as a number, such as 4 or 8/10"
        )
    return float(match["mark"].replace(",", ".")), float(match["best"]) if match["best"] else None


def read_birth_year(text: str, _cell_format: CellFormat) -> int:
    """Return the year in a date of birth. Raises CellError.

    >>> read_birth_year("1985-03-21", CellFormat())
    1985
    """
    match = re.search(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)", plain_text(text))
    if not match:
        raise CellError(
            RejectCode.SCHEMA_TYPE, "it has no year of birth; write it as 1985 or 1985-03-21"
        )
    return int(match[1])


# ---- texts and lists

_BROKEN_BY_EXCEL = re.compile(r"\d(?:\.\d+)?E\+\d+", re.IGNORECASE)


def read_text(text: str, _cell_format: CellFormat) -> str:
    """Return the text unchanged."""
    return text


def read_identifier(text: str, _cell_format: CellFormat) -> str:
    """Return an identifier. Raises CellError for a number that a spreadsheet has rounded.

    >>> read_identifier("0012", CellFormat())
    '0012'
    """
    if _BROKEN_BY_EXCEL.fullmatch(text):
        what = "a spreadsheet has rounded the number; export it again with this column as text"
        raise CellError(RejectCode.SCHEMA_VALUE, what)
    return text


def read_list(text: str, _cell_format: CellFormat) -> list[str]:
    """Return the parts of a cell between commas, semicolons, slashes or line breaks.

    >>> read_list("a@example.com; b@example.com", CellFormat())
    ['a@example.com', 'b@example.com']
    """
    return [part for part in (piece.strip() for piece in re.split(r"[,;，；、/|\n]", text)) if part]


# `A-100 x2`, `A-100*2`, `A-100 ×2`; several between semicolons or line breaks. A run of blanks is
# tried from its start only: from every blank of it, a cell of blanks would take quadratic time.
_QUANTITY = re.compile(r"(?<!\s)\s*+[xX*×✕]\s*+(\d++(?:\.\d++)?)\Z")


def read_items(text: str, _cell_format: CellFormat) -> list[dict[str, Any]]:
    """Return the items of an order, from JSON or from text such as `A-100 x2; B-7`.

    The JSON is a list of article numbers, or of objects with `sku`. Raises CellError.

    >>> read_items("A-100 x2; B-7", CellFormat())
    [{'sku': 'A-100', 'quantity': '2'}, {'sku': 'B-7', 'quantity': '1'}]
    """
    if text[:1] in "[{":
        return _json_items(text)
    items = []
    for part in filter(None, map(str.strip, re.split(r"[;；\n]", text))):
        # From its second character on: an article number has at least one.
        quantity = _QUANTITY.search(part, 1)
        items.append(
            {"sku": part[: quantity.start()], "quantity": quantity[1]}
            if quantity
            else {"sku": part, "quantity": "1"}
        )
    return items


def _json_items(text: str) -> list[dict[str, Any]]:
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CellError(
            RejectCode.UNPARSABLE,
            f"it starts like JSON but is invalid: {error.msg} at column {error.colno}",
        ) from error
    items = []
    for item in parsed if isinstance(parsed, list) else [parsed]:
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

"""Amounts of money: the number as written, and what its separators mean in its column.

`1.299` is a thousand and more in one file and one and a fraction in another. The amounts of the
same currency in the file decide, then the decimals of the currency (ISO 4217); where both readings
stay possible, the user is asked for `--option decimal=comma` or `point`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.ingest.business.cell_values import CellError, CellFormat, DecimalMark
from pipeline.ingest.business.currencies import currency_beside, decimals_of
from pipeline.ingest.local_times import plain_text
from schemas.dead_letters import RejectCode

_MARKS = {",": DecimalMark.COMMA, ".": DecimalMark.POINT}
# Thirty digits are more than any amount has (the contract takes eighteen); a cell of a million
# digits is refused at once.
_PLAIN = re.compile(r"[+-]?\d{1,30}")
# One separator and three digits, and not 0.125: a thousand, or three decimals.
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}")
# Separators of thousands: a comma, a point, a blank, an apostrophe; in India pairs of digits.
_GROUPED = re.compile(
    r"[+-]?\d{1,3}(?:(?P<by>[,.])\d{3})(?:(?P=by)\d{3}){0,9}(?P<mark>(?!(?P=by))[.,])\d{1,30}"
)
_GROUPS_ONLY = re.compile(r"[+-]?\d{1,3}(?P<by>[,.])\d{3}(?:(?P=by)\d{3}){1,9}")
_INDIAN = re.compile(r"[+-]?\d{1,2}(?:,\d{2}){1,12},\d{3}(?:\.\d{1,30})?")
_SPACED = re.compile(r"[+-]?\d{1,3}(?:[ ’']\d{3}){1,9}(?:(?P<mark>[.,])\d{1,30})?")
_DECIMAL = re.compile(r"[+-]?\d{1,30}(?P<mark>[.,])\d{1,30}")
_NUMBER = re.compile(r"[+-]?\d[\d., ’']*+")


@dataclass(frozen=True, slots=True)
class WrittenAmount:
    """An amount as a cell has it: its number, and the currency or symbol beside it."""

    number: str
    negative: bool
    currency: str | None
    symbol: str


def read_amount(text: str, _cell_format: CellFormat) -> WrittenAmount:
    """Return an amount as written. Brackets mean a negative one, as in bookkeeping.

    Raises CellError for a cell that is no amount, whatever its separators mean.

    >>> read_amount("(HK$ 1.234,50)", CellFormat())
    WrittenAmount(number='1.234,50', negative=True, currency='HKD', symbol='')
    """
    words = plain_text(text).strip()
    negative = words.startswith("(") and words.endswith(")")
    words = words.strip("()").strip() if negative else words
    number = _NUMBER.search(words)
    if not number:
        raise CellError(RejectCode.SCHEMA_TYPE, "it is not an amount; write it as 1234.50")
    beside = (words[: number.start()] + words[number.end() :]).strip()
    if beside.startswith("-") and number[0][0].isdigit():
        negative, beside = True, beside[1:].strip()
    currency, symbol = currency_beside(beside)
    digits = number[0].strip()
    if not _EITHER.fullmatch(digits):
        decimal_mark(digits)
    return WrittenAmount(digits, negative, currency, symbol)


def decimal_mark(number: str) -> DecimalMark | None:
    """Return the decimal mark that a number proves; None if it proves none.

    Raises CellError for a text that is no number in any reading.

    >>> decimal_mark("1.299,00"), decimal_mark("1.299.000"), decimal_mark("12.5"), decimal_mark("5")
    (<DecimalMark.COMMA: 'comma'>, <DecimalMark.COMMA: 'comma'>, <DecimalMark.POINT: 'point'>, None)
    """
    if _PLAIN.fullmatch(number) or _EITHER.fullmatch(number):
        return None
    if match := _GROUPED.fullmatch(number) or _SPACED.fullmatch(number):
        return _MARKS[match["mark"]] if match["mark"] else None
    if match := _GROUPS_ONLY.fullmatch(number):
        return DecimalMark.POINT if match["by"] == "," else DecimalMark.COMMA
    if _INDIAN.fullmatch(number):
        return DecimalMark.POINT
    if match := _DECIMAL.fullmatch(number):
        return _MARKS[match["mark"]]
    raise CellError(RejectCode.SCHEMA_TYPE, "it is not a number; write it as 1234.50")


def is_ambiguous(number: str) -> bool:
    """Return whether a number is a thousand and more, or has three decimals.

    >>> is_ambiguous("1.299"), is_ambiguous("1.29"), is_ambiguous("0.125")
    (True, False, False)
    """
    return _EITHER.fullmatch(number) is not None


@dataclass(slots=True)
class MarkEvidence:
    """The decimal marks that the amounts of a file prove, by currency, with an example of each.

    `thirds` are those of amounts with three decimals.
    """

    examples: dict[str, dict[DecimalMark, str]] = field(default_factory=dict)
    thirds: dict[str, set[DecimalMark]] = field(default_factory=dict)

    def add(self, number: str, currency: str, line: int) -> None:
        """Add an amount in a line of the file; one that proves nothing changes nothing."""
        if (mark := decimal_mark(number)) is None:
            return
        self.examples.setdefault(currency, {}).setdefault(mark, f"{number} in line {line}")
        if number[-4:-3] == mark.character:
            self.thirds.setdefault(currency, set()).add(mark)

    def of(self, currency: str | None = None) -> dict[DecimalMark, str]:
        """Return the marks and examples of a currency, or of all."""
        if currency is not None:
            return self.examples.get(currency, {})
        return {mark: text for marks in self.examples.values() for mark, text in marks.items()}


def amount_value(
    amount: WrittenAmount,
    currency: str,
    evidence: MarkEvidence | None,
    option: DecimalMark | None = None,
) -> Decimal:
    """Return the value of an amount.

    `evidence` may be None unless `is_ambiguous` is true for the number and there is no option.
    Raises CellError with the question if both readings are possible.

    >>> amount_value(WrittenAmount("1.299", False, None, ""), "EUR", MarkEvidence())
    Decimal('1299')
    >>> amount_value(WrittenAmount("1.250", False, None, ""), "KWD", MarkEvidence())
    Decimal('1.250')
    """
    number = amount.number
    mark: DecimalMark | None
    if is_ambiguous(number):
        mark = option or _mark_of(number, currency, evidence or MarkEvidence())
    else:
        mark = decimal_mark(number)
        if option and mark not in (None, option):
            what = (
                f"{number} is not written with --option decimal={option}; write the amounts of a"
                " file in one way"
            )
            raise CellError(RejectCode.SCHEMA_VALUE, what)
    value = _value(number, mark or DecimalMark.POINT)
    return -value if amount.negative else value


def _mark_of(number: str, currency: str, evidence: MarkEvidence) -> DecimalMark:
    """Return the decimal mark by which to read a number that has two readings."""
    written = _MARKS["," if "," in number else "."]
    other = DecimalMark.POINT if written is DecimalMark.COMMA else DecimalMark.COMMA
    decimals = decimals_of(currency)
    own = evidence.of(currency)
    if len(own) == 2:
        raise _question(number, f"the file has {' and '.join(own.values())}")
    if other in own:
        return other
    if written in own:
        if decimals == 3 or written in evidence.thirds.get(currency, ()):
            return written
        raise _question(number, f"the file has {own[written]}, but {currency} has no third decimal")
    if decimals in (0, 2):
        return other
    if decimals is None or decimals == 4 or written is DecimalMark.COMMA:
        marks = evidence.of()
        if len(marks) == 1:
            return next(iter(marks))
        raise _question(number, "no other amount of the file decides it")
    # Dinars have three decimals, and their countries write them with a point.
    return written


def _question(number: str, why: str) -> CellError:
    thousand, fraction = re.sub("[.,]", "", number), number.replace(",", ".")
    what = (
        f"it may be {thousand} or {fraction}: {why}; say which with --option decimal=comma (12,50)"
        " or decimal=point (12.50)"
    )
    return CellError(RejectCode.SCHEMA_VALUE, what)


def _value(number: str, mark: DecimalMark) -> Decimal:
    whole, _, fraction = number.partition(mark.character)
    digits = re.sub(r"[^\d+-]", "", whole)
    return Decimal(f"{digits}.{fraction}" if fraction else digits)

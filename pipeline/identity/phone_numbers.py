"""Telephone numbers in one form for each: E.164, or the digits of a number that is only local."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from pipeline.identity.phone_text import (
    MIN_PUBLIC_DIGITS,
    Unread,
    WrittenNumber,
    read_phone_text,
)

# E.164 allows fifteen digits. More are several numbers, or none.
_MAX_DIGITS = 15
# Subscriber numbers, which leave the area code out, have up to nine digits (Brazil), after a
# country code up to eight: nine are a whole number in many countries.
_MAX_SUBSCRIBER, _MAX_SUBSCRIBER_ABROAD = 9, 8

# One number in two forms. Networks and WhatsApp still write the older one:
# - Mexico dropped the 1 of mobiles, and the prefixes 044, 045 and 01, in 2019;
# - Brazil put a 9 before the eight digits of mobiles from 2012 to 2016; they began with 6 to 9;
# - Argentina writes a 9 before mobiles that are called from abroad, and 15 in the country. Area
#   code and number are the same ten digits, and no landline has them too.
# Sources: ITU-T operational bulletins; libphonenumber's metadata of MX, BR, AR.
_SAME_NUMBER: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\+52(?:044|045|01|1)(\d{10})"), r"+52\1"),
    (re.compile(r"\+55([1-9]\d)([6-9]\d{7})"), r"+55\g<1>9\2"),
    (re.compile(r"\+549(\d{10})"), r"+54\1"),
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in E.164 and its extension; `valid` is False for digits that are only local."""

    value: str
    valid: bool = True
    extension: str = ""


@dataclass(frozen=True, slots=True)
class PhoneReading:
    """The numbers of a telephone field, the first one first, and why a part of it is none."""

    numbers: tuple[Number, ...] = ()
    unread: Unread | None = None


def read_phones(text: str, region: str | None) -> PhoneReading:
    """Return the numbers of a telephone field; `region` is that of national numbers.

    A number is valid if its length is possible (ITU-T E.164), even if its range is not assigned:
    numbering plans change faster than their lists. A number without its area code, an extension or
    a short code is not valid, and keeps its digits.

    >>> read_phones("+55 51 8123-4567", None).numbers[0].value
    '+5551981234567'
    >>> read_phones("555-0100", "US").numbers[0]
    Number(value='5550100', valid=False, extension='')
    """
    written = read_phone_text(text)
    numbers: list[Number] = []
    unread = written.unread
    for item in written.numbers:
        number = _number(item, region)
        if number is None:
            unread = unread or "unreadable"
        elif number.value not in {known.value for known in numbers}:
            numbers.append(number)
    return PhoneReading(tuple(numbers), unread)


def _number(written: WrittenNumber, region: str | None) -> Number | None:
    if value := _e164(written, region):
        return Number(value, extension=written.extension)
    if written.shorter and (value := _e164(written.shorter, region)):
        return Number(value, extension=written.shorter.extension)
    if len(written.digits) > _MAX_DIGITS:
        return None
    return Number(("+" if written.plus else "") + written.digits, False, written.extension)


def _e164(written: WrittenNumber, region: str | None) -> str | None:
    if len(written.digits) < MIN_PUBLIC_DIGITS:
        return None
    for candidate, hint in _interpretations(written, region):
        try:
            number = phonenumbers.parse(candidate, hint)
        except phonenumbers.NumberParseException:
            continue
        value = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for form, same in _SAME_NUMBER:
            if form.fullmatch(value):
                value = form.sub(same, value)
                number = phonenumbers.parse(value)
        if phonenumbers.is_possible_number_with_reason(
            number
        ) == ValidationResult.IS_POSSIBLE and not _lacks_area_code(number, written, hint):
            return value
    return None


def _interpretations(
    written: WrittenNumber, region: str | None
) -> Iterable[tuple[str, str | None]]:
    if written.plus:
        yield f"+{written.digits}", None
        return
    if written.digits.startswith("00"):
        yield f"+{written.digits[2:]}", None
    if region:
        yield written.digits, region


def _lacks_area_code(number: PhoneNumber, written: WrittenNumber, region: str | None) -> bool:
    """Return whether a number is a subscriber's, without the code of the area.

    Only countries whose landlines can be dialled without it have such numbers: those with a trunk
    prefix and numbers of several lengths.
    """
    digits = len(phonenumbers.national_significant_number(number))
    if digits > _MAX_SUBSCRIBER or (region is None and digits > _MAX_SUBSCRIBER_ABROAD):
        return False
    plan = phonenumbers.PhoneMetadata.metadata_for_region(
        phonenumbers.region_code_for_country_code(number.country_code or 0)
    )
    if plan is None or plan.national_prefix is None or plan.general_desc is None:
        return False
    if len(plan.general_desc.possible_length) == 1 or (
        region and written.digits.startswith(plan.national_prefix)
    ):
        return False
    kind = phonenumbers.number_type(number)
    if region is None:
        return bool(kind == PhoneNumberType.UNKNOWN)
    return kind in (PhoneNumberType.UNKNOWN, PhoneNumberType.FIXED_LINE)

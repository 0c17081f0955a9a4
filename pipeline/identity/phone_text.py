"""Reads what people and programs write into a telephone field: numbers, extensions, remarks.

Nothing is thrown away to make a number of what is left: a text that is masked, rounded or no number
says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import phonenumbers

from pipeline.identity.placeholders import strip_invisible
from pipeline.text.nfkc import nfkc

# masked: 138****0021; rounded: 1.38E+10; unreadable: letters and digits that are no number.
Unread = Literal["masked", "rounded", "unreadable"]

# Fewer digits are an extension or a short code, which is only meaningful inside its exchange.
MIN_PUBLIC_DIGITS = 7
# A cell with more numbers is a list of people.
MAX_NUMBERS = 5

_SCHEME = re.compile(r"(?:tel|sips?|whatsapp|callto|phone|wa)\s?:(?://)?", re.IGNORECASE)
# Hosts of WhatsApp's own ids: people by their international number, and what is no person's number.
_NUMBER_HOSTS = ("s.whatsapp.net", "c.us")
_OTHER_HOSTS = ("g.us", "lid", "broadcast", "newsletter")
_USER = re.compile(r"[+\d\s().*#-]+")
_URI_PARAMETER = re.compile(r";\s?(?!ext)[a-z][a-z-]*=[^;]*", re.IGNORECASE)

# 1.38E+10, 8,61381e12: spreadsheets round a long number, and cut its last digits.
_EXPONENT = re.compile(r"(?<![\w.,])[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d{1,3}(?!\w)")
# A column with empty cells is a column of floats in pandas: 13800000041.0.
_DECIMAL = re.compile(r"(\+?\d+)[.,]0{1,2}")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3}){2,}(?:\.0{1,2})?")
# Stars, bullets, crosses, blocks; two or more of what may also be written for other reasons.
_MASK = re.compile(
    r"[*•●○◦×✕✖■□█▇▪]|[?_]{2,}|\.{2,}|-{3,}|#{2,}|(?<![^\W\d_xX])[xX]{2,}(?![^\W\d_xX])"
    # One x is an extension after a whole number, and a mask inside of one.
    r"|(?<!\d)\d{1,6}[xX]\d"
)

# Words before an extension: English, Chinese, Russian, German, French, Spanish and Portuguese,
# Italian; and the characters # and x.
_EXTENSION = re.compile(
    r"(?:(?<![^\W\d_])(?:extension|extn?|durchwahl|poste|ramal|anexo|interno|int|доб)"
    r"|转接|轉接|转|轉|分机号?码?|分機號?碼?|内线|內線|(?<=[\d\s)])x|\#)"
    r"[\s.:=#号號-]{0,4}(\d{1,7})(?!\d)\)?",
    re.IGNORECASE,
)
_BEFORE_EXTENSION = " \t\r\n,;:(-"
# An area code before a slash, as Germans and Austrians write it: 030/5550100. A whole number before
# a slash is another number.
_COUNTRY_SLASH = re.compile(r"(\+\d{1,3})\s?/")
_AREA_SLASH = re.compile(
    r"((?:^|[,;、|\n])\s?\+?\(?\d(?:[\d ()]{0,4}[\d)])?)\s?/\s?(?=\d[\d .-]{4})"
)
_SEPARATOR = re.compile(
    r"[/;,、|\\\n\r\t&]+|(?<![^\W\d_])(?:or|and|oder|und|ou|et)(?![^\W\d_])|或者?|以及|及|和|跟"
    # A plus begins a number; so does a blank between two whole numbers.
    r"|(?<=\d)\s+(?=\+)|(?<=\d{10})\s+(?=\d{10})",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[^\W\d_]+")
# What stands before a number and says that it is one.
_LABELS = frozenset(
    re.findall(
        r"\w+",
        "tel telefon telephone telefono phone mobile mob cell handy fax office home work ph t m h w"
        " p no nr num number whatsapp wa ext extension 电话 電話 手机 手機 座机 座機 固话 联系电话"
        " 联系方式 分机 分機 号码 號碼 携帯 тел телефон",
    )
)
_PLUS = re.compile(r"[^\d+]*\+")
# 010-88886666-801 and 88886666(801): groups that may be an extension, if the whole is no number.
_LAST_GROUP = re.compile(r"(?<=\d)\s?[-–—(]\s?(\d{1,6})\)?\s?\Z")


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """One number as written: its digits, whether they are international, its extension.

    `shorter` is the same number if its last group is an extension.
    """

    digits: str
    plus: bool = False
    extension: str = ""
    shorter: WrittenNumber | None = None


@dataclass(frozen=True, slots=True)
class PhoneText:
    """The numbers of a text in their order, and why a part of it is none."""

    numbers: tuple[WrittenNumber, ...] = ()
    unread: Unread | None = None


def read_phone_text(text: str) -> PhoneText:
    """Return the numbers that a telephone field names; linear in its length.

    >>> read_phone_text("010-88886666 ext. 801").numbers
    (WrittenNumber(digits='01088886666', plus=False, extension='801', shorter=None),)
    >>> [number.digits for number in read_phone_text("13800000061/13900000062").numbers]
    ['13800000061', '13900000062']
    >>> read_phone_text("138****0021"), read_phone_text("1.38E+10").unread
    (PhoneText(numbers=(), unread='masked'), 'rounded')
    """
    text = nfkc(strip_invisible(text)).strip(" \t\r\n'\"=")
    if scheme := _SCHEME.match(text):
        text = text[scheme.end() :]
    text = _URI_PARAMETER.sub("", text)
    user, at, host = text.partition("@")
    if at:
        # A device of WhatsApp stands after a colon.
        user = user.partition(":")[0]
        if host.casefold() in _OTHER_HOSTS or not _USER.fullmatch(user.partition(";")[0]):
            return PhoneText(unread="unreadable" if any(map(str.isdecimal, user)) else None)
        text = f"+{user}" if host.casefold() in _NUMBER_HOSTS and user.isdecimal() else user
    if _EXPONENT.search(text):
        return PhoneText(unread="rounded")
    if decimal := _DECIMAL.fullmatch(text):
        text = decimal[1]
    elif _GROUPED.fullmatch(text):
        text = text.partition(".")[0].replace(",", "")
    text = _AREA_SLASH.sub(r"\1 ", _COUNTRY_SLASH.sub(r"\1 ", text))
    numbers: list[WrittenNumber] = []
    unread: Unread | None = None
    for part in _parts(text):
        if len(numbers) == MAX_NUMBERS:
            return PhoneText(tuple(numbers), unread or "unreadable")
        if _MASK.search(part[0]) and any(map(str.isdecimal, part[0])):
            unread = unread or "masked"
            continue
        found, readable = _numbers_in(*part)
        # After a whole number, a few digits are another ending of it, or an extension.
        numbers += [
            number for number in found if not numbers or len(number.digits) >= MIN_PUBLIC_DIGITS
        ]
        if not readable:
            unread = unread or "unreadable"
    return PhoneText(tuple(numbers[:MAX_NUMBERS]), unread)


def is_rounded(text: str) -> bool:
    """Return whether a whole text is a number that a spreadsheet has rounded.

    A text without a decimal point may be a code: 12E4.

    >>> is_rounded("1.00001E+11"), is_rounded("12E4")
    (True, False)
    """
    return bool(_EXPONENT.fullmatch(text)) and any(char in text for char in ".,+")


def _parts(text: str) -> list[tuple[str, str]]:
    """Return the texts between separators and extensions, each with the extension after it."""
    parts: list[tuple[str, str]] = []
    position = 0
    for match in _EXTENSION.finditer(text):
        before = _SEPARATOR.split(text[position : match.start()].rstrip(_BEFORE_EXTENSION))
        if (
            "x" in match[0].casefold()
            and "e" not in match[0].casefold()
            and (len(_digits(before[-1])) < MIN_PUBLIC_DIGITS)
        ):
            # Inside a number an x is a mask.
            continue
        parts += [(part, "") for part in before[:-1]]
        position = match.end()
        if any(map(str.isdecimal, before[-1])):
            parts.append((before[-1], match[1]))
        elif parts and not before[-1].strip():
            # A second extension of the same number.
            continue
        else:
            parts.append((match[1], ""))
    parts += [(part, "") for part in _SEPARATOR.split(text[position:])]
    return [part for part in parts if part[0].strip()]


def _numbers_in(part: str, extension: str) -> tuple[list[WrittenNumber], bool]:
    """Return the numbers of a part, and whether all of its digits belong to one."""
    words = _LETTERS.findall(part)
    if not words:
        number = _number(part, extension)
        return ([number] if number else []), True
    if phonenumbers.is_alpha_number(part):
        part = phonenumbers.convert_alpha_characters_in_number(part)
        return [WrittenNumber(_digits(part), bool(_PLUS.match(part)), extension)], True
    pieces = [number for piece in _LETTERS.split(part) if (number := _number(piece, ""))]
    whole = [piece for piece in pieces if len(piece.digits) >= MIN_PUBLIC_DIGITS]
    if whole:
        last = whole[-1]
        return [*whole[:-1], WrittenNumber(last.digits, last.plus, extension, last.shorter)], True
    if pieces and all(word.casefold() in _LABELS for word in words):
        return pieces, True
    return [], not pieces


def _number(text: str, extension: str) -> WrittenNumber | None:
    digits = _digits(text)
    if not digits:
        return None
    plus = bool(_PLUS.match(text))
    group = _LAST_GROUP.search(text) if not extension else None
    shorter = (
        WrittenNumber(digits[: -len(group[1])], plus, group[1])
        if group and len(digits) - len(group[1]) >= MIN_PUBLIC_DIGITS
        else None
    )
    return WrittenNumber(digits, plus, extension, shorter)


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdecimal())

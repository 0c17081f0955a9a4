"""Currencies: codes, symbols and names, the decimals of ISO 4217, and what a symbol may mean."""

from __future__ import annotations

import re

from pipeline.ingest.business.cell_values import (
    CellError,
    CellFormat,
    normalise_word,
    word_table,
)
from schemas.dead_letters import RejectCode

# ISO 4217:2015, list one as of 2026-01 (https://www.six-group.com/en/products-services/
# financial-information/data-standards.html): currencies in use, and those of the euro's last
# members, by their number of decimals.
_CODES_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN"
        " BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS"
        " GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP"
        " LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR"
        " NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP"
        " STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR"
        " ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {
    code: decimals for decimals, codes in _CODES_BY_DECIMALS.items() for code in codes.split()
}

# Symbols of a single currency.
_SYMBOLS = {
    "RMB": "CNY",
    "CN¥": "CNY",
    "CN￥": "CNY",
    "JP¥": "JPY",
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₩": "KRW",
    "円": "JPY",
    "₽": "RUB",
    "₫": "VND",
    "₺": "TRY",
    "₴": "UAH",
    "₪": "ILS",
    "₱": "PHP",
    "฿": "THB",
    "zł": "PLN",
    "Kč": "CZK",
    "Rp": "IDR",
    "HK$": "HKD",
    "US$": "USD",
    "NT$": "TWD",
    "R$": "BRL",
    "A$": "AUD",
    "AU$": "AUD",
    "C$": "CAD",
    "CA$": "CAD",
    "S$": "SGD",
    "NZ$": "NZD",
    "MX$": "MXN",
    "MOP$": "MOP",
}
# Symbols that several currencies use: the column, the header or the region of the installation
# decides.
_DOLLARS = "USD HKD TWD SGD AUD CAD NZD MOP MXN BRL ARS CLP COP"
_AMBIGUOUS = {
    symbol: frozenset(codes.split())
    for symbol, codes in {
        "¥": "CNY JPY",
        "￥": "CNY JPY",
        "元": "CNY TWD HKD MOP SGD",
        "圓": "TWD HKD MOP JPY",
        "块": "CNY",
        "$": _DOLLARS,
        "＄": _DOLLARS,
        "kr": "SEK NOK DKK ISK",
        "kr.": "DKK ISK",
        "Rs": "INR PKR LKR NPR MUR",
        "Rs.": "INR PKR LKR NPR MUR",
    }.items()
}
# The currency of a region, for the symbols above.
_REGIONS = {
    "CN": "CNY",
    "JP": "JPY",
    "TW": "TWD",
    "HK": "HKD",
    "MO": "MOP",
    "SG": "SGD",
    "US": "USD",
    "CA": "CAD",
    "AU": "AUD",
    "NZ": "NZD",
    "MX": "MXN",
    "SE": "SEK",
    "NO": "NOK",
    "DK": "DKK",
    "IS": "ISK",
}
_NAMES = word_table(
    {
        "CNY": "人民币|人民幣|RMB|yuan|中国元|人民币元|人民幣元",
        "USD": "美元|美金|US dollar|US dollars",
        "EUR": "欧元|歐元|euro|euros",
        "HKD": "港币|港幣|港元",
        "TWD": "新台币|新台幣|新臺幣|台币|台幣|NTD",
        "JPY": "日元|日圆|日圓|円",
        "GBP": "英镑|英鎊",
        "KRW": "韩元|韓元",
        "SGD": "新加坡元|新币",
    }
)
_CODE = re.compile(r"[A-Za-z]{3}")


def decimals_of(currency: str) -> int | None:
    """Return the decimals of a currency by ISO 4217, or None for an unknown code.

    >>> decimals_of("EUR"), decimals_of("KWD"), decimals_of("CLP"), decimals_of("ABC")
    (2, 3, 0, None)
    """
    return _DECIMALS.get(currency)


def read_currency(text: str, cell_format: CellFormat) -> str:
    """Return the ISO 4217 code of a currency written as code, symbol or name. Raises CellError.

    >>> read_currency("人民币", CellFormat())
    'CNY'
    """
    if code := _symbol(text, cell_format) or _NAMES.get(normalise_word(text)):
        return code
    if text in _AMBIGUOUS:
        raise CellError(RejectCode.SCHEMA_VALUE, ambiguous_symbol(text))
    if not _CODE.fullmatch(text):
        raise CellError(
            RejectCode.SCHEMA_VALUE, "it is not a currency; write the ISO 4217 code, such as CNY"
        )
    return text.upper()


def _symbol(text: str, cell_format: CellFormat) -> str | None:
    if text in _AMBIGUOUS:
        code = _REGIONS.get(cell_format.region or "")
        return code if code in _AMBIGUOUS[text] else None
    return _SYMBOLS.get(text)


def is_ambiguous_symbol(text: str) -> bool:
    """Return whether a text is a symbol of several currencies.

    >>> is_ambiguous_symbol("元"), is_ambiguous_symbol("€")
    (True, False)
    """
    return text in _AMBIGUOUS


def ambiguous_symbol(symbol: str) -> str:
    """Return the question that a symbol of several currencies asks.

    >>> ambiguous_symbol("kr.")
    "'kr.' may be DKK, ISK: add a column currency, use --option currency=DKK, or set `region`"
    """
    codes = sorted(_AMBIGUOUS[symbol])
    return (
        f"{symbol!r} may be {', '.join(codes)}: add a column currency, use --option"
        f" currency={codes[0]}, or set `region`"
    )


def currency_beside(words: str) -> tuple[str | None, str]:
    """Return the currency that the words beside an amount name, and a symbol of several.

    Raises CellError for any other words.

    >>> currency_beside("HK$"), currency_beside("$"), currency_beside("")
    (('HKD', ''), (None, '$'), (None, ''))
    """
    if not words or words in _AMBIGUOUS:
        return None, words
    currency = _SYMBOLS.get(words) or _NAMES.get(normalise_word(words))
    if currency is None and not _CODE.fullmatch(words):
        raise CellError(
            RejectCode.SCHEMA_TYPE,
            "it is not an amount; write it as 1234.50, and the currency in its own column",
        )
    return currency or words.upper(), ""


def choose_currency(
    column: str | None, beside: str | None, symbol: str, cell_format: CellFormat
) -> str | None:
    """Return the currency of an amount by its column, its words and the options.

    Returns None if nothing names one. Raises CellError if two of them differ, and for a symbol of
    several currencies between which nothing decides.

    >>> choose_currency("JPY", None, "￥", CellFormat())
    'JPY'
    """
    stated = column or beside or cell_format.currency
    if column and beside and column != beside:
        what = f"the amount is in {beside}, the column of the currency says {column}"
        raise CellError(RejectCode.SCHEMA_VALUE, what)
    if not symbol:
        return stated
    if stated is None:
        if code := _symbol(symbol, cell_format):
            return code
        raise CellError(RejectCode.SCHEMA_MISSING_FIELD, ambiguous_symbol(symbol))
    # The list of dollars is not complete: any code may stand beside `$`.
    if stated not in _AMBIGUOUS[symbol] and symbol not in "$＄":
        what = f"{symbol!r} is beside the amount, and the currency is {stated}"
        raise CellError(RejectCode.SCHEMA_VALUE, what)
    return stated

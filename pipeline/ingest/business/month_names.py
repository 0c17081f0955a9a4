"""Names of months in dates, in the languages in which a word names one month only."""

from __future__ import annotations

import unicodedata

from pipeline.text.nfkc import nfkc

# CLDR's format-wide and format-abbreviated months (https://cldr.unicode.org), a bar between two
# forms of one month.
_MONTHS = (
    # English, and the abbreviation that people write beside CLDR's.
    "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug"
    " september|sep|sept october|oct november|nov december|dec",
    # German
    "januar|jänner|jan februar|feb märz|mär|mrz april|apr mai juni|jun juli|jul august|aug"
    " september|sep|sept oktober|okt november|nov dezember|dez",
    # French
    "janvier|janv février|févr mars avril|avr mai juin juillet|juil août septembre|sept octobre|oct"
    " novembre|nov décembre|déc",
    # Spanish
    "enero|ene febrero|feb marzo|mar abril|abr mayo|may junio|jun julio|jul agosto|ago"
    " septiembre|sept|sep octubre|oct noviembre|nov diciembre|dic",
    # Portuguese
    "janeiro|jan fevereiro|fev março|mar abril|abr maio|mai junho|jun julho|jul agosto|ago"
    " setembro|set outubro|out novembro|nov dezembro|dez",
    # Italian
    "gennaio|gen febbraio|feb marzo|mar aprile|apr maggio|mag giugno|giu luglio|lug agosto|ago"
    " settembre|set ottobre|ott novembre|nov dicembre|dic",
    # Dutch
    "januari|jan februari|feb maart|mrt april|apr mei juni|jun juli|jul augustus|aug september|sep"
    " oktober|okt november|nov december|dec",
    # Swedish
    "januari|jan februari|feb mars|mar april|apr maj juni|jun juli|jul augusti|aug september|sep"
    " oktober|okt november|nov december|dec",
    # Polish
    "stycznia|sty lutego|lut marca|mar kwietnia|kwi maja|maj czerwca|cze lipca|lip sierpnia|sie"
    " września|wrz października|paź listopada|lis grudnia|gru",
    # Russian
    "января|янв февраля|февр|фев марта|мар апреля|апр мая|май июня|июн июля|июл августа|авг"
    " сентября|сент|сен октября|окт ноября|нояб|ноя декабря|дек",
    # Turkish
    "ocak|oca şubat|şub mart|mar nisan|nis mayıs|may haziran|haz temmuz|tem ağustos|ağu eylül|eyl"
    " ekim|eki kasım|kas aralık|ara",
    # Indonesian
    "januari|jan februari|feb maret|mar april|apr mei juni|jun juli|jul agustus|agu september|sep"
    " oktober|okt november|nov desember|des",
)


def _key(word: str) -> str:
    folded = unicodedata.normalize("NFD", nfkc(word).casefold().rstrip("."))
    return "".join(char for char in folded if not unicodedata.combining(char))


def _table() -> dict[str, int]:
    meanings: dict[str, set[int]] = {}
    for language in _MONTHS:
        for number, forms in enumerate(language.split(), start=1):
            for form in forms.split("|"):
                meanings.setdefault(_key(form), set()).add(number)
    return {word: min(numbers) for word, numbers in meanings.items() if len(numbers) == 1}


_NUMBERS = _table()


def month_number(word: str) -> int | None:
    """Return the month that a word names, or None.

    >>> month_number("Aug."), month_number("décembre"), month_number("today")
    (8, 12, None)
    """
    return _NUMBERS.get(_key(word))

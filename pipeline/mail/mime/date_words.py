"""Names of months as mailers write them in the language of their users."""

from __future__ import annotations

# Beginnings of names by month, January first; the longest one that fits decides. Languages:
# English, German, Dutch, Nordic, Finnish, French, Spanish, Portuguese, Italian, Romanian, Polish,
# Czech, Slovak, Hungarian, Turkish, Russian, Ukrainian, Bulgarian, Greek. Croatian, whose listopad
# is October, is not among them: in Polish and Czech it is November.
_MONTH_STEMS = (
    "jan jän ene gen janv ian sty led oca янв січ яну ιαν tammi",
    "feb fév fev lut úno šub şub фев лют φεβ helmi",
    "mar mär mrz maa mrt bře márc мар бер μαρ maalis",
    "apr abr avr kwi dub ápr nis апр кві απρ huhti",
    "may mai maj mag mei kvě máj май мая тра μαΐ μάι touko",
    "jun jui juin giu iun cze čvn červn červen jún haz июн чер юни ιουν kesä",
    "jul juil lug iul lip čvc červenc júl tem июл лип юли ιουλ heinä",
    "aug ago aoû aou sie srp ağu авг сер αυγ elo avg",
    "sep set wrz zář szep eyl сен вер сеп σεπ syys",
    "oct okt out ott paź říj eki окт жов οκτ loka",
    "nov noi lis kas ноя лис ное νοε marras",
    "dec des dez déc dic gru pro ara дек гру δεκ joulu",
)
_MONTH_BY_STEM = {
    stem: month for month, stems in enumerate(_MONTH_STEMS, 1) for stem in stems.split()
}
_LONGEST_STEM = max(map(len, _MONTH_BY_STEM))
_SHORTEST_STEM = min(map(len, _MONTH_BY_STEM))

_HAN_DIGITS = "一二三四五六七八九十"
_HAN_MONTHS = {digit: month for month, digit in enumerate(_HAN_DIGITS, 1)} | {
    "十一": 11,
    "十二": 12,
}


def month_of_word(word: str) -> int | None:
    """Return the month whose name or abbreviation a word is, or None.

    >>> month_of_word("Nov."), month_of_word("févr"), month_of_word("Mo")
    (11, 2, None)
    """
    name = word.strip(".").casefold()
    for length in range(min(len(name), _LONGEST_STEM), _SHORTEST_STEM - 1, -1):
        month = _MONTH_BY_STEM.get(name[:length])
        if month is not None:
            return month
    return None


def month_of_numeral(text: str) -> int | None:
    """Return the month of the number before 月, in digits or Chinese, or None.

    >>> month_of_numeral("11"), month_of_numeral("十一")
    (11, 11)
    """
    month = int(text) if text.isdecimal() else _HAN_MONTHS.get(text)
    return month if month is not None and 1 <= month <= 12 else None

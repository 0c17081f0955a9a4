"""Numbers as words in promises: `three`, `a couple`, 三, 十五, 二十."""

from __future__ import annotations

_EN_NUMBER_WORDS = (
    "zero|a an one|two couple|three few|four|five|six|seven|eight|nine|ten|eleven|twelve"
)
EN_NUMBERS = {
    word: number
    for number, words in enumerate(_EN_NUMBER_WORDS.split("|"))
    for word in words.split()
}
_ZH_DIGITS = {char: number for number, char in enumerate("零一二三四五六七八九")} | {
    "两": 2,
    "几": 3,
}


def parse_number(word: str) -> int:
    """Return the number of digits, an English word or a Chinese number below one hundred.

    >>> parse_number("24"), parse_number("couple"), parse_number("二十五"), parse_number("零五")
    (24, 2, 25, 5)
    """
    if word.isascii() and word.isdigit():
        return int(word)
    if word in EN_NUMBERS:
        return EN_NUMBERS[word]
    if "十" in word:
        tens, _, ones = word.partition("十")
        return (_ZH_DIGITS.get(tens, 1) if tens else 1) * 10 + (
            _ZH_DIGITS.get(ones, 0) if ones else 0
        )
    return _ZH_DIGITS[word[-1]]

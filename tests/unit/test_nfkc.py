"""The linear NFKC gives what Python's own gives."""

import random
import unicodedata

from pipeline.text.nfkc import nfkc

MARKS = [chr(code) for code in range(0x20000) if unicodedata.combining(chr(code))]
# Starters whose decomposition begins with a mark.
DECOMPOSED = [
    char
    for char in map(chr, range(0xD800))
    if not unicodedata.combining(char)
    and unicodedata.combining(unicodedata.normalize("NFKD", char)[0])
] + list("\uff9e\uff9f")


def test_marks_in_any_order_give_the_same() -> None:
    rng = random.Random(1)
    for _ in range(300):
        text = "".join(
            rng.choice(("a", "e", "か", "ﬁ", "한", "\u1100", "\n"))
            + "".join(rng.choices(MARKS + DECOMPOSED * 9, k=rng.choice((0, 1, 3, 31, 40, 90))))
            for _ in range(40)
        )
        assert nfkc(text) == unicodedata.normalize("NFKC", text)


def test_every_character_that_decomposes_to_marks_is_sorted() -> None:
    for mark in DECOMPOSED:
        text = "a" + (mark + "\u0301\u0327") * 400
        assert nfkc(text) == unicodedata.normalize("NFKC", text)

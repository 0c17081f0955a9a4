"""Law of all scanners: twice the text takes at most about twice the time.

The times of two sizes in one run are compared, in a child process that is killed if it hangs;
`make fuzz` does the same with every text, and up to a megabyte.
"""

import re

import pytest

from pipeline.identity.contacts import MAX_CONTACT, contact_points
from pipeline.mail.mime import parse_mail
from schemas.types import Party
from tests.support.growth import Growth, measure
from tests.support.hostile_targets import TARGETS
from tests.support.hostile_texts import FAMILIES, Family, Numbered
from tests.support.pattern_attacks import FoundPattern, find_patterns, pattern_attacks

# A quadratic scanner takes four times the time for each of the sizes in `growth.sizes_up_to`, and
# tens of milliseconds for this one.
LARGEST = 16_384
# Every so many families are measured here, other ones for each target.
EVERY = 100
# What took seconds or minutes before: the target, what its text repeats, and how it begins.
ONCE_SLOW = (
    ("parse_addresses", "a,", ""),
    ("parse_addresses", "a", ""),
    ("RawMail", "a,", ""),
    ("mail with To", "a,", ""),
    ("decode_encoded_words", "=?utf-8?q?a?= ", ""),
    ("html_to_text", "a", "<"),
    ("html_to_text", " ", '<p style="font-size :'),
    ("normalise_email", ".b", "a@"),
    ("contact_points", "\u0301\u0327", "a"),
    ("normalise_word", "\u0301\u0327", "a"),
    ("chat message", " ", "<"),
    ("caller's name", " ", ""),
    ("items of an order", " ", "x"),
    ("header of a table", "a,", ""),
    ("line of a platform", " ", "x"),
    ("due_time", " ", "1"),
    ("requests_in", "给您回电 ", ""),
    ("mail of this text", "\r", "X: a\n"),
    ("parse_parameters", "\u3000", "text/plain; a=b;"),
    ("extract_inline_files", "name=", "=ybegin "),
    ("detect_language", "і", ""),
    ("split_reply", "Sent from" + " , " * 40 + "excus\n\n", "Hi\n\n"),
)


# The few milliseconds that are compared here vary with the machine's other work; `make fuzz`
# compares longer ones, by the exact bar. A quadratic scanner has 4.
MOST_HERE = 2.8


def _slow(growths: list[Growth]) -> list[str]:
    return [
        str(growth)
        for growth in growths
        if growth.killed or growth.error or growth.ratio > MOST_HERE
    ]


def test_a_quadratic_function_is_noticed_and_a_linear_one_is_not() -> None:
    letters = [Family("letters", "a")]
    quadratic = re.compile("a+b")
    assert _slow(list(measure("quadratic", quadratic.search, letters, LARGEST)))
    assert not _slow(list(measure("linear", re.compile("a++b").match, letters, LARGEST)))


def test_a_function_that_hangs_is_killed() -> None:
    endless = re.compile("(?:a|a)+b")
    texts = [Family("letters", "a"), Family("none", "c")]
    killed, linear = measure("endless", endless.search, texts, 1024, budget=0.5)
    assert (killed.killed, linear.killed) == (1024, 0)


@pytest.mark.parametrize(("target", "unit", "start"), ONCE_SLOW)
def test_what_was_slow_once_is_linear(target: str, unit: str, start: str) -> None:
    assert not _slow(
        list(measure(target, TARGETS[target], [Family(f"{start}{unit}", unit, start)], 65_536))
    )


def test_every_target_is_linear() -> None:
    slow = []
    for number, (name, target) in enumerate(TARGETS.items()):
        slow += _slow(list(measure(name, target, FAMILIES[number % EVERY :: EVERY], LARGEST)))
    assert not slow


def test_attacks_of_a_pattern_find_what_is_quadratic() -> None:
    pattern = FoundPattern("x", re.compile(r"a\s*,?\s*;"), ("search",))
    attacks = pattern_attacks(pattern.pattern)
    assert any(growth.slow for growth in measure("x", pattern.run, attacks, 4096))


def test_patterns_of_all_kinds_are_found() -> None:
    names = {pattern.name for pattern in find_patterns("pipeline.mail")}
    assert "pipeline.mail.html_source._TAG" in names
    # One that is written where it is used has the number of its line.
    assert any(re.search(r":\d+\Z", name) for name in names)


def test_addresses_and_references_beyond_the_limit_are_flagged() -> None:
    many = Numbered("addresses", "a{}@example.com,").text(60_000)
    few = parse_mail(b"From: a@b.com\nTo: a@b.com\n\nhi")
    cut = parse_mail(f"From: a@b.com\nTo: {many}\n\nhi".encode())
    assert "header_limited" not in few.flags
    assert (len(cut.to), "header_limited" in cut.flags) == (2_000, True)
    ids = Numbered("ids", "<{}@example.com> ").text(60_000)
    cut = parse_mail(f"From: a@b.com\nReferences: {ids}\n\nhi".encode())
    assert (len(cut.references), "header_limited" in cut.flags) == (1_000, True)


def test_a_contact_beyond_the_limit_identifies_nobody() -> None:
    name = "a" * (MAX_CONTACT - len("@b.com"))
    points = [contact_points(Party(email=f"{more}{name}@b.com"), "x", None) for more in ("", "a")]
    assert [len(found) for found in points] == [1, 0]

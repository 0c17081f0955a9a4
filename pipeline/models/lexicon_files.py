"""Lexicons: lists of terms kept as data files, and the definition of a token."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Final, NamedTuple

from pipeline.text.normal_form import normal_form_version, normalise
from pipeline.text.scripts import UNSPACED_RANGES, character_class

# A token is a word of a spaced script (with inner apostrophes), or any other single character: a
# Han or kana character, a punctuation mark, an emoji. Control characters are no tokens.
_UNSPACED: Final = character_class(UNSPACED_RANGES)
# A character of such a word, and a character of any token, as classes of regular expressions.
WORD_CHARACTER: Final = rf"[^\W{_UNSPACED}]"
TOKEN_CHARACTER: Final = r"[^\s\x00-\x1f\x7f-\x9f]"
_TOKEN: Final = re.compile(rf"{WORD_CHARACTER}+(?:'{WORD_CHARACTER}+)*|{TOKEN_CHARACTER}")

_FILES: Final = "lexicon"
_VOWELS: Final = frozenset("aeiou")


class LexiconEntry(NamedTuple):
    """A term of a head's lexicon in normal form, its group (a label or a role) and its value."""

    head: str
    group: str
    value: float
    term: str


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The entries of all lexicons; `version` is a hash of them and of the normal form of texts.

    No two entries of one head have the same term.
    """

    entries: tuple[LexiconEntry, ...]
    version: str


def tokenise(text: str) -> list[str]:
    """Return the tokens of a text in normal form; `term_scan` does the same for a batch of texts.

    >>> tokenise("don't wait, 退款!")
    ["don't", 'wait', ',', '退', '款', '!']
    """
    return _TOKEN.findall(text)


@cache
def lexicon() -> Lexicon:
    """Return the lexicons shipped with the package.

    Raises ValueError if two entries of one head have the same term, because its meaning would then
    depend on their order.
    """

    explicit: dict[tuple[str, str], LexiconEntry] = {}
    inflected: dict[tuple[str, str], LexiconEntry] = {}
    for name, text in _list_files():
        table = tomllib.loads(text)
        for row in table["terms"]:
            head, group, value = (
                row.get("head", table["head"]),
                row.get("group", ""),
                float(row.get("value", 1.0)),
            )
            for term in _terms_of(row):
                forms = list(_inflections(term)) if "~" in term else [term]
                known = inflected if "~" in term else explicit
                for form in forms:
                    entry = LexiconEntry(head, group, value, normalise(form))
                    key = (head, entry.term)
                    if known is explicit and known.get(key, entry) != entry:
                        raise ValueError(
                            f"{name}: two entries of the head {head} have the term {form!r}"
                        )
                    known[key] = entry
    entries = tuple((inflected | explicit).values())
    content = json.dumps([normal_form_version(), entries])
    return Lexicon(entries, sha256(content.encode()).hexdigest()[:12])


def _list_files() -> list[tuple[str, str]]:
    folder = resources.files("pipeline.models").joinpath(_FILES)
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    return sorted((file.name, file.read_text("utf-8")) for file in files)


def _terms_of(row: Mapping[str, str]) -> list[str]:
    english = [term.strip() for term in row.get("en", "").replace("\n", " ").split(",")]
    return [term for term in english if term] + row.get("zh", "").split()


def _inflections(term: str) -> Iterator[str]:
    """Yield a term with each word marked by "~" in its regular English forms.

    A form that does not exist does no harm.
    """
    word, _, rest = term.partition("~")
    before, _, stem = word.rpartition(" ")
    for form in _forms_of(stem):
        whole = f"{before} {form}" if before else form
        if "~" in rest:
            yield from (whole + tail for tail in _inflections(rest))
        else:
            yield whole + rest


def _forms_of(word: str) -> list[str]:
    forms = [word, word + "s", word + "'s"]
    if word.endswith("e"):
        forms += [word + "d", word[:-1] + "ing", word[:-1] + "er"]
    elif word.endswith("y") and len(word) > 2 and word[-2] not in _VOWELS:
        forms += [word[:-1] + "ies", word[:-1] + "ied", word + "ing"]
    else:
        forms += [
            word + "es",
            word + "ed",
            word + "ing",
            word + word[-1] + "ed",
            word + word[-1] + "ing",
        ]
    return forms

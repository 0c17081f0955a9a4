"""Lists of words and phrases, kept as data files, and one pass over a text that finds those of every list."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Final, NamedTuple

from pipeline.models.characters import normalise

# A token is a word of a spaced script (inner apostrophes included), or any one character else: a Han or kana character,
# a punctuation mark, an emoji. Control characters are none.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3031-\u3035\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN: Final = re.compile(rf"[^\W{_UNSPACED}]+(?:'[^\W{_UNSPACED}]+)*|[^\s\x00-\x1f\x7f-\x9f]")

_FILES: Final = "lexicon"
_NOT_LISTS: Final = "han_variants.toml"
_VOWELS: Final = frozenset("aeiou")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a term means to one head: the group it belongs to (a label or a role) and a value."""

    head: str
    group: str
    value: float


class Match(NamedTuple):
    """A term found in a text: the tokens it spans (end exclusive), its meaning and its words."""

    start: int
    end: int
    group: str
    value: float
    term: str


@dataclass(slots=True)
class _Node:
    """A place in the tree: what may follow, and the meanings (head, group, value, term) of what ends here."""

    after: dict[str, _Node] = field(default_factory=dict)
    entries: list[tuple[str, str, float, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All lists as one tree of tokens; `version` is a hash of the lists' contents."""

    root: Mapping[str, _Node]
    version: str

    def find(self, tokens: Sequence[str]) -> dict[str, list[Match]]:
        """Return each head's matches in order of their start; of overlapping ones the leftmost, then the longest."""
        found: dict[str, list[Match]] = {}
        free: dict[str, int] = {}
        begin, count = self.root.get, len(tokens)
        for start, token in enumerate(tokens):
            node = begin(token)
            if node is None:
                continue
            hits = None
            end = start + 1
            while True:
                if node.entries:
                    hits = [*hits, (end, node.entries)] if hits else [(end, node.entries)]
                if end == count:
                    break
                node = node.after.get(tokens[end])
                if node is None:
                    break
                end += 1
            if hits is None:
                continue
            for end, entries in reversed(hits):
                for head, group, value, term in entries:
                    if free.get(head, 0) <= start:
                        free[head] = end
                        match = Match(start, end, group, value, term)
                        if head in found:
                            found[head].append(match)
                        else:
                            found[head] = [match]
        return found


def tokenise(text: str) -> list[str]:
    """Return the tokens of a text in normal form (`characters.normalise`)."""
    return _TOKEN.findall(text)


@cache
def lexicon() -> Lexicon:
    """Return the lists shipped with the package.

    Raises ValueError when a term stands in two entries of one head, which would make its meaning depend on their order.
    """
    digest = sha256()
    explicit: dict[tuple[str, str], Entry] = {}
    inflected: dict[tuple[str, str], Entry] = {}
    for name, text in _list_files():
        digest.update(name.encode() + b"\0" + text.encode() + b"\0")
        content = tomllib.loads(text)
        for row in content["terms"]:
            entry = Entry(row.get("head", content["head"]), row.get("group", ""), float(row.get("value", 1.0)))
            for term in _terms_of(row):
                forms = list(_inflections(term)) if "~" in term else [term]
                known = inflected if "~" in term else explicit
                for form in forms:
                    key = (entry.head, normalise(form))
                    if known is explicit and known.get(key, entry) != entry:
                        raise ValueError(f"{name}: {form!r} stands in two entries of the head {entry.head}")
                    known[key] = entry
    root = _Node()
    for (head, term), entry in (inflected | explicit).items():
        node = root
        for token in tokenise(term):
            node = node.after.setdefault(token, _Node())
        node.entries.append((head, entry.group, entry.value, term))
    return Lexicon(root.after, digest.hexdigest()[:12])


def _list_files() -> list[tuple[str, str]]:
    folder = resources.files("pipeline.models").joinpath(_FILES)
    files = [file for file in folder.iterdir() if file.name.endswith(".toml") and file.name != _NOT_LISTS]
    return sorted((file.name, file.read_text("utf-8")) for file in files)


def _terms_of(row: Mapping[str, str]) -> list[str]:
    english = [term.strip() for term in row.get("en", "").replace("\n", " ").split(",")]
    return [term for term in english if term] + row.get("zh", "").split()


def _inflections(term: str) -> Iterator[str]:
    """Yield a term with every word that carries a "~" in its regular English forms (a form too many does no harm)."""
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
        forms += [word + "es", word + "ed", word + "ing", word + word[-1] + "ed", word + word[-1] + "ing"]
    return forms

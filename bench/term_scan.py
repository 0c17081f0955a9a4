"""Measure the term scan of the rules, compared with pyahocorasick, on real texts.

`python bench/term_scan.py --data ../shared/data`, with pyahocorasick installed too
(`pip install pyahocorasick==2.3.1`; it is not a dependency of Switchboard). Both read texts in
normal form and give the columns of a `TermScan`: the tokens of all texts, and for each head the
leftmost longest matches of its terms, which begin and end at bounds of tokens. `automaton alone`
only iterates over the matches of pyahocorasick; `with arrays` selects them and gives the columns,
which are compared with ours first. Times are CPU microseconds per text, the lowest of several
rounds.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ahocorasick
import numpy as np
from models_data import load

from pipeline.models.term_scan import (
    TermScan,
    _token_kinds,
    _tokenise,
    code_points_of,
    scan_terms,
    term_vocabulary,
)
from pipeline.text.normal_form import normalise

ENGLISH = ("banking77", "airline", "sms")
CHINESE = ("waimai", "shopping", "spam_sms")
TEXTS, BATCH, ROUNDS, SEED = 6_000, 500, 3, 7


def automaton() -> ahocorasick.Automaton:
    """Return the automaton of all terms, each with the numbers of its entries."""
    built = ahocorasick.Automaton()
    numbers: dict[str, list[int]] = {}
    for number, entry in enumerate(term_vocabulary().entries):
        numbers.setdefault(entry.term, []).append(number)
    for term, entries in numbers.items():
        built.add_word(term, (len(term), tuple(entries)))
    built.make_automaton()
    return built


def iterate(built: ahocorasick.Automaton, texts: Sequence[str]) -> int:
    """Return the number of matches of all texts, before any selection."""
    return sum(sum(1 for _ in built.iter(text)) for text in texts)


def scan(built: ahocorasick.Automaton, heads: Sequence[str], texts: Sequence[str]) -> TermScan:
    """Return the columns of a scan, from the matches of the automaton and our compiled tokens."""
    codes, bounds = code_points_of(texts)
    tokens, token_starts, token_ends = _tokenise(codes, bounds, _token_kinds())
    entries = term_vocabulary().entries
    starts_at = dict(zip(token_starts.tolist(), range(len(token_starts)), strict=True))
    ends_at = dict(zip(token_ends.tolist(), range(1, len(token_ends) + 1), strict=True))
    first, columns = 0, ([], [], [])
    matches = [0]
    for text in texts:
        candidates = []
        for last, (length, numbers) in built.iter(text):
            start = starts_at.get(first + last + 1 - length)
            end = ends_at.get(first + last + 1)
            if start is not None and end is not None:
                candidates += [(start, -end, number) for number in numbers]
        candidates.sort()
        free = dict.fromkeys(heads, 0)
        for start, negative_end, number in candidates:
            head = entries[number].head
            if free[head] <= start:
                free[head] = -negative_end
                for column, value in zip(columns, (start, -negative_end, number), strict=True):
                    column.append(value)
        matches.append(len(columns[0]))
        first += len(text)
    arrays = [np.array(column, dtype=np.int32) for column in (matches, *columns)]
    return TermScan(codes, bounds, tokens, token_starts, token_ends, *arrays)


def matches_of(scanned: TermScan, text: int) -> list[tuple[int, ...]]:
    """Return the starts, ends and entries of a text's matches, sorted."""
    part = slice(scanned.match_bounds[text], scanned.match_bounds[text + 1])
    columns = (scanned.match_starts, scanned.match_ends, scanned.match_entries)
    return sorted(zip(*(column[part].tolist() for column in columns), strict=True))


def cost(action: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """Return CPU microseconds per text, in batches, the lowest of several rounds."""
    lowest = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for first in range(0, len(texts), BATCH):
            action(texts[first : first + BATCH])
        lowest = min(lowest, time.process_time() - start)
    return 1e6 * lowest / len(texts)


def main() -> None:
    """Print the costs of both languages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    built, heads = automaton(), term_vocabulary().heads
    for language, names in (("English", ENGLISH), ("Chinese", CHINESE)):
        texts = [normalise(text) for name in names for text, _ in load(options.data, name)]
        random.Random(SEED).shuffle(texts)
        texts = texts[:TEXTS]
        ours, theirs = scan_terms(texts), scan(built, heads, texts)
        agree = sum(
            matches_of(ours, text) == matches_of(theirs, text) for text in range(len(texts))
        )
        mean = sum(map(len, texts)) / len(texts)
        print(
            f"{language}: {len(texts):,} texts of {mean:.0f} characters,"
            f" {len(ours.match_entries) / len(texts):.1f} matches; texts with the same matches:"
            f" {100 * agree / len(texts):.2f} %"
        )
        print(f"  ours {cost(scan_terms, texts):.1f} µs")
        print(f"  automaton alone {cost(lambda batch: iterate(built, batch), texts):.1f} µs")
        print(f"  with arrays {cost(lambda batch: scan(built, heads, batch), texts):.1f} µs")


if __name__ == "__main__":
    sys.exit(main())

"""The compiled passes over a batch of texts say what the plain definitions of
`tests.support.lexicon_reference` say, bit by bit.
"""

from __future__ import annotations

import csv
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.models import spam_signals
from pipeline.models.clauses import split_clauses
from pipeline.models.lexicon_files import lexicon, tokenise
from pipeline.models.lexicon_reading import LexiconReading, read_texts
from pipeline.models.term_matches import whole_texts
from pipeline.models.term_scan import SEPARATOR, scan_terms, term_vocabulary
from pipeline.text.normal_form import READ_CHARACTERS, normalise
from tests.support import lexicon_reference as plain

WORDS = sorted({entry.term for entry in lexicon().entries})
GLUE = [
    "",
    " ",
    ", ",
    ". ",
    "!",
    "? ",
    "，",
    "？",
    "。",
    "\n",
    " and ",
    " but ",
    "但是",
    "另外",
    "'",
    "\u200b",
]
# What begins, ends or breaks a pattern or a token, in scripts with blanks and without.
ODD = (
    "aB xX019',.;!?:-/%…。~$£€¥元万ugpthwcnsr很不好吗另外还有"
    " \u3000\u00a0\u2028\x00\x1f\x85\ud800😡ก日ー한٣ßİΣé\u0301ﬁ①"
)

phrases = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GLUE)), max_size=25).map(
    lambda pairs: "".join(part for pair in pairs for part in pair)
)
texts = st.one_of(st.text(max_size=100), st.text(alphabet=ODD, max_size=100), phrases)


def agree(raws: Sequence[str]) -> None:
    """Hold what is read of texts together against the plain definitions, text by text, their
    clauses too.
    """
    normal = [normalise(raw) for raw in raws]
    together = read_texts(raws, normal)
    for reading, raw, text in zip(together, raws, normal, strict=True):
        tokens = tokenise(text)
        agree_on(reading, tokens, 0, len(tokens))
        assert spam_signals.signal_weight(reading.spam_signals, text) == plain.spam_signals(
            raw[:READ_CHARACTERS], text
        )
    for reading, parts in zip(together, split_clauses(together), strict=True):
        tokens = tokenise(reading.text)
        spans = plain.spans(tokens)
        assert [part.text for part in parts] == [
            " ".join(tokens[first:last]) for first, last in spans
        ]
        for part, (first, last) in zip(parts, spans, strict=True):
            agree_on(part, tokens, first, last)


def agree_on(reading: LexiconReading, tokens: Sequence[str], first: int, last: int) -> None:
    assert reading.size == last - first
    assert reading.tokens == tokens[first:last]
    found = plain.find(tokens, first, last)
    for head in term_vocabulary().heads:
        if head != SEPARATOR:
            assert reading.entries_of(head) == plain.distinct(found.get(head, ()))
    assert (reading.polarity, reading.sentiment_terms) == plain.polarity(
        tokens[first:last], found.get("sentiment", ())
    )


@settings(deadline=None, max_examples=400)
@given(st.lists(texts, max_size=6))
@example([])
@example(["", "\ud800", "\x00"])
@example(["it's 'quoted' o'clock' 'tis rock'n'roll a''b", "don't"])
@example(
    ["not, good; not very good. any good offers? good!!! but bad", "不太好，但是很好吃吗？好。好"]
)
def test_batch_reading_equals_the_reference(raws: list[str]) -> None:
    agree(raws)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters()), max_size=60))
def test_normal_form_equals_its_unicode_definition(text: str) -> None:
    unseen = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
    apostrophes = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'"))
    plainly = unseen.sub(
        "", unicodedata.normalize("NFKC", text).lower()[:READ_CHARACTERS].translate(apostrophes)
    )
    han = re.compile("[\u4e00-\u9fff]")
    assert han.sub("字", normalise(text)) == han.sub("字", plainly)


def test_tokens_of_every_code_point_equal_the_pattern() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    texts = [f"a{one}b" for one in characters]
    found = scan_terms(texts)
    assert np.array_equal(np.diff(found.token_bounds), [len(tokenise(text)) for text in texts])
    several = [
        f"{first}{second} {first}'{second}" for first, second in pairwise(characters[:0x3100])
    ]
    assert np.array_equal(
        np.diff(scan_terms(several).token_bounds), [len(tokenise(text)) for text in several]
    )


def test_spam_signals_of_code_points_equal_the_patterns() -> None:
    # All of the first two planes, whose letters, digits and blanks are many, and some of the
    # others.
    characters = [chr(code) for code in (*range(0x20000), *range(0x20000, sys.maxunicode + 1, 97))]
    for form in ("ABCD{} EFGH {}IJKL", "12{}45", "{}$1", "5{}%", "9{}usd", ".com{}"):
        raws = [form.replace("{}", one) for one in characters]
        shown = spam_signals.detect_signals(raws, scan_terms(raws))
        assert [spam_signals.signal_weight(*each) for each in zip(shown, raws, strict=True)] == [
            plain.spam_signals(raw, raw) for raw in raws
        ]


def test_matches_are_ordered_and_do_not_overlap_within_a_head() -> None:
    found = scan_terms([" ".join(WORDS[:900]), "", "".join(WORDS[-900:])])
    heads = np.array([entry.head for entry in term_vocabulary().entries])[found.match_entries]
    assert np.all(np.diff(found.match_starts) >= 0)
    for head in term_vocabulary().heads:
        own = heads == head
        assert np.all(found.match_ends[own][:-1] <= found.match_starts[own][1:])


def test_every_term_of_every_head_matches_itself() -> None:
    for head in dict.fromkeys(entry.head for entry in lexicon().entries):
        terms = [entry.term for entry in lexicon().entries if entry.head == head]
        segments = whole_texts(scan_terms(terms))
        for index, term in enumerate(terms):
            assert [tokenise(entry.term) for entry in segments.entries_of(index, head)] == [
                tokenise(term)
            ]


def test_head_without_lexicon_has_no_entries() -> None:
    (reading,) = read_texts(["refund"], ["refund"])
    assert reading.entries_of("colour") == []


def test_long_text_full_of_terms_equals_the_reference() -> None:
    agree(
        ["好吗" * 1000, "not good? " * 300, ("bad, " * 400) + "but good", "a" * 5000, "，" * 3000]
    )


def test_clauses_of_different_batches_are_refused() -> None:
    (one,), (other,) = (read_texts([text], [text]) for text in ("a b, c d", "e f, g h"))
    with pytest.raises(ValueError, match="readings of one batch"):
        split_clauses([one, other])


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "column"),
    [
        ("text_zh/waimai_10k/waimai_10k.csv", "review"),
        ("text_en/airline_tweets/tweets.csv", "text"),
        ("text_en/sms_spam/sms_spam.csv", "text"),
        ("text_zh/smp2017_ecdt/train.csv", "text"),
    ],
)
def test_real_texts_equal_the_reference(shared_data: Path, path: str, column: str) -> None:
    agree(list(_column(shared_data / path, column))[::7])


@pytest.mark.data
def test_real_mails_equal_the_reference(shared_data: Path) -> None:
    files = sorted(path for path in (shared_data / "email_raw").rglob("*") if path.is_file())
    agree([path.read_bytes()[:8000].decode("utf-8", "surrogateescape") for path in files])


def _column(path: Path, column: str) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as file:
        yield from (row[column] for row in csv.DictReader(file))

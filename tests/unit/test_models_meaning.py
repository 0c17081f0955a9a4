"""Laws of the texts' meanings: means of static word vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.adapters import extract_raw
from pipeline.models.word_vectors import (
    DIMENSIONS,
    LATIN_DIMENSIONS,
    word_vectors,
    word_vectors_version,
)


def meaning(text: str) -> npt.NDArray[np.float32]:
    return extract_raw([text]).embeddings[0]


def likeness(one: str, other: str) -> float:
    return float(meaning(one) @ meaning(other))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_a_meaning_is_of_length_one_or_nothing(text: str) -> None:
    found = meaning(text)
    assert found.shape == (DIMENSIONS,)
    assert float(found @ found) == pytest.approx(1.0 if found.any() else 0.0, abs=1e-5)


@pytest.mark.parametrize("text", ["", "  ", "123 456", "?!", "😀", "привет", "가격"])
def test_what_holds_no_known_word_means_nothing(text: str) -> None:
    assert not meaning(text).any()


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("refund", "reimbursement", "weather"),
        ("my parcel has not arrived", "the package was never delivered", "i forgot my password"),
        ("退款", "退货", "天气"),
        ("手机", "电话", "水果"),
        ("手機", "电话", "水果"),
    ],
)
def test_likeness_follows_meaning(text: str, near: str, far: str) -> None:
    assert likeness(text, near) > likeness(text, far)


def test_the_languages_have_their_own_dimensions_and_share_by_their_words() -> None:
    mixed = meaning("please help 手机")
    shares = [float(part @ part) for part in (mixed[:LATIN_DIMENSIONS], mixed[LATIN_DIMENSIONS:])]
    assert shares == pytest.approx([2 / 3, 1 / 3], abs=1e-5)
    assert likeness("please help", "手机") == 0.0


def test_a_word_is_cut_into_its_longest_pieces_from_the_beginning() -> None:
    known = word_vectors()
    assert len(known.latin) + len(known.han) == int((known.rows >= 0).sum())
    assert likeness("unhappiness", "unhappy") > likeness("unhappiness", "parcel")


def test_the_order_of_words_does_not_count() -> None:
    assert np.array_equal(meaning("late parcel"), meaning("parcel late"))


def test_the_vectors_have_a_version() -> None:
    assert len(word_vectors_version()) == 12

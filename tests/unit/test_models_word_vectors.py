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
def test_embedding_has_length_one_or_zero(text: str) -> None:
    found = meaning(text)
    assert found.shape == (DIMENSIONS,)
    assert float(found @ found) == pytest.approx(1.0 if found.any() else 0.0, abs=1e-5)


@pytest.mark.parametrize("text", ["", "  ", "123 456", "?!", "😀", "привет", "가격"])
def test_text_without_known_words_has_a_zero_embedding(text: str) -> None:
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
def test_similar_texts_have_similar_embeddings(text: str, near: str, far: str) -> None:
    assert likeness(text, near) > likeness(text, far)


def test_languages_have_their_own_dimensions_weighted_by_words() -> None:
    mixed = meaning("please help 手机")
    shares = [float(part @ part) for part in (mixed[:LATIN_DIMENSIONS], mixed[LATIN_DIMENSIONS:])]
    assert shares == pytest.approx([2 / 3, 1 / 3], abs=1e-5)
    assert likeness("please help", "手机") == 0.0


def test_word_is_split_greedily_into_longest_pieces() -> None:
    known = word_vectors()
    assert len(known.latin) + len(known.han) == int((known.rows >= 0).sum())
    assert likeness("unhappiness", "unhappy") > likeness("unhappiness", "parcel")


def test_embedding_does_not_depend_on_word_order() -> None:
    assert np.array_equal(meaning("late parcel"), meaning("parcel late"))


def test_word_vectors_have_a_version() -> None:
    assert len(word_vectors_version()) == 12

"""n-grams for scikit-learn: the pipeline's own tokens, in Chinese as in English, each text by
itself.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import mutual_info_classif

from pipeline.models.evaluation.candidates import Components, presence_information
from pipeline.models.evaluation.ngram_counts import (
    FAMILY_COLUMNS,
    MinimumDocuments,
    NgramColumns,
    character_ngrams,
    count_ngrams,
    ngrams_of_columns,
    token_ngrams,
)
from tests.support.labelled_texts import labelled_texts


def test_tokens_of_english_are_words_and_pairs() -> None:
    assert token_ngrams("I DON'T know!") == [
        "i",
        "don't",
        "know",
        "!",
        "i don't",
        "don't know",
        "know !",
    ]
    assert character_ngrams("Go on") == ["_go", "go_", "_go_", "_on", "on_", "_on_"]


def test_tokens_of_chinese_are_characters_in_ones_twos_and_threes() -> None:
    assert token_ngrams("要退款") == ["要", "退", "款", "要 退", "退 款", "要退款"]
    assert token_ngrams("要退款") == token_ngrams("要退款\u200b")
    assert character_ngrams("要退款") == []
    assert "退款" not in token_ngrams("退 money 款")


@given(st.lists(st.text(max_size=30), max_size=5), st.text(max_size=30))
def test_counts_of_a_text_depend_on_that_text_alone(others: list[str], text: str) -> None:
    alone = count_ngrams([text])
    beside = count_ngrams([*others, text])[len(others)]
    assert (alone != beside).nnz == 0
    assert alone.shape == (1, 2 * FAMILY_COLUMNS)
    assert alone.sum() == len(token_ngrams(text)) + len(character_ngrams(text))


def test_columns_map_back_to_ngrams() -> None:
    texts = ["要退款", "refund please", "refund now"]
    counts = count_ngrams(texts)
    columns = np.flatnonzero(counts.getnnz(axis=0) >= 2).tolist()
    found = ngrams_of_columns(columns, texts)
    assert set(found) == set(columns)
    assert {"refund", "_ref", "fund_"} <= set(found.values())
    assert ngrams_of_columns([], texts) == {}


def test_ngrams_occur_in_at_least_two_training_texts() -> None:
    texts = ["refund please", "refund now", "要退款", "退款"]
    grams = NgramColumns.of(count_ngrams(texts))
    names = ngrams_of_columns(grams.columns.tolist(), texts)
    assert sorted(names[column] for column in grams.columns[: grams.tokens].tolist()) == sorted(
        ["refund", "退", "款", "退 款"]
    )
    weights = grams.tfidf_step().fit(grams.counts(texts))
    assert weights.transform(grams.counts(["refund", "other words", ""])).shape == (
        3,
        len(grams.columns),
    )
    assert np.array_equal(grams.columns_after(weights), grams.columns)


@pytest.mark.parametrize("texts", [["a"], ["一", "二"], ["!", "?"], ["", ""]])
def test_texts_with_nothing_in_common_still_have_a_column_in_each_family(texts: list[str]) -> None:
    grams = NgramColumns.of(count_ngrams(texts))
    assert 0 < grams.tokens < len(grams.columns)
    weights = grams.tfidf_step().fit_transform(grams.counts(texts))
    assert np.isfinite(sp.csr_matrix(weights).toarray()).all()


def test_minimum_documents_selects_frequent_columns() -> None:
    counts = sp.csr_matrix(np.array([[1, 3, 0, 2], [0, 1, 0, 1], [0, 0, 0, 5]]))
    assert MinimumDocuments(2).fit(counts).get_support().tolist() == [False, True, False, True]
    assert MinimumDocuments(4).fit(counts).get_support().tolist() == [False, False, False, True]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_presence_information_equals_scikit_learn(seed: int, labels: int) -> None:
    dice = np.random.default_rng(seed)
    counts = sp.csr_matrix(dice.poisson(0.7, (30, 8)) * dice.random((30, 8)))
    y = np.array([f"label {n}" for n in dice.integers(0, labels, 30)], dtype=object)
    expected = mutual_info_classif((counts > 0).astype(int).toarray(), y, discrete_features=True)
    assert np.allclose(presence_information(counts, y), expected, atol=1e-12)


def test_components_are_as_many_as_texts_and_columns_allow() -> None:
    counts = count_ngrams([row.text for row in labelled_texts(12)])
    small = counts[:, np.flatnonzero(counts.getnnz(axis=0) >= 2)].astype(float)
    assert Components(150).fit(small).transform(small).shape == (12, 11)
    assert Components(3).fit(small).transform(small).shape == (12, 3)

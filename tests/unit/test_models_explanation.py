"""Explanations of answers: contributions of n-grams and hints."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.explanation import UNATTRIBUTED, explain, top_contributions
from pipeline.models.features import extract_features, size_buckets
from pipeline.models.inference import RuleHints
from pipeline.models.learner import Learner
from pipeline.models.replica import Replica
from pipeline.text.normal_form import normalise


def example(value: str, text: str, head: str = "need") -> dict[str, Any]:
    return {"kind": "example", "head": head, "value": value, "text": text, "weight": 1.0}


@pytest.mark.parametrize(
    "text", ["please refund the broken kettle", "请退款，水壶坏了", "", "!!! 99 $", "ab"]
)
def test_contributions_add_up_to_the_probabilities(text: str) -> None:
    learner = Learner(("a", "b", "c"))
    for word, label in (("refund 退款", "a"), ("kettle 水壶", "b"), ("99 !!!", "c")) * 5:
        learner.learn(extract_features([normalise(word)]), label)
    model, features = learner.inference_model(), extract_features([normalise(text)])
    hints = RuleHints(np.array([1]), np.array([0.7], dtype=np.float32))
    parts, hint = model.contributions(features, hints)
    scores = parts.sum(axis=0) + hint
    odds = np.exp(scores - scores.max())
    assert odds / odds.sum() == pytest.approx(model.predict_proba(features, hints)[0], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "value", "telling"),
    [
        ("the zorgle fell down again", "technical_support", "zorgle"),
        ("我的吱呜掉下来了", "technical_support", "吱呜"),
    ],
)
def test_explanation_names_the_deciding_words_in_both_languages(
    text: str, value: str, telling: str
) -> None:
    replica = Replica()
    for offset in range(80):
        one = (f"a zorgle number {offset}", f"吱呜第{offset}个")[offset // 2 % 2]
        other = (f"some soup of {offset}", f"汤第{offset}碗")[offset // 2 % 2]
        replica.apply(example(value, one) if offset % 2 else example("other", other), offset)
    why = explain(replica.classifier(), text)["need"]
    assert (why.answer.label, why.answer.source) == (value, "model")
    (word, weight), *_ = top_contributions(why.contributions, value, 3)
    assert word in telling or telling in word
    assert weight > 0
    assert sum(why.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    # Nothing of the score is left out: every feature belongs to one piece.
    features = extract_features([normalise(text)])
    model = next(view.model for view in replica.classifier().views if view.head.name == "need")
    assert model is not None
    parts, _ = model.contributions(features, RuleHints.none(1))
    index = model.labels.index(value)
    assert sum(piece.weights[value] for piece in why.contributions) == pytest.approx(
        float(parts[:, index].sum()), abs=1e-4
    )


@pytest.mark.parametrize("text", ["gnarp blorf", "吱呜 汤", "a 12 b 345"])
def test_size_features_are_unattributed(text: str) -> None:
    features = extract_features([text])
    sizes = size_buckets(text)
    assert len(sizes) == 2
    assert sizes <= set(features.buckets.tolist())
    replica = Replica()
    for offset in range(60):
        replica.apply(
            example(
                "account" if offset % 2 else "other", f"{'x' * (1 + offset % 2 * 40)} {offset}"
            ),
            offset,
        )
    (other,) = [
        piece
        for piece in explain(replica.classifier(), text)["need"].contributions
        if piece.text == UNATTRIBUTED
    ]
    model = next(view.model for view in replica.classifier().views if view.head.name == "need")
    assert model is not None
    parts, _ = model.contributions(features, RuleHints.none(1))
    own = parts[np.isin(features.buckets, list(sizes))].sum(axis=0)
    assert [other.weights[label] for label in model.labels] == pytest.approx(own.tolist(), abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=60), st.sampled_from(["inbound", "outbound", ""]))
def test_any_text_can_be_explained(text: str, direction: str) -> None:
    classifier = Replica().classifier()
    found = explain(classifier, text, direction)
    assert {head: why.answer for head, why in found.items()} == classifier.classify(
        [text], [direction]
    )[0]

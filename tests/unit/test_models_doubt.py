"""Abstention at a target precision, several answers of one text, and what an answer is explained
by.
"""

from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.abstention import NEVER, ConfidenceHistogram
from pipeline.models.classifier import Classifier, HeadPrediction
from pipeline.models.clauses import ClauseAnswer, merge_answers, split_clauses
from pipeline.models.explanation import UNATTRIBUTED, explain, top_contributions
from pipeline.models.features import extract_features, size_buckets
from pipeline.models.heads import HEADS
from pipeline.models.inference import RuleHints
from pipeline.models.learner import Learner
from pipeline.models.lexicon_reading import read_texts
from pipeline.models.replica import LearntExample, Replica
from pipeline.models.snapshot import dump, load
from pipeline.text.normal_form import normalise
from tests.support.labelling import made_up

STREAM = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=300)


def of(answers: list[tuple[float, bool]]) -> ConfidenceHistogram:
    doubt = ConfidenceHistogram()
    for confidence, correct in answers:
        doubt.add(confidence, correct)
    return doubt


@settings(deadline=None, max_examples=50)
@given(STREAM, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_threshold_is_a_function_of_the_stream_and_never_below_the_tables(
    answers: list[tuple[float, bool]], precision: float, least: float
) -> None:
    doubt = of(answers)
    threshold = doubt.threshold(precision, least)
    assert least <= threshold <= NEVER
    assert ConfidenceHistogram.restore(doubt.state()).threshold(precision, least) == threshold
    assert of(answers).state() == doubt.state()


@pytest.mark.parametrize("precision", [0.8, 0.9, 0.95])
def test_what_is_answered_above_the_threshold_is_right_that_often(precision: float) -> None:
    random = Random(7)
    stream = [
        (confidence, random.random() < confidence)
        for confidence in (random.random() for _ in range(6_000))
    ]
    threshold = of(stream[:3_000]).threshold(precision, 0.0)
    answered = [correct for confidence, correct in stream[3_000:] if confidence >= threshold]
    assert len(answered) > 100
    assert precision - 0.03 < sum(answered) / len(answered) < precision + 0.06


def test_few_examples_leave_the_tables_threshold_and_wrong_ones_silence_the_head() -> None:
    assert of([(0.9, False)] * 199).threshold(0.9, 0.4) == 0.4
    assert of([(0.9, False)] * 200).threshold(0.9, 0.4) == NEVER
    assert of([(0.9, True)] * 200).threshold(0.9, 0.4) == 0.4
    turned = of([(0.9, True)] * 1_000 + [(0.9, False)] * 1_000)
    assert turned.threshold(0.9, 0.4) == NEVER


def test_counts_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        ConfidenceHistogram.restore(ConfidenceHistogram().state() | {"right": [0.0]})


def example(value: str, text: str, head: str = "need") -> dict[str, Any]:
    return {"kind": "example", "head": head, "value": value, "text": text, "weight": 1.0}


def test_a_head_abstains_by_what_the_stream_showed_and_a_snapshot_remembers_it() -> None:
    replica = Replica()
    for offset in range(
        300
    ):  # the labels say nothing of the texts: nobody could be right about them
        replica.apply(
            example(
                ("invoice", "payment", "account")[Random(offset).randrange(3)],
                f"blorf {offset % 7}",
            ),
            offset,
        )
    answer = replica.classifier().classify(["blorf"], ["inbound"])[0]["need"]
    assert (answer.source, answer.abstained) == ("model", True)
    restored = load(dump(replica))
    assert restored.classifier().classify(["blorf"], ["inbound"])[0]["need"] == answer
    assert dump(restored) == dump(replica)
    eager = Replica(heads=tuple(replace(head, precision=0.05) for head in HEADS))
    assert eager.recipe != replica.recipe


def test_only_the_first_label_of_a_record_tells_how_sure_the_model_may_be() -> None:
    replica, events = Replica(), made_up(40)
    for offset, event in enumerate(events):
        replica.apply(event, offset)
    known = replica.confidence_histograms()["need"]
    assert known.examples > 30
    before = known.state()
    effects = []
    for offset, event in enumerate(events, len(events)):
        told = {
            "label_id": str(UUID(int=5_000 + offset)),
            "labelled_at": "2026-02-01T00:00:00Z",
            "weight": 2.0,
        }
        outcome = replica.apply(event | told | ({"value": "invoice"} if offset % 2 else {}), offset)
        assert isinstance(outcome, LearntExample)
        effects.append(outcome.effect)
    assert set(effects) == {"corrects", "confirms"}
    assert replica.confidence_histograms()["need"].state() == before


def need(classifier: Classifier, text: str) -> HeadPrediction:
    return classifier.classify([text], ["inbound"])[0]["need"]


@pytest.mark.parametrize(
    ("text", "first", "also"),
    [
        ("I want a refund and also your opening hours", "refund_return", ("other",)),
        ("想退款，另外问一下几点开门", "refund_return", ("other",)),
        ("多少钱？什么时候发货", "price_inquiry", ("logistics",)),
        ("请开发票，顺便问下怎么用", "invoice", ("usage_howto",)),
        ("我想退款还有几点开门", "refund_return", ("other",)),
        ("I want a refund", "refund_return", ()),
        ("Hi there, I want a refund, thanks", "refund_return", ()),
        ("价格便宜，送货很快，很满意", "praise", ()),
        ("I want a refund, please give me a refund", "refund_return", ()),
    ],
)
def test_a_message_that_asks_two_things_has_two_needs(
    text: str, first: str, also: tuple[str, ...]
) -> None:
    answer = need(Replica().classifier(), text)
    assert (answer.label, answer.also) == (first, also)


def test_the_model_gives_two_needs_too_and_other_heads_one() -> None:
    replica = Replica()
    for offset in range(60):
        text, value = (
            (f"the blorf {offset} again", "appointment")
            if offset % 2
            else (f"a gnarp {offset}", "cooperation")
        )
        replica.apply(example(value, text), offset)
    answers = replica.classifier().classify(
        ["my blorf fell over; where is the gnarp of mine"], ["inbound"]
    )[0]
    assert {answers["need"].label, *answers["need"].also} == {"appointment", "cooperation"}
    assert all(answer.also == () for head, answer in answers.items() if head != "need")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=80))
def test_clauses_are_parts_of_their_text(text: str) -> None:
    (reading,) = read_texts([text], [normalise(text)])
    (found,) = split_clauses([reading])
    assert len(found) != 1
    assert sum(len(clause.tokens) for clause in found) <= len(reading.tokens)
    joined = " ".join(reading.tokens)
    assert all(clause.text in joined for clause in found)


@pytest.mark.parametrize(
    ("label", "probability", "sure", "expected"),
    [
        ("a", 0.4, [], ("a", 0.4, ())),
        ("a", 0.4, [ClauseAnswer("b", 0.9)], ("a", 0.4, ())),
        ("a", 0.4, [ClauseAnswer("b", 0.9), ClauseAnswer("a", 0.7)], ("a", 0.7, ("b",))),
        (
            "c",
            0.4,
            [ClauseAnswer("b", 0.8), ClauseAnswer("a", 0.9), ClauseAnswer("b", 0.95)],
            ("b", 0.95, ("a",)),
        ),
    ],
)
def test_answers_of_clauses_are_brought_together(
    label: str,
    probability: float,
    sure: list[ClauseAnswer],
    expected: tuple[str, float, tuple[str, ...]],
) -> None:
    assert merge_answers(label, probability, sure) == expected


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
def test_the_words_that_decided_are_named_in_both_languages(
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
    place = model.labels.index(value)
    assert sum(piece.weights[value] for piece in why.contributions) == pytest.approx(
        float(parts[:, place].sum()), abs=1e-4
    )


@pytest.mark.parametrize("text", ["gnarp blorf", "吱呜 汤", "a 12 b 345"])
def test_the_size_of_a_text_is_nobodys_and_a_words_features_are_its_own(text: str) -> None:
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

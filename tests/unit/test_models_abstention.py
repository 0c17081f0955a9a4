"""Abstention at a target precision, and several labels of one text."""

from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.abstention import NEVER, ConfidenceHistogram
from pipeline.models.classifier import Classifier, HeadPrediction
from pipeline.models.clauses import ClauseAnswer, merge_answers, split_clauses
from pipeline.models.heads import HEADS
from pipeline.models.lexicon_reading import read_texts
from pipeline.models.replica import LearntExample, Replica
from pipeline.models.snapshot import dump, load
from pipeline.text.normal_form import normalise
from tests.support.example_events import invented_labels

STREAM = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=300)


def histogram_of(answers: list[tuple[float, bool]]) -> ConfidenceHistogram:
    histogram = ConfidenceHistogram()
    for confidence, correct in answers:
        histogram.add(confidence, correct)
    return histogram


@settings(deadline=None, max_examples=50)
@given(STREAM, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_threshold_depends_on_the_stream_and_is_never_below_the_minimum(
    answers: list[tuple[float, bool]], precision: float, minimum: float
) -> None:
    histogram = histogram_of(answers)
    threshold = histogram.threshold(precision, minimum)
    assert minimum <= threshold <= NEVER
    assert ConfidenceHistogram.restore(histogram.state()).threshold(precision, minimum) == threshold
    assert histogram_of(answers).state() == histogram.state()


@pytest.mark.parametrize("precision", [0.8, 0.9, 0.95])
def test_answers_above_the_threshold_reach_the_precision(precision: float) -> None:
    random = Random(7)
    stream = [
        (confidence, random.random() < confidence)
        for confidence in (random.random() for _ in range(6_000))
    ]
    threshold = histogram_of(stream[:3_000]).threshold(precision, 0.0)
    answered = [correct for confidence, correct in stream[3_000:] if confidence >= threshold]
    assert len(answered) > 100
    assert precision - 0.03 < sum(answered) / len(answered) < precision + 0.06


def test_few_examples_keep_the_minimum_and_wrong_answers_stop_the_head() -> None:
    assert histogram_of([(0.9, False)] * 199).threshold(0.9, 0.4) == 0.4
    assert histogram_of([(0.9, False)] * 200).threshold(0.9, 0.4) == NEVER
    assert histogram_of([(0.9, True)] * 200).threshold(0.9, 0.4) == 0.4
    turned = histogram_of([(0.9, True)] * 1_000 + [(0.9, False)] * 1_000)
    assert turned.threshold(0.9, 0.4) == NEVER


def test_counts_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        ConfidenceHistogram.restore(ConfidenceHistogram().state() | {"right": [0.0]})


def example(value: str, text: str, head: str = "need") -> dict[str, Any]:
    return {"kind": "example", "head": head, "value": value, "text": text, "weight": 1.0}


def test_head_abstains_after_random_labels_and_snapshot_restores_that() -> None:
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


def test_only_the_first_label_of_a_record_counts_for_abstention() -> None:
    replica, events = Replica(), invented_labels(40)
    for offset, event in enumerate(events):
        replica.apply(event, offset)
    known = replica.confidence_histograms()["need"]
    assert known.examples > 30
    before = known.state()
    effects = []
    for offset, event in enumerate(events, len(events)):
        newer = {
            "label_id": str(UUID(int=5_000 + offset)),
            "labelled_at": "2026-02-01T00:00:00Z",
            "weight": 2.0,
        }
        outcome = replica.apply(
            event | newer | ({"value": "invoice"} if offset % 2 else {}), offset
        )
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
def test_message_with_two_questions_has_two_needs(
    text: str, first: str, also: tuple[str, ...]
) -> None:
    answer = need(Replica().classifier(), text)
    assert (answer.label, answer.also) == (first, also)


def test_model_predicts_two_needs_and_other_heads_one_label() -> None:
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
    (clauses,) = split_clauses([reading])
    assert len(clauses) != 1
    assert sum(len(clause.tokens) for clause in clauses) <= len(reading.tokens)
    joined = " ".join(reading.tokens)
    assert all(clause.text in joined for clause in clauses)


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
def test_clause_answers_are_merged(
    label: str,
    probability: float,
    sure: list[ClauseAnswer],
    expected: tuple[str, float, tuple[str, ...]],
) -> None:
    assert merge_answers(label, probability, sure) == expected

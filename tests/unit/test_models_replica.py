"""Laws of the fold over the examples topic, of its classifiers and of its snapshots."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.classifier import Classifier, HeadPrediction
from pipeline.models.explanation import explain
from pipeline.models.heads import HEADS, Head, Meaning
from pipeline.models.replica import LearntExample, RefusedEvent, Replica
from pipeline.models.snapshot import dump, load
from pipeline.models.state_format import StateError, pack, unpack
from tests.support.example_events import WORDS

TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


def example(head: str, value: Any, text: Any, **more: Any) -> dict[str, Any]:
    return {
        "kind": "example",
        "head": head,
        "value": value,
        "text": text,
        "source": "person",
        "weight": 1.0,
        "language": "en",
        "channel": "email",
        "labelled_at": "2026-01-05T09:00:00Z",
    } | more


@st.composite
def examples(draw: st.DrawFn) -> dict[str, Any]:
    head = draw(st.sampled_from(HEADS))
    return example(
        head.name,
        draw(st.sampled_from(list(head.labels))),
        draw(TEXTS),
        weight=draw(st.floats(0.1, 5)),
    )


EVENTS = st.lists(
    st.one_of(examples(), st.just({"kind": "pin"}), st.just(example("need", "no_such", "x"))),
    max_size=25,
)


def folded(events: list[dict[str, Any]], replica: Replica | None = None, first: int = 0) -> Replica:
    replica = Replica() if replica is None else replica
    for number, event in enumerate(events):
        replica.apply(event, first + number)
    return replica


def made_up(count: int) -> list[dict[str, Any]]:
    """Return labels of a need that no rule would guess: what speaks of "blorf" is an appointment,
    else cooperation.
    """
    texts = [
        (f"the blorf number {n} again", "appointment")
        if n % 2
        else (f"a gnarp of type {n}", "cooperation")
        for n in range(count)
    ]
    return [example("need", value, text) for text, value in texts]


def need_of(classifier: Classifier, text: str) -> HeadPrediction:
    return classifier.classify([text], ["inbound"])[0]["need"]


def test_rules_answer_before_anything_is_learnt() -> None:
    classifier = Replica().classifier()
    zh, en = classifier.classify(
        ["我需要了解您的产品价格和交易方式", "I want a refund, this is terrible!!"],
        ["inbound", "inbound"],
    )
    assert (zh["need"].label, zh["need"].abstained, zh["need"].source) == (
        "price_inquiry",
        False,
        "rules",
    )
    assert zh["purchase_intent"].label in ("exploring", "considering")
    assert (en["need"].label, en["sentiment"].label) == ("refund_return", "negative")
    assert en["need"].version.startswith("rules/")
    assert explain(classifier, "麻烦开一张电子发票")["need"].rule.terms == ("电子发票",)


def test_model_follows_forty_labels_of_an_invented_need() -> None:
    replica = folded(made_up(40))
    classifier = replica.classifier()
    for text, value in (("my blorf fell over", "appointment"), ("gnarp please", "cooperation")):
        answer = need_of(classifier, text)
        assert (answer.label, answer.source, answer.version) == (value, "model", replica.version)
        assert not answer.abstained
    assert (
        need_of(classifier, "请给我开发票").label == "invoice"
    )  # a label never given is still known by its rule


def test_model_answers_after_minimum_labels_and_classes() -> None:
    least = next(head for head in HEADS if head.name == "need").minimum_labels
    sources = []
    replica = Replica()
    for offset, event in enumerate(made_up(least)):
        sources.append(need_of(replica.classifier(), "blorf").source)
        replica.apply(event, offset)
    assert sources == ["rules"] * least
    assert need_of(replica.classifier(), "blorf").source == "model"
    one_class = folded([example("need", "invoice", f"text {n}") for n in range(2 * least)])
    assert need_of(one_class.classifier(), "blorf").source == "rules"


@settings(deadline=None, max_examples=25)
@given(
    EVENTS,
    st.lists(st.text(max_size=40), max_size=5),
    st.sampled_from(["inbound", "outbound", "internal", ""]),
)
def test_answers_are_complete_ordered_and_independent_of_the_batch(
    events: list[dict[str, Any]], texts: list[str], direction: str
) -> None:
    eager = tuple(replace(head, minimum_labels=2) for head in HEADS)
    classifier = folded(events, Replica(heads=eager)).classifier()
    answers = classifier.classify(texts, [direction] * len(texts))
    assert len(answers) == len(texts)
    for text, row in zip(texts, answers, strict=True):
        assert row == classifier.classify([text], [direction])[0]
        assert list(row) == [head.name for head in eager]
        for head in eager:
            answer = row[head.name]
            assert answer.label in {"", *head.labels}
            assert 0.0 <= answer.probability <= 1.0 + 1e-6
            assert answer.abstained == (answer.label == "" or answer.probability < head.threshold)
            if not head.applies_to(direction):
                assert answer[:3] == ("", 0.0, True)


def test_direction_decides_which_heads_apply() -> None:
    text = "urgent: please cancel my order, I want a refund"
    asked = {
        direction: {
            name
            for name, answer in Replica().classifier().classify([text], [direction])[0].items()
            if answer.label
        }
        for direction in ("inbound", "outbound", "internal")
    }
    assert asked["inbound"] == {"need", "sentiment", "urgency", "spam", "purchase_intent"}
    assert asked["outbound"] == asked["internal"] == {"sentiment", "spam"}


@pytest.mark.parametrize("text", ["", "   ", "\n\t\u200b"])
def test_a_text_without_words_has_no_label(text: str) -> None:
    for classifier in (Replica().classifier(), folded(made_up(40)).classifier()):
        assert {answer[:3] for answer in classifier.classify([text], ["inbound"])[0].values()} == {
            ("", 0.0, True)
        }


def test_texts_and_directions_must_have_the_same_length() -> None:
    with pytest.raises(ValueError, match="2 texts but 1 directions"):
        Replica().classifier().classify(["a", "b"], ["inbound"])
    assert Replica().classifier().classify([], []) == []


@settings(deadline=None, max_examples=20)
@given(EVENTS, st.integers(0, 25))
def test_snapshot_plus_later_events_equals_a_full_fold(
    events: list[dict[str, Any]], cut: int
) -> None:
    full = dump(folded(events))
    early = load(dump(folded(events[:cut])))
    assert dump(folded(events[cut:], early, first=min(cut, len(events)))) == full
    assert dump(load(full)) == full


def test_fold_in_another_process_gives_the_same_bytes() -> None:
    events = [
        *made_up(30),
        example("sentiment", "positive", "很好"),
        example("spam", "spam", "win cash now"),
    ]
    program = (
        "import json, sys; from hashlib import sha256; from pipeline.models.replica import Replica;"
        "from pipeline.models.snapshot import dump; replica = Replica();"
        "[replica.apply(event, offset) for offset, event in enumerate(json.load(sys.stdin))];"
        "print(sha256(dump(replica)).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(events),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == sha256(dump(folded(events))).hexdigest()


def test_classifier_is_immutable_while_the_replica_learns() -> None:
    replica = folded(made_up(40))
    classifier = replica.classifier()
    before = classifier.classify(["blorf", "gnarp"], ["inbound"] * 2)
    for offset in range(40, 120):
        replica.apply(example("need", "complaint", "blorf gnarp"), offset)
        replica.classifier()
    assert classifier.classify(["blorf", "gnarp"], ["inbound"] * 2) == before
    assert need_of(replica.classifier(), "blorf gnarp").label == "complaint"
    assert replica.classifier() is replica.classifier()


def test_a_classifier_may_be_used_by_another_thread_while_the_replica_learns() -> None:
    replica = folded(made_up(40))
    classifier = replica.classifier()
    expected = classifier.classify(["blorf"], ["inbound"])
    wrong: list[object] = []

    def ask() -> None:
        wrong.extend(
            answer
            for answer in (classifier.classify(["blorf"], ["inbound"]) for _ in range(200))
            if answer != expected
        )

    asking = threading.Thread(target=ask)
    asking.start()
    for offset in range(40, 240):
        replica.apply(example("need", "complaint", "blorf"), offset)
        replica.classifier()
    asking.join()
    assert wrong == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(["kind", "head", "value", "text", "weight", "language", "channel", "other"])


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(KEYS, JSON), st.booleans())
def test_no_event_raises_and_the_offset_always_advances(
    event: dict[str, Any], valid_otherwise: bool
) -> None:
    replica = Replica()
    outcome = replica.apply(
        example("need", "invoice", "x") | event if valid_otherwise else event, 7
    )
    assert isinstance(outcome, LearntExample | RefusedEvent)
    assert replica.offset == 7
    dump(replica)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "pin"}, "unknown_kind"),
        ({"head": "mood"}, "unknown_head"),
        ({"value": "no_such"}, "unknown_value"),
        ({"value": None}, "unknown_value"),
        ({"text": ""}, "text_missing"),
        ({"text": None}, "text_missing"),
        ({"weight": 0}, "weight_invalid"),
        ({"weight": "1"}, "weight_invalid"),
        ({"weight": float("nan")}, "weight_invalid"),
        ({"weight": 1e6}, "weight_invalid"),
        ({"weight": True}, "weight_invalid"),
    ],
)
def test_invalid_examples_are_refused_with_a_code(change: dict[str, Any], code: str) -> None:
    replica = Replica()
    refused = replica.apply(example("need", "invoice", "x") | change, 0)
    assert isinstance(refused, RefusedEvent)
    assert refused.code == code
    assert replica.quality_counters == {}


def test_offset_already_folded_changes_nothing() -> None:
    replica = folded(made_up(5))
    before = dump(replica)
    assert isinstance(replica.apply(example("need", "invoice", "x"), 4), RefusedEvent)
    assert dump(replica) == before


def test_example_without_record_is_learnt_every_time() -> None:
    replica = folded([example("need", "invoice", "zip"), example("need", "payment", "zip")])
    assert replica.quality("need").count == 2


def test_quality_is_counted_before_learning_by_head_language_and_channel() -> None:
    replica = Replica()
    first = replica.apply(
        example("sentiment", "positive", "很满意", language="zh", channel="chat"), 0
    )
    assert first == LearntExample(
        "sentiment", "positive", "positive", "rules", "positive", "positive", "first"
    )
    replica.apply(example("sentiment", "negative", "qwertz"), 1)
    tally = replica.quality("sentiment")
    assert (tally.count, tally.served_correct, tally.rule_correct) == (2, 1, 1)
    assert {(key.language, key.channel) for key in replica.quality_counters} == {
        ("zh", "chat"),
        ("en", "email"),
    }


def test_versions_name_generation_offset_and_recipe() -> None:
    replica = folded(made_up(3), Replica(generation=4))
    assert replica.version == f"4/2/{replica.recipe}"
    other = Replica(heads=(replace(HEADS[0], threshold=0.9), *HEADS[1:]))
    assert other.recipe != replica.recipe


def test_new_head_needs_one_entry() -> None:
    head = Head(
        name="visa",
        meaning=Meaning("about a visa", "签证"),
        labels={"yes": Meaning("yes", "是"), "no": Meaning("no", "否")},
        rule=None,
        threshold=0.5,
        minimum_labels=4,
    )
    replica = Replica(heads=(*HEADS, head))
    assert replica.classifier().classify(["visa"], ["inbound"])[0]["visa"].label == ""
    for offset in range(8):
        replica.apply(
            example("visa", "yes" if offset % 2 else "no", "visa entry" if offset % 2 else "soup"),
            offset,
        )
    assert replica.classifier().classify(["my visa"], ["inbound"])[0]["visa"].label == "yes"
    assert dump(load(dump(replica), replica.heads)) == dump(replica)
    with pytest.raises(ValueError, match="the same name"):
        Replica(heads=(head, head))


def test_a_snapshot_of_another_recipe_or_with_missing_parts_is_refused() -> None:
    data = dump(folded(made_up(3)))
    with pytest.raises(StateError, match="recipe"):
        load(data, HEADS[:2])
    with pytest.raises(StateError, match="checksum"):
        load(data[:-1] + bytes([data[-1] ^ 1]))
    header, arrays = unpack(data)
    with pytest.raises(StateError, match="not fit"):
        load(pack(header, {name: array for name, array in arrays.items() if "squares" not in name}))
    with pytest.raises(StateError, match="not fit"):
        load(pack({"generation": 0}, {}))

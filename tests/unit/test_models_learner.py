"""Properties of the online learner, of its inference models and of its state bytes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models import kernels
from pipeline.models.adapters import extract_raw
from pipeline.models.inference import RuleHints
from pipeline.models.learner import Learner, warm_up
from pipeline.models.learner_settings import LearnerSettings
from pipeline.models.replica import Replica
from pipeline.models.state_format import StateError, pack, unpack

TOPICS = {
    "invoice": [
        "please send the invoice",
        "the tax receipt is missing",
        "发票什么时候开",
        "invoice for march, please",
    ],
    "delivery": ["the parcel is late", "where is my delivery", "快递还没到", "courier never came"],
    "login": ["cannot sign in", "password was forgotten", "账号登录不了", "the login page fails"],
}
EXAMPLES = [
    (text, label)
    for index in range(4)
    for label, texts in TOPICS.items()
    for text in [texts[index]]
]
STREAMS = st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["a", "b", "c"])), max_size=15)


def taught(
    examples: list[tuple[str, str]], passes: int = 1, labels: tuple[str, ...] = ()
) -> Learner:
    learner = Learner(labels)
    for text, label in examples * passes:
        learner.learn(extract_raw([text]), label)
    return learner


def answer(learner: Learner, text: str) -> str:
    labels, probabilities = learner.predict_proba(extract_raw([text]))
    return labels[int(probabilities[0].argmax())]


@settings(deadline=None, max_examples=40)
@given(STREAMS, st.text(max_size=30))
def test_probabilities_are_a_distribution_over_learnt_labels(
    stream: list[tuple[str, str]], text: str
) -> None:
    learner = taught(stream, labels=("a", "b", "c", "d"))
    labels, probabilities = learner.predict_proba(extract_raw([text]))
    assert labels == ("a", "b", "c", "d")
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    seen = {label for _, label in stream}
    assert probabilities.sum() == pytest.approx(1.0 if seen else 0.0, abs=1e-5)
    assert all(
        probabilities[0, index] == 0.0 for index, label in enumerate(labels) if label not in seen
    )


@settings(deadline=None, max_examples=20)
@given(STREAMS)
def test_the_same_order_gives_the_same_bytes(stream: list[tuple[str, str]]) -> None:
    assert taught(stream).to_bytes() == taught(stream).to_bytes()


@settings(deadline=None, max_examples=20)
@given(STREAMS, STREAMS)
def test_restored_learner_continues_identically(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    through = taught(before)
    restored = Learner.from_bytes(through.to_bytes())
    for text, label in after:
        assert restored.learn(extract_raw([text]), label) == through.learn(
            extract_raw([text]), label
        )
    assert restored.to_bytes() == through.to_bytes()


def test_the_same_order_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "import json, sys; from hashlib import sha256\n"
        "from pipeline.text.normal_form import normalise\n"
        "from pipeline.models.features import extract_features\n"
        "from pipeline.models.learner import Learner\n"
        "learner = Learner()\n"
        "for text, label in json.load(sys.stdin):\n"
        "    learner.learn(extract_features([normalise(text)]), label)\n"
        "print(sha256(learner.to_bytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(EXAMPLES * 3),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == sha256(taught(EXAMPLES, 3).to_bytes()).hexdigest()


def test_learner_generalises_in_both_languages() -> None:
    learner = taught(EXAMPLES, passes=5)
    assert [answer(learner, text) for text, _ in EXAMPLES] == [label for _, label in EXAMPLES]
    assert answer(learner, "I forgot my password") == "login"
    assert answer(learner, "发票开了吗") == "invoice"
    assert answer(learner, "快遞怎麼還沒到") == "delivery"  # learnt from simplified characters


def test_prediction_is_made_before_the_label_is_learnt() -> None:
    learner = Learner()
    features = extract_raw(["blue"])
    assert [learner.learn(features, label) for label in ("x", "y")] == [None, "x"]


def test_label_set_may_grow_beyond_its_initial_capacity() -> None:
    examples = [(f"word{number} marks topic{number}", f"topic{number}") for number in range(40)]
    learner = taught(examples, passes=6)
    assert [answer(learner, text) for text, _ in examples] == [label for _, label in examples]
    assert Learner.from_bytes(learner.to_bytes()).to_bytes() == learner.to_bytes()


def test_importance_scales_learning() -> None:
    def learnt(weight: float) -> float:
        learner = taught([("red", "a"), ("blue", "b")])
        learner.learn(extract_raw(["green"]), "b", weight)
        return float(learner.predict_proba(extract_raw(["green"]))[1][0, 1])

    assert learnt(0.01) < learnt(1.0)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_invalid_importance_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="importance"):
        Learner().learn(extract_raw(["x"]), "a", weight)


def test_inference_model_does_not_change_and_copies_are_reused() -> None:
    learner = taught(EXAMPLES)
    probe = extract_raw(["where is the invoice", "快递"])
    model = learner.inference_model()
    before = model.predict_proba(probe)
    in_use = [model]
    for text, label in EXAMPLES:
        learner.learn(extract_raw([text]), label)
        latest = learner.inference_model()
        assert np.array_equal(latest.predict_proba(probe), learner.predict_proba(probe)[1])
        assert np.array_equal(model.predict_proba(probe), before)
        in_use = [model, latest]
    assert len(in_use) == 2
    assert learner.copy_count <= 3  # one in use throughout, one in use last, one to fill


def test_hint_answers_before_learning_and_can_be_overruled() -> None:
    learner = Learner(("a", "b"), LearnerSettings())
    features = extract_raw(["some words"])
    said = RuleHints(np.array([1]), np.array([1.0], dtype=np.float32))
    labels, probabilities = learner.predict_proba(features, said)
    assert dict(zip(labels, probabilities[0].tolist(), strict=True)) == {"a": 0.0, "b": 1.0}
    for _ in range(40):
        learner.learn(extract_raw(["some words"]), "a", hints=said)
    assert learner.predict_proba(extract_raw(["other words"]), said)[1][0, 0] > 0.5


@settings(deadline=None, max_examples=20)
@given(STREAMS, st.text(max_size=30), st.integers(-1, 2), st.floats(0, 1))
def test_contributions_sum_up_to_the_scores(
    stream: list[tuple[str, str]], text: str, hint: int, strength: float
) -> None:
    learner = taught([("one", "a"), ("two", "b"), ("three", "c"), *stream], labels=("a", "b", "c"))
    hints = RuleHints(np.array([hint]), np.array([strength], dtype=np.float32))
    features = extract_raw([text])
    parts, hinted = learner.inference_model().contributions(features, hints)
    assert parts.shape == (len(features.buckets), 3)
    if len(features.buckets):
        scores = parts.sum(axis=0) + hinted
        expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        assert learner.predict_proba(features, hints)[1][0] == pytest.approx(expected, abs=1e-4)


def test_confidence_is_calibrated() -> None:
    chance = random.Random(11)
    words = {"a": ["apple", "pear", "plum", "fig"], "b": ["bolt", "nut", "gear", "cog"]}

    def noisy() -> tuple[str, str]:
        # Half of four words to all of them speak for the label, and one label in ten is wrong
        # anyway.
        label, share = chance.choice("ab"), chance.uniform(0.5, 1.0)
        other = "b" if label == "a" else "a"
        text = " ".join(
            chance.choice(words[label if chance.random() < share else other]) for _ in range(4)
        )
        return text, label if chance.random() < 0.9 else other

    learner = taught([noisy() for _ in range(3_000)])
    tests = [noisy() for _ in range(3_000)]
    labels, probabilities = learner.predict_proba(extract_raw([text for text, _ in tests]))
    tops = probabilities.max(axis=1)
    right = np.array(
        [
            labels[index] == truth
            for index, (_, truth) in zip(probabilities.argmax(axis=1), tests, strict=True)
        ]
    )
    order = np.argsort(tops, kind="stable")
    thirds = [float(right[part].mean()) for part in np.array_split(order, 3)]
    assert thirds == sorted(thirds)
    assert thirds[2] - thirds[0] > 0.1
    bins = np.minimum((tops * 10).astype(int), 9)
    assert np.abs(np.bincount(bins, tops - right, 10)).sum() / len(tests) < 0.05


def test_only_a_young_learner_rehearses() -> None:
    def taught_with(rehearsed: int, young: int) -> bytes:
        learner = Learner(settings=LearnerSettings(rehearsed=rehearsed, young=young))
        for text, label in EXAMPLES:
            learner.learn(extract_raw([text]), label)
        return learner.inference_model().predict_proba(extract_raw([EXAMPLES[0][0]])).tobytes()

    assert taught_with(2, 1_000) != taught_with(0, 1_000)
    assert taught_with(2, 0) == taught_with(0, 0)


def test_warm_up_compiles_everything() -> None:
    warm_up()
    used: list[Any] = [kernels.learn, kernels.predict]
    before = [len(kernel.signatures) for kernel in used]
    replica = Replica()
    for offset in range(40):
        value = "spam" if offset % 2 else "ham"
        replica.apply({"kind": "example", "head": "spam", "value": value, "text": "x"}, offset)
    replica.classifier().classify(["hello", ""], ["inbound", ""])
    assert [len(kernel.signatures) for kernel in used] == before


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_invalid_state_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StateError):
        unpack(data)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_or_truncated_state_is_refused(data: st.DataObject) -> None:
    whole = pack({"x": 1}, {"a": np.arange(5, dtype=np.int64)})
    index = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[index] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(StateError):
        unpack(bytes(flipped))
    with pytest.raises(StateError):
        unpack(whole[:index])


def test_state_with_inconsistent_parts_is_refused() -> None:
    header, arrays = taught(EXAMPLES).state()
    with pytest.raises(StateError, match="have the shape"):
        Learner.restore(header, arrays | {"weights_hashed": np.zeros((1, 1), dtype=np.float32)})
    with pytest.raises(TypeError, match="float64"):
        pack({}, {"a": np.zeros(2)})

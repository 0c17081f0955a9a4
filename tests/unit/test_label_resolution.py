"""Which of several labels holds, by law: the greatest precedence, whatever came when."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.heads import HEADS
from pipeline.models.label_resolution import (
    EffectiveLabel,
    LabelKey,
    LabelPrecedence,
    LabelResolution,
    label_key,
    label_precedence,
)

LABELS = {head.name: list(head.labels) for head in HEADS}
AddedLabel = tuple[LabelKey, LabelPrecedence, str, float]
VALUES = ("", "ham", "spam")


@st.composite
def labels_added(draw: st.DrawFn) -> AddedLabel:
    precedence = LabelPrecedence(
        draw(st.integers(0, 1)),
        draw(st.integers(0, 3)),
        UUID(int=draw(st.integers(0, 2**128 - 1))).bytes,
    )
    key = LabelKey("spam", UUID(int=draw(st.integers(0, 2))).bytes)
    return (
        key,
        precedence,
        draw(st.sampled_from(VALUES)),
        draw(st.sampled_from([0.25, 0.5, 1.0, 2.0])),
    )


def after(labels: list[AddedLabel]) -> LabelResolution:
    resolution = LabelResolution()
    for key, precedence, value, weight in labels:
        resolution.add(key, precedence, value, weight)
    return resolution


def effective(resolution: LabelResolution) -> dict[LabelKey, tuple[LabelPrecedence, str]]:
    return {key: (label.precedence, label.value) for key, label in resolution.effective_labels()}


ALL = st.lists(labels_added(), max_size=12, unique_by=lambda label: label[1].label_id)


@given(ALL, st.randoms())
def test_resolution_does_not_depend_on_order(labels: list[AddedLabel], random: object) -> None:
    shuffled = list(labels)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert effective(after(labels)) == effective(after(shuffled))


@given(ALL, st.lists(st.integers(0, 11), max_size=6))
def test_redelivered_labels_change_nothing(labels: list[AddedLabel], again: list[int]) -> None:
    resolution = after(labels)
    before = dict(resolution._labels)
    for index in again:
        if index < len(labels):
            assert resolution.add(*labels[index]).weight == 0.0
    assert resolution._labels == before


@given(ALL)
def test_state_restores_all_labels(labels: list[AddedLabel]) -> None:
    resolution = after(labels)
    state = resolution.state(LABELS)
    again = LabelResolution.restore(state, LABELS)
    assert again._labels == resolution._labels
    assert {
        head: {name: array.tobytes() for name, array in part.items()}
        for head, part in state.items()
    } == {
        head: {name: array.tobytes() for name, array in part.items()}
        for head, part in again.state(LABELS).items()
    }


def decisions(*values: tuple[int, int, str, float]) -> list[tuple[str, float]]:
    resolution, key = LabelResolution(), LabelKey("spam", bytes(16))
    return [
        tuple(resolution.add(key, LabelPrecedence(rank, ms, bytes([index] * 16)), value, weight))  # type: ignore[misc]
        for index, (rank, ms, value, weight) in enumerate(values)
    ]


def test_correction_is_learnt_as_one_more_example() -> None:
    assert decisions((1, 1, "spam", 2.0), (1, 2, "ham", 1.0)) == [("first", 2.0), ("corrects", 1.0)]


def test_confirmation_is_learnt_with_its_additional_weight() -> None:
    assert decisions((0, 1, "spam", 0.25), (1, 2, "spam", 1.0), (1, 3, "spam", 0.5)) == [
        ("first", 0.25),
        ("confirms", 0.75),
        ("confirms", 0.0),
    ]


def test_person_outranks_outcome_in_either_order() -> None:
    assert decisions((1, 1, "ham", 1.0), (0, 9, "spam", 1.0))[1] == ("outdated", 0.0)
    assert decisions((0, 9, "spam", 0.5), (1, 1, "ham", 1.0))[1] == ("corrects", 1.0)


def test_retracted_label_is_effective_again_after_a_newer_label() -> None:
    effects = decisions(
        (1, 1, "spam", 1.0), (1, 2, "", 1.0), (1, 1, "spam", 1.0), (1, 3, "ham", 1.0)
    )
    assert [effect for effect, _ in effects] == ["first", "retracts", "outdated", "corrects"]
    resolution = LabelResolution(
        {LabelKey("spam", bytes(16)): EffectiveLabel(LabelPrecedence(2, 2, bytes(16)), "", 1.0)}
    )
    assert list(resolution.effective_labels()) == []


def test_invalid_fields_of_an_example_are_named() -> None:
    good = {
        "label_id": str(UUID(int=1)),
        "record_id": str(UUID(int=2)),
        "labelled_at": "2026-11-01T10:00:00Z",
    }
    assert label_precedence(good) == LabelPrecedence(1, 1_793_527_200_000, UUID(int=1).bytes)
    for change, field in (
        ({"label_id": "x"}, "label_id"),
        ({"labelled_at": "yesterday"}, "labelled_at"),
        ({"labelled_at": "2026-11-01T10:00:00"}, "zone"),
        ({"source": "rumour"}, "source"),
    ):
        assert field in str(label_precedence(good | change))
    assert "record_id" in str(label_key({"record_id": 7}))

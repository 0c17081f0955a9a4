"""Which of several labels holds, by law: the greatest standing, whatever came when."""

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
Said = tuple[LabelKey, LabelPrecedence, str, float]
VALUES = ("", "ham", "spam")


@st.composite
def said(draw: st.DrawFn) -> Said:
    standing = LabelPrecedence(
        draw(st.integers(0, 1)),
        draw(st.integers(0, 3)),
        UUID(int=draw(st.integers(0, 2**128 - 1))).bytes,
    )
    key = LabelKey("spam", UUID(int=draw(st.integers(0, 2))).bytes)
    return (
        key,
        standing,
        draw(st.sampled_from(VALUES)),
        draw(st.sampled_from([0.25, 0.5, 1.0, 2.0])),
    )


def after(labels: list[Said]) -> LabelResolution:
    held = LabelResolution()
    for key, standing, value, weight in labels:
        held.add(key, standing, value, weight)
    return held


def holding(held: LabelResolution) -> dict[LabelKey, tuple[LabelPrecedence, str]]:
    return {key: (holder.precedence, holder.value) for key, holder in held.effective_labels()}


ALL = st.lists(said(), max_size=12, unique_by=lambda label: label[1].label_id)


@given(ALL, st.randoms())
def test_the_order_in_which_labels_come_decides_nothing(labels: list[Said], random: object) -> None:
    shuffled = list(labels)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert holding(after(labels)) == holding(after(shuffled))


@given(ALL, st.lists(st.integers(0, 11), max_size=6))
def test_what_is_delivered_again_is_nothing_new(labels: list[Said], again: list[int]) -> None:
    held = after(labels)
    before = dict(held._labels)
    for place in again:
        if place < len(labels):
            assert held.add(*labels[place]).weight == 0.0
    assert held._labels == before


@given(ALL)
def test_arrays_hold_all_of_it(labels: list[Said]) -> None:
    held = after(labels)
    state = held.state(LABELS)
    again = LabelResolution.restore(state, LABELS)
    assert again._labels == held._labels
    assert {
        head: {name: array.tobytes() for name, array in part.items()}
        for head, part in state.items()
    } == {
        head: {name: array.tobytes() for name, array in part.items()}
        for head, part in again.state(LABELS).items()
    }


def rule(*values: tuple[int, int, str, float]) -> list[tuple[str, float]]:
    held, key = LabelResolution(), LabelKey("spam", bytes(16))
    return [
        tuple(held.add(key, LabelPrecedence(rank, ms, bytes([place] * 16)), value, weight))  # type: ignore[misc]
        for place, (rank, ms, value, weight) in enumerate(values)
    ]


def test_a_correction_is_one_more_example() -> None:
    assert rule((1, 1, "spam", 2.0), (1, 2, "ham", 1.0)) == [("first", 2.0), ("corrects", 1.0)]


def test_a_confirmation_teaches_what_it_weighs_more() -> None:
    assert rule((0, 1, "spam", 0.25), (1, 2, "spam", 1.0), (1, 3, "spam", 0.5)) == [
        ("first", 0.25),
        ("confirms", 0.75),
        ("confirms", 0.0),
    ]


def test_an_outcome_never_overrules_a_person_and_a_person_always_an_outcome() -> None:
    assert rule((1, 1, "ham", 1.0), (0, 9, "spam", 1.0))[1] == ("outdated", 0.0)
    assert rule((0, 9, "spam", 0.5), (1, 1, "ham", 1.0))[1] == ("corrects", 1.0)


def test_what_was_taken_back_holds_no_more_until_it_is_said_anew() -> None:
    effects = rule((1, 1, "spam", 1.0), (1, 2, "", 1.0), (1, 1, "spam", 1.0), (1, 3, "ham", 1.0))
    assert [effect for effect, _ in effects] == ["first", "retracts", "outdated", "corrects"]
    held = LabelResolution(
        {LabelKey("spam", bytes(16)): EffectiveLabel(LabelPrecedence(2, 2, bytes(16)), "", 1.0)}
    )
    assert list(held.effective_labels()) == []


def test_what_is_wrong_with_an_example_is_named() -> None:
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

"""Laws that every fold keeps: bytes, purity, one outcome per input, any batching, replays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.outcomes import Context, Drop, Fold, NoModels
from pipeline.processors.converse.business_hours import to_ms
from pipeline.processors.live.live_fold import LiveFold, PaneUpdate
from pipeline.processors.live.observations import Observation, WaitingUpdate
from pipeline.processors.live.panes import Waiting
from schemas.types import Contract
from tests.contract.test_converse_laws import records
from tests.support.conversing import FOLD

NOW = datetime(2026, 11, 22, tzinfo=UTC)
CONTEXT = Context(NOW, NoModels())
_LABELS = st.lists(st.sampled_from(["inbound", "need:other", "need:logistics"]), unique=True)


@dataclass(frozen=True)
class FoldCase:
    """A fold with the inputs that one key of it may get."""

    fold: Fold[Any, Any, Contract]
    inputs: Callable[[], st.SearchStrategy[list[Any]]]


@st.composite
def pane_updates(draw: st.DrawFn) -> list[PaneUpdate]:
    """Draw the updates of one pane, in the order of the log."""
    sampled = draw(st.booleans())
    offsets = sorted(draw(st.sets(st.integers(0, 1_000), max_size=15)))
    return [
        PaneUpdate(
            offset,
            Observation(
                "default",
                "chat",
                to_ms(NOW),
                tuple(draw(_LABELS)),
                draw(st.sampled_from("abcdefgh")),
                f"record-{offset}",
            ),
            sampled,
        )
        for offset in offsets
    ]


@st.composite
def waiting_updates(draw: st.DrawFn) -> list[WaitingUpdate]:
    """Draw the updates of one waiting customer; some of them are too old to be kept."""
    ages = draw(st.lists(st.none() | st.integers(0, 10 * 86_400_000), max_size=8))
    return [
        WaitingUpdate(
            "part",
            None
            if age is None
            else Waiting("default", "chat", "id:C-1", "c1", to_ms(NOW) - age, None),
        )
        for age in ages
    ]


FOLDS = {
    "converse": FoldCase(FOLD, records),
    "live, a pane": FoldCase(LiveFold(), pane_updates),
    "live, a waiting customer": FoldCase(LiveFold(), waiting_updates),
}
every_fold = pytest.mark.parametrize("case", FOLDS.values(), ids=list(FOLDS))


def run(case: FoldCase, state: Any, batch: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Fold a batch and check what holds for each: outcomes, purity, and equal bytes."""
    before = case.fold.dump(state)
    after, outcomes = case.fold(state, batch, CONTEXT)
    assert len(outcomes) == len(batch)
    assert case.fold.dump(state) == before
    raw = case.fold.dump(after)
    assert case.fold.load(raw) == after
    assert case.fold.dump(case.fold.load(raw)) == raw
    return after, list(outcomes)


@every_fold
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_batching_does_not_change_the_state(case: FoldCase, data: st.DataObject) -> None:
    inputs = data.draw(case.inputs())
    whole, _ = run(case, case.fold.empty(), inputs)
    state, rest = case.fold.empty(), inputs
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        state, _ = run(case, state, rest[:size])
        rest = rest[size:]
    assert snapshot(case, state) == snapshot(case, whole)


def snapshot(case: FoldCase, state: Any) -> Any:
    """Return a state as later batches depend on it.

    Converse keeps summaries of threads that it continued at their end; they are a cache.
    """
    if case.fold is not FOLD:
        return case.fold.dump(state)
    return state.entries, [thread._replace(full_summary=None) for thread in state.threads]


@every_fold
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_repeated_last_input_changes_nothing(case: FoldCase, data: st.DataObject) -> None:
    inputs = data.draw(case.inputs())
    state, _ = run(case, case.fold.empty(), inputs)
    if inputs:
        again, outcomes = run(case, state, inputs[-1:])
        assert outcomes == [Drop("unchanged")]
        assert case.fold.dump(again) == case.fold.dump(state)


@every_fold
def test_an_empty_batch_changes_nothing(case: FoldCase) -> None:
    state, outcomes = run(case, case.fold.empty(), [])
    assert (state, outcomes) == (case.fold.empty(), [])
    assert case.fold.name


@given(pane_updates())
def test_a_replayed_pane_counts_every_record_once(updates: list[PaneUpdate]) -> None:
    case = FOLDS["live, a pane"]
    state, _ = run(case, case.fold.empty(), updates)
    again, outcomes = run(case, state, updates)
    assert outcomes == [Drop("unchanged")] * len(updates)
    assert again == state

"""Laws of converse: its rows are a function of the set of records, in any order and batches."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.replica import Replica
from pipeline.outcomes import Context, Drop, Emit, run_checked
from pipeline.processors.converse.record_view import CallView, RecordView
from pipeline.processors.enrich import enrich_step
from schemas.conversations import ConversationFact
from schemas.records import Record
from schemas.topics import TOPICS
from schemas.unchecked import to_json
from tests.contract.test_step_laws import EVENTS, IDENTITY
from tests.support.conversing import (
    FOLD,
    conversation_id,
    ctx,
    current_rows,
    fold_batch,
    fold_batches,
    message,
    record_id,
    replace,
    rows_of_kind,
    upsert,
)

_TEXTS = (
    "好的",
    "谢谢",
    "我想了解一下这款茶壶的价格，什么时候发货",
    "我想了解一下这款茶壶的价格，什么时候可以发货",
    "麻烦周一下午给我回电话",
    "I will call you back tomorrow.",
    "稍后联系您。",
    "The lid of the kettle is cracked and I want my money back.",
    "Please reply by Friday.",
    "",
    "会话已结束",
    "长" * 400,
)
_PLACES = st.sampled_from([0, 1, 1, 2, 3, 5, 8, 30, 90, 600, 1500, 4000, 20000])


@st.composite
def a_record(draw: st.DrawFn, number: int) -> RecordView:
    say = draw(st.sampled_from(["in", "in", "out", "out", "bot", "system"]))
    one = message(
        f"r{number}",
        draw(_PLACES) + number * draw(st.sampled_from([0, 0, 1, 7])),
        draw(st.sampled_from(_TEXTS)),
        say=say,
        conversation=draw(st.sampled_from(["c1", "c2", "c3"])),
    )
    received = one.occurred_at + draw(st.sampled_from([0, 1_000, 3_600_000]))
    kind = draw(st.sampled_from(["chat", "chat", "mail", "call", "vain"]))
    if kind == "mail":
        names = st.sampled_from([f"m{n}" for n in range(8)])
        one = replace(
            one,
            channel="email",
            message_id=f"m{number}",
            references=tuple(draw(st.lists(names, max_size=2))),
            subject=draw(st.sampled_from(["Kettle", "Re: Kettle"])),
        )
    elif kind in ("call", "vain"):
        talk = draw(st.sampled_from([3.0, 60.0, 4000.0])) if kind == "call" else None
        one = replace(
            one,
            channel="call",
            kind="call",
            call=CallView(disposition="answered" if talk else "no_answer", talk_s=talk),
        )
    result = draw(st.sampled_from(["", "", "", "resolved"]))
    return replace(one, received_at=received, result=result)


@st.composite
def records(draw: st.DrawFn, most: int = 12) -> list[RecordView]:
    return [draw(a_record(number)) for number in range(draw(st.integers(1, most)))]


def split(items: Sequence[RecordView], cuts: Sequence[int]) -> Iterator[Sequence[RecordView]]:
    places = sorted({0, *(c % (len(items) + 1) for c in cuts), len(items)})
    for start, end in pairwise(places):
        yield items[start:end]


_CUTS = st.lists(st.integers(0, 40), max_size=12)


@given(records(), st.randoms(use_true_random=False), _CUTS, _CUTS)
@settings(max_examples=400, deadline=None)
def test_order_and_batches_do_not_change_the_rows(
    items: list[RecordView], random_: object, cuts: list[int], others: list[int]
) -> None:
    shuffled = list(items)
    random_.shuffle(shuffled)  # type: ignore[attr-defined]
    _, one = fold_batches(split(sorted(items, key=lambda item: item.occurred_at), cuts))
    _, other = fold_batches(split(shuffled, others))
    assert one == other


@given(records(), st.randoms(use_true_random=False), _CUTS)
@settings(max_examples=150, deadline=None)
def test_a_replay_changes_nothing_and_emits_nothing(
    items: list[RecordView], random_: object, cuts: list[int]
) -> None:
    state, _ = fold_batches([items])
    again = list(items)
    random_.shuffle(again)  # type: ignore[attr-defined]
    for batch in split(again, cuts):
        after, outcomes = FOLD(state, batch, ctx())
        assert outcomes == [Drop("unchanged")] * len(batch)
        assert FOLD.dump(after) == FOLD.dump(state)


@given(records(8), records(8), st.randoms(use_true_random=False), _CUTS)
@settings(max_examples=250, deadline=None)
def test_a_corrected_record_replaces_its_earlier_form(
    first: list[RecordView], corrected: list[RecordView], random_: object, cuts: list[int]
) -> None:
    only_first = first[len(corrected) :]
    mixed = [*first, *corrected]
    _, with_history = fold_batches(split(mixed, cuts))
    _, without = fold_batches([[*only_first, *corrected]])
    assert with_history == without


@given(records(), _CUTS)
@settings(max_examples=100, deadline=None)
def test_a_state_equals_its_dump_loaded_and_is_never_mutated(
    items: list[RecordView], cuts: list[int]
) -> None:
    state = FOLD.empty()
    for batch in split(items, cuts):
        raw = FOLD.dump(state)
        after, outcomes = FOLD(state, batch, ctx())
        assert FOLD.dump(state) == raw
        again, outcomes_again = FOLD(FOLD.load(raw), batch, ctx())
        assert (again, outcomes_again) == (after, outcomes)
        assert FOLD.load(FOLD.dump(after)) == after
        state = after


@given(records())
@settings(max_examples=60, deadline=None)
def test_every_output_is_valid_keyed_and_for_its_topic(items: list[RecordView]) -> None:
    _, outcomes = FOLD(FOLD.empty(), items, ctx())
    assert len(outcomes) == len(items)
    for item, outcome in zip(items, outcomes, strict=True):
        assert isinstance(outcome, Emit)
        for output in outcome.outputs:
            assert type(output.value) in TOPICS[output.outlet].carries
            assert output.key == item.key
            assert type(output.value).model_validate_json(to_json(output.value)) == output.value
            assert to_json(output.value) == output.value.model_dump_json().encode()


def test_bytes_of_a_newer_program_are_rejected() -> None:
    with pytest.raises(ValueError, match="upgrade"):
        FOLD.load(orjson.dumps([2]))


def test_a_long_chat_keeps_a_bounded_state_and_its_first_opening() -> None:
    items = [
        message(f"l{n}", n, f"message number {n}", say="in" if n % 3 else "out")
        for n in range(2_000)
    ]
    state, rows = fold_batches(items[start : start + 50] for start in range(0, len(items), 50))
    assert len(FOLD.dump(state)) < 60_000
    (conversation,) = [row for row in rows.values() if type(row).__name__ == "Conversation"]
    assert (conversation.opened_at - conversation.last_at).total_seconds() == -1_999 * 60  # type: ignore[attr-defined]


def test_records_beyond_the_horizon_emit_only_their_facts() -> None:
    items = [message(f"l{n}", n, f"message number {n}") for n in range(600)]
    late, rest = items[:40], items[40:]
    state, emitted = fold_batch(FOLD.empty(), rest)
    rows: dict = {}  # type: ignore[type-arg]
    upsert(rows, emitted)
    state, emitted = fold_batch(state, late)
    upsert(rows, emitted)
    kept = [row for row in current_rows(rows).values() if isinstance(row, ConversationFact)]
    messages = {str(row.record_id) for row in kept if row.kind == "customer_message"}
    assert messages == {record_id(f"l{n}") for n in range(600)}
    assert all(str(row.conversation_id) == conversation_id() for row in current_rows(rows).values())  # type: ignore[attr-defined]


def test_a_view_of_a_record_equals_that_of_its_json() -> None:

    outcomes = run_checked(
        enrich_step(IDENTITY),
        EVENTS,
        Context(datetime(2026, 11, 20, tzinfo=UTC), Replica().classifier()),
    )
    found = [
        o.value
        for outcome in outcomes
        if isinstance(outcome, Emit)
        for o in outcome.outputs
        if isinstance(o.value, Record)
    ]
    assert len(found) > 20
    for one in found:
        assert RecordView.from_json(one.model_dump_json().encode()) == RecordView.from_record(one)


def test_a_reopening_in_the_batch_that_makes_it_late_is_emitted() -> None:
    """The batch first looked like mere growth, and the reopening was noted but never emitted."""
    items = [
        replace(message("a", 0, "hello", say="out"), result=""),
        message("b", 1, "hello there", say="out"),
        replace(message("c", 2, "done", say="out"), result="resolved"),
    ]
    late = message("d", 3, "My kettle is broken.")
    late = replace(late, received_at=late.occurred_at + 3_600_000)
    batches = [items, [late, message("e", 4, "Are you there?")]]
    _, grown = fold_batches(batches)
    _, at_once = fold_batches([[*batches[0], *batches[1]]])
    assert grown == at_once
    assert [row.record_id for row in rows_of_kind(grown, ConversationFact, kind="reopened")] == [
        UUID(record_id("d"))
    ]

"""Which clock is trusted; durations are null where nothing happened."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.processors.clean.timestamps import MAX_SKEW, call_facts, choose_times
from schemas.communications import CallData

NOW = datetime(2026, 11, 1, 10, tzinfo=UTC)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


def test_stated_time_near_arrival_is_trusted() -> None:
    times = choose_times(NOW - timedelta(hours=3), NOW, NOW, is_sender_clock=True)
    assert (times.occurred_at, times.received_at, times.sent_at) == (
        NOW - timedelta(hours=3),
        NOW,
        NOW - timedelta(hours=3),
    )
    assert times.flags == ()


@pytest.mark.parametrize("said", [NOW - timedelta(days=400), NOW + timedelta(days=2)])
def test_skewed_sender_clock_is_flagged_and_replaced(said: datetime) -> None:
    times = choose_times(said, NOW, NOW, is_sender_clock=True)
    assert (times.occurred_at, times.sent_at, times.flags) == (NOW, said, ("clock_skew",))


def test_old_mail_without_an_arrival_keeps_its_date() -> None:
    times = choose_times(NOW - timedelta(days=9000), None, NOW, is_sender_clock=True)
    assert (times.occurred_at, times.flags) == (NOW - timedelta(days=9000), ())


def test_date_after_the_log_time_is_clock_skew() -> None:
    assert choose_times(NOW + timedelta(days=30), None, NOW, is_sender_clock=False).flags == (
        "clock_skew",
    )


def test_log_time_is_used_and_flagged_without_any_time() -> None:
    times = choose_times(None, None, NOW, is_sender_clock=False)
    assert (times.occurred_at, times.received_at, times.flags) == (NOW, NOW, ("missing_time",))


@given(
    said=st.none() | instants,
    received=st.none() | instants,
    taken=instants,
    sender_clock=st.booleans(),
)
def test_chosen_times_are_among_the_inputs(
    said: datetime | None, received: datetime | None, taken: datetime, sender_clock: bool
) -> None:
    times = choose_times(said, received, taken, sender_clock)
    if said is None and received is not None and received - taken > MAX_SKEW:
        # Only a clock that is ahead: it says nothing.
        received = None
    assert times.occurred_at in (said, received, taken)
    assert times.received_at == (received or taken)
    if received is not None:
        assert abs(times.occurred_at - received) <= MAX_SKEW


def call(**times: datetime | float | None) -> CallData:
    return CallData.model_validate({"channel": "call", **times})


def test_answered_call_has_ring_and_talk_time() -> None:
    facts, flags = call_facts(
        call(
            started_at=NOW,
            answered_at=NOW + timedelta(seconds=9),
            ended_at=NOW + timedelta(seconds=300),
        ),
        NOW,
    )
    assert (facts.ring_s, facts.talk_s, flags) == (9, 291, ())


def test_an_unanswered_call_has_null_talk_not_zero() -> None:
    facts, _ = call_facts(call(started_at=NOW, ended_at=NOW + timedelta(seconds=20)), NOW)
    assert (facts.ring_s, facts.talk_s) == (20, None)


def test_recorded_talk_time_counts_only_for_answered_calls() -> None:
    ended = NOW + timedelta(seconds=60)
    facts, _ = call_facts(call(started_at=NOW, answered_at=NOW, ended_at=ended, talk_s=48), NOW)
    assert facts.talk_s == 48
    facts, _ = call_facts(call(started_at=NOW, ended_at=ended, talk_s=0), NOW)
    assert facts.talk_s is None


def test_contradicting_times_give_null_durations_and_a_flag() -> None:
    facts, flags = call_facts(
        call(started_at=NOW, answered_at=NOW - timedelta(seconds=5), ended_at=NOW), NOW
    )
    assert (facts.ring_s, facts.talk_s, flags) == (None, None, ("call_times_disorder",))

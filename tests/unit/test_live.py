"""Live counts every record once, however often and in whatever batches the log returns it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import Context, NoModels
from pipeline.processors.converse.business_hours import from_ms
from pipeline.processors.live.alerts import AlertMonitor
from pipeline.processors.live.live_fold import (
    WAITING_RETENTION_MS,
    LiveFold,
    LiveUpdate,
    state_updates,
)
from pipeline.processors.live.observations import (
    Observation,
    WaitingUpdate,
    observe_conversation,
    observe_record,
)
from pipeline.processors.live.panes import RESOLUTIONS, Pane, StateChanges
from pipeline.processors.live.spikes import surprise
from pipeline.processors.live.view import SOON_MS, LiveView
from pipeline.reporting.live_page import page
from pipeline.runtime.live_handler import LiveHandler, live_fold_handler
from schemas.live import Alert
from schemas.records import BusinessRecord, Record
from schemas.topics import ALERTS, CONVERSATIONS, DEAD_LETTERS, LIVE_STATE, RECORDS
from schemas.unchecked import to_json
from tests.support import live

NOW = 1_795_000_000_000


class StoredState:
    """The state of one partition, stored by key and read back for every batch."""

    def __init__(self, partition: int = 0) -> None:
        self.partition = partition
        self.state: StateChanges = {}
        self.view = LiveView()

    def fold(
        self,
        batch: Sequence[tuple[int, Observation | WaitingUpdate]],
        now: int = NOW,
        topic: str = RECORDS.name,
    ) -> None:
        """Fold a batch of the partition."""
        updates: dict[bytes, list[LiveUpdate]] = defaultdict(list)
        for offset, item in batch:
            for key, update in state_updates(self.partition, topic, offset, item, now):
                updates[key.dump()].append(update)
        fold, ctx = LiveFold(), Context(from_ms(now), NoModels())
        for raw_key, of_key in updates.items():
            state, _ = fold(fold.load(self.state.get(raw_key, b"")), of_key, ctx)
            self.state[raw_key] = fold.dump(state)
            self.view.apply([(raw_key, self.state[raw_key])])

    def windows(self, now: int = NOW) -> dict[tuple[str, str], Counter[str]]:
        """Return the windows as of an instant."""
        return live.windows_of(dict(page(self.view, AlertMonitor(), now)))


def observations(
    records: Iterable[Record], first: int = 0
) -> list[tuple[int, Observation | WaitingUpdate]]:
    """Return what live reads of records, with offsets from `first` on."""
    items: list[tuple[int, Observation | WaitingUpdate]] = []
    for offset, record in enumerate(records, first):
        observation = observe_record(to_json(record))
        assert observation is not None
        items.append((offset, observation))
    return items


_AGES = st.integers(-30_000, live.DAY_MS + 3_600_000)
_RECORDS = st.lists(
    st.tuples(
        _AGES, st.sampled_from(live.NEEDS), st.sampled_from(live.CHANNELS), st.integers(0, 5)
    ),
    max_size=40,
)


def _records(drawn: list[tuple[int, str, str, int]]) -> list[Record]:
    return [
        live.record(
            number, NOW - age, customer=who, need=need, sentiment="negative", channel=channel
        )
        for number, (age, need, channel, who) in enumerate(drawn)
    ]


@given(_RECORDS, st.lists(st.integers(0, 40), max_size=6))
def test_windows_are_exact_for_any_batching(
    drawn: list[tuple[int, str, str, int]], cuts: list[int]
) -> None:
    records = _records(drawn)
    stored, items = StoredState(), observations(records)
    for start, end in pairwise([0, *sorted(cuts), len(items)]):
        stored.fold(items[start:end])
    assert stored.windows() == live.exact_windows(records, NOW)


@given(_RECORDS, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6))
def test_records_that_are_read_again_are_not_counted_again(
    drawn: list[tuple[int, str, str, int]], crashes: list[tuple[int, int]]
) -> None:
    records = _records(drawn)
    stored, items = StoredState(), observations(records)
    # Each crash: some records were counted, and the log goes back to an earlier one.
    for start, end in crashes:
        stored.fold(items[min(start, _next_offset(stored, items)) : end])
    stored.fold(items[min(_next_offset(stored, items), len(items)) :])
    stored.fold(items)
    assert stored.windows() == live.exact_windows(records, NOW)


def _next_offset(stored: StoredState, items: Sequence[object]) -> int:
    """Return the offset after the last counted record: reading continues there or before."""
    offsets = [orjson.loads(value)[0] for value in stored.state.values() if value]
    return max(offsets, default=-1) + 1 if items else 0


@given(_RECORDS)
def test_later_windows_drop_older_records(drawn: list[tuple[int, str, str, int]]) -> None:
    records = _records(drawn)
    stored = StoredState()
    stored.fold(observations(records))
    for later in (0, 11_000, 61_000, 3_600_000, 90_000_000):
        stored.view.evict(NOW + later)
        found = {key: counts for key, counts in stored.windows(NOW + later).items() if counts}
        assert found == live.exact_windows(records, NOW + later)


def test_windows_sum_all_partitions() -> None:
    records = list(live.quiet_day(400, NOW))
    view = LiveView()
    for partition in range(3):
        stored = StoredState(partition)
        stored.fold([item for item in observations(records) if item[0] % 3 == partition])
        view.apply(stored.state.items())
    assert live.windows_of(dict(page(view, AlertMonitor(), NOW))) == live.exact_windows(
        records, NOW
    )


def test_customers_wait_until_they_are_answered() -> None:
    stored = StoredState()
    parts = [
        live.conversation(1, NOW - 600_000, NOW - 1),
        live.conversation(2, NOW - 300_000, NOW + SOON_MS - 1),
        live.conversation(3, NOW - 120_000, NOW + SOON_MS + 1),
        live.conversation(4, NOW - WAITING_RETENTION_MS - 1, NOW),
        live.conversation(5, NOW - 60_000, None),
    ]
    emitted = [(offset, observe_conversation(to_json(part))) for offset, part in enumerate(parts)]
    stored.fold(emitted, topic=CONVERSATIONS.name)
    shown = page(stored.view, AlertMonitor(), NOW)
    assert shown["waiting"] == [
        {
            "tenant": "default",
            "channel": "chat",
            "waiting": 4,
            "longest_s": 600.0,
            "due_soon": 1,
            "overdue": 1,
        }
    ]
    assert [(due["contact"], due["overdue"]) for due in shown["due"]] == [
        ("id:C-2", False),
        ("id:C-1", True),
    ]
    answered = [
        (
            9,
            observe_conversation(to_json(live.conversation(number, NOW, None, answered=True))),
        )
        for number in (1, 2)
    ]
    stored.fold(answered, topic=CONVERSATIONS.name)
    assert page(stored.view, AlertMonitor(), NOW)["waiting"][0]["waiting"] == 2
    assert page(stored.view, AlertMonitor(), NOW)["due"] == []


def _day(
    stored: StoredState, watch: AlertMonitor, records: Sequence[Record], every_ms: int
) -> list[Alert]:
    """Let a day pass, checking from time to time; return the emitted alerts."""
    emitted: list[Alert] = []
    items = observations(records)
    place, begin = 0, NOW - live.DAY_MS
    end = max(one[1].at_ms for one in items if isinstance(one[1], Observation))
    for now in range(begin, end + every_ms, every_ms):
        batch = []
        while (
            place < len(items)
            and isinstance(one := items[place][1], Observation)
            and one.at_ms <= now
        ):
            batch.append(items[place])
            place += 1
        stored.fold(batch, now)
        stored.view.evict(now)
        emitted += watch.check(stored.view, now)
    assert place == len(items)
    return emitted


def test_a_quiet_day_of_100_000_records_raises_nothing() -> None:
    # 480 looks at three minutes; with more of them nothing new is seen, a window is five.
    assert (
        _day(StoredState(), AlertMonitor(), list(live.quiet_day(100_000, NOW, seed=5)), 180_000)
        == []
    )


def test_a_spike_of_complaints_raises_one_alert_within_a_minute() -> None:
    begin = NOW + 1_000
    flood = [*live.quiet_day(3_000, NOW), *live.spike(60, begin, 30_000)]
    stored, watch = StoredState(), AlertMonitor()
    assert _day(stored, watch, flood[:3_000], 600_000) == []
    emitted: list[Alert] = []
    spiked = observations(flood[3_000:], 3_000)
    for now in range(begin, begin + 1_800_000, 5_000):
        batch = [
            one
            for one in spiked
            if isinstance(one[1], Observation) and now - 5_000 < one[1].at_ms <= now
        ]
        stored.fold(batch, now)
        emitted += watch.check(stored.view, now)
    assert len({alert.alert_id for alert in emitted}) == 1
    first, last = emitted[0], emitted[-1]
    assert first.raised_at.timestamp() * 1000 <= begin + 60_000
    assert (first.kind, first.channel) == ("spike", "chat")
    assert {"need:complaint", "sentiment:negative"} == set(last.measures)
    assert last.seen == 60 or last.seen >= 30
    assert last.ended_at is not None
    complaints = {record.record_id for record in flood[3_000:]}
    assert len(first.evidence) >= 5
    assert len(complaints & set(first.evidence)) >= len(first.evidence) - 2


def test_one_customer_who_writes_often_is_no_spike() -> None:
    stored, watch = StoredState(), AlertMonitor()
    angry = [
        live.record(
            50_000 + number, NOW + number * 100, customer=7, need="complaint", sentiment="negative"
        )
        for number in range(60)
    ]
    assert _day(stored, watch, [*live.quiet_day(2_000, NOW), *angry], 600_000) == []


def test_a_flood_of_messages_raises_an_alert_and_the_morning_does_not() -> None:
    stored, watch = StoredState(), AlertMonitor()
    quiet = list(live.quiet_day(5_000, NOW))
    random_ = random.Random(3)
    flood = [
        live.record(
            90_000 + number,
            NOW + number * 500,
            customer=100_000 + number,
            need=random_.choices(live.NEEDS, (30, 25, 15, 18, 10, 2))[0],
            sentiment=random_.choice(("neutral", "positive")),
        )
        for number in range(600)
    ]
    assert _day(stored, watch, quiet, 600_000) == []
    stored.fold(observations(flood, 5_000), NOW + 300_000)
    emitted = watch.check(stored.view, NOW + 300_000)
    assert "inbound" in {measure for alert in emitted for measure in alert.measures}


def test_a_lasting_change_of_level_raises_one_alert() -> None:
    """Refunds double from one hour in thirty on; no five minutes of it is a spike."""
    random_ = random.Random(11)
    records = []
    for number in range(14_400):
        moment = NOW - live.DAY_MS + number * 6_000
        share = 0.05 if moment < NOW - 3 * 3_600_000 else 0.16
        need = "refund_return" if random_.random() < share else "logistics"
        records.append(
            live.record(number, moment, customer=number % 900, need=need, sentiment="neutral")
        )
    emitted = _day(StoredState(), AlertMonitor(), records, 60_000)
    assert [(alert.kind, alert.measure) for alert in emitted] == [("level", "need:refund_return")]


def test_another_monitor_continues_from_emitted_alerts() -> None:
    stored, first = StoredState(), AlertMonitor()
    flood = [*live.quiet_day(2_000, NOW), *live.spike(60, NOW + 1_000, 20_000)]
    stored.fold(observations(flood), NOW + 30_000)
    emitted = first.check(stored.view, NOW + 30_000)
    assert len(emitted) == 1
    second = AlertMonitor()
    second.restore(emitted)
    assert [
        alert
        for alert in second.check(stored.view, NOW + 35_000)
        if alert.alert_id != emitted[0].alert_id
    ] == []
    assert second.open_alerts()[0].alert_id == emitted[0].alert_id


@pytest.mark.parametrize(
    ("count", "of", "share"), [(10, 10, 0.1), (0, 50, 0.5), (30, 40, 0.3), (1, 1, 0.999)]
)
def test_surprise_bounds_the_binomial_tail(count: int, of: int, share: float) -> None:
    from scipy.stats import binom

    tail = binom.sf(count - 1, of, share) if count / of > share else binom.cdf(count, of, share)
    assert 10 ** -surprise(count, of, share) >= tail * (1 - 1e-9)


class MemoryStates:
    """States in memory, written from the messages of a handler as a host writes them."""

    def __init__(self) -> None:
        self.stored: StateChanges = {}

    def state_partition(self, topic: str, key: bytes) -> int:
        """Return the only partition."""
        return 0

    def read_states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the states of those keys that have one."""
        assert (topic, partition) == (LIVE_STATE.name, 0)
        return {key: self.stored[key] for key in keys if key in self.stored}

    def take(self, messages: Iterable[Message]) -> list[Message]:
        """Keep what is state; return the rest."""
        rest = []
        for message in messages:
            if message.topic == LIVE_STATE.name:
                assert message.key is not None
                self.stored[message.key] = message.value
            else:
                rest.append(message)
        return rest


def _log_records(records: Iterable[Record | BusinessRecord]) -> list[LogRecord]:
    return [
        LogRecord(message.topic, 0, offset, NOW, message.key, message.value, message.headers)
        for offset, message in enumerate(map(live.message_of, records))
    ]


def test_the_embedded_stage_writes_its_state_and_alerts() -> None:
    states, view = MemoryStates(), LiveView()
    handler = LiveHandler(
        states,
        view,
        AlertMonitor(),
        clock=lambda: datetime.fromtimestamp((NOW + 30_000) / 1000, UTC),
    )
    flood = [*live.quiet_day(2_000, NOW), *live.spike(60, NOW + 1_000, 20_000)]
    rest = states.take(handler.handle(_log_records(flood)))
    assert [message.topic for message in rest] == [ALERTS.name]
    copy = LiveView()
    copy.apply(states.stored.items())
    assert live.windows_of(dict(page(copy, AlertMonitor(), NOW + 30_000))) == live.exact_windows(
        flood, NOW + 30_000
    )
    again = states.take(handler.handle(_log_records(flood)))
    assert again == []
    assert handler.counts["emitted"] == 2 * len(flood)


def test_unreadable_records_become_dead_letters_with_a_reason() -> None:
    good = _log_records([live.record(1, NOW, customer=1, need="logistics", sentiment="neutral")])
    bad = [
        LogRecord(RECORDS.name, 0, 1, NOW, b"k", b"{"),
        LogRecord(
            RECORDS.name, 0, 2, NOW, b"k", b'{"kind": "message"}', [("sb_contract", b"Record")]
        ),
    ]
    states = MemoryStates()
    handler = live_fold_handler(states, lambda: datetime.fromtimestamp(NOW / 1000, UTC))
    dead_letters = states.take(handler.handle([*good, *bad]))
    assert [message.topic for message in dead_letters] == [DEAD_LETTERS.name] * 2
    assert {Pane.load(raw).offset for raw in states.stored.values()} == {0}
    letters = [orjson.loads(message.value) for message in dead_letters]
    assert [letter["stage"] for letter in letters] == ["live", "live"]
    assert "record_id" in letters[1]["message"]


def test_windows_are_multiples_of_their_panes() -> None:
    for resolution in RESOLUTIONS:
        assert resolution.span_s % resolution.pane_s == 0

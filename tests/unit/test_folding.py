"""A fold runs key by key over a batch: its states lie where its records lie, and one bad record
harms no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.port import LogRecord, Message, row_version
from pipeline.log.port import republish_message as put_again
from pipeline.outcomes import Context, Emit, Outcome, Output, Reject, StepContractError
from pipeline.runtime.fold_handler import FoldHandler
from pipeline.runtime.runner import TooManyErrorsError
from schemas.dead_letters import DeadLetter, Replay
from schemas.topics import BUSINESS, CONVERSE_STATE, DEAD_LETTERS, RECORDS
from schemas.types import Contract

_NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _told(number: int) -> Contract:
    return Replay(
        dead_letter_id=UUID(int=number), replayed_at=_NOW, outcome="accepted", message=str(number)
    )


@dataclass(frozen=True)
class Sum:
    """Adds numbers up; raises on 13, forgets a few outcomes on 99."""

    name: str = "sum"

    def empty(self) -> int:
        return 0

    def load(self, raw: bytes) -> int:
        return int(raw)

    def dump(self, state: int) -> bytes:
        return str(state).encode() if state else b""

    def __call__(
        self, state: int, batch: Sequence[int], ctx: Context
    ) -> tuple[int, Sequence[Outcome[Contract]]]:
        if 13 in batch:
            raise ValueError("unlucky")
        outcomes: list[Outcome[Contract]] = []
        for number in batch:
            state += number
            outcomes.append(Emit((Output(_told(state), RECORDS.name, "k"),)))
        return state, outcomes[: -1 if 99 in batch else None]


def _home(key: bytes) -> int:
    return int(key == b"c")


@dataclass
class Shelf:
    """States as a log would keep them."""

    kept: dict[tuple[str, int, bytes], bytes] = field(default_factory=dict)

    def home(self, topic: str, key: bytes) -> int:
        assert topic == CONVERSE_STATE.name
        return _home(key)

    def states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {
            key: self.kept[topic, partition, key]
            for key in keys
            if (topic, partition, key) in self.kept
        }

    def take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.partition is not None:
                assert message.key is not None
                self.kept[message.topic, message.partition, message.key] = message.value


def _handler(shelf: Shelf) -> FoldHandler[int, int]:
    def decode(record: LogRecord) -> int | Reject:
        return int(record.value)

    states = {RECORDS.name: CONVERSE_STATE.name}
    return FoldHandler(
        "sum", (RECORDS.name, BUSINESS.name), decode, Sum(), states, shelf, clock=lambda: _NOW
    )


def _record(
    offset: int, key: bytes, number: int, partition: int = 0, topic: str = RECORDS.name
) -> LogRecord:
    return LogRecord(topic, partition, offset, 0, key, str(number).encode())


def _sums(messages: Sequence[Message]) -> list[int]:
    return [
        int(Replay.model_validate_json(m.value).message)
        for m in messages
        if m.topic == RECORDS.name
    ]


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 9)), max_size=30),
    st.data(),
)
def test_any_batching_gives_the_same_outputs_and_states(
    items: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    records = [
        _record(offset, key, number, _home(key)) for offset, (key, number) in enumerate(items)
    ]
    whole, parts = Shelf(), Shelf()
    at_once = _handler(whole).handle(records)
    whole.take(at_once)
    in_parts: list[Message] = []
    while records:
        size = data.draw(st.integers(1, len(records)))
        made = _handler(parts).handle(records[:size])
        parts.take(made)
        in_parts += made
        records = records[size:]
    assert _sums(in_parts) == _sums(at_once)
    assert parts.kept == whole.kept


def test_outputs_keep_the_order_of_the_batch_and_states_come_once_a_key() -> None:
    shelf = Shelf()
    made = _handler(shelf).handle(
        [_record(0, b"a", 1), _record(1, b"b", 10), _record(2, b"a", 2), _record(3, b"b", 20)]
    )
    assert _sums(made) == [1, 10, 3, 30]
    assert [(m.key, m.value, m.partition) for m in made if m.topic == CONVERSE_STATE.name] == [
        (b"a", b"3", 0),
        (b"b", b"30", 0),
    ]


def test_a_record_that_raises_is_alone_in_the_dead_letters_and_leaves_the_state() -> None:
    shelf = Shelf()
    made = _handler(shelf).handle(
        [_record(0, b"a", 1), _record(1, b"a", 13), _record(2, b"a", 2), _record(3, b"b", 5)]
    )
    shelf.take(made)
    assert _sums(made) == [1, 3, 5]
    (letter,) = [
        DeadLetter.model_validate_json(m.value) for m in made if m.topic == DEAD_LETTERS.name
    ]
    assert (letter.offset, letter.reason_code, "unlucky" in letter.message) == (
        1,
        "step_error",
        True,
    )
    assert shelf.kept == {
        (CONVERSE_STATE.name, 0, b"a"): b"3",
        (CONVERSE_STATE.name, 0, b"b"): b"5",
    }


def test_a_topic_without_states_is_folded_from_nothing() -> None:
    shelf = Shelf({(CONVERSE_STATE.name, 0, b"a"): b"100"})
    made = _handler(shelf).handle([_record(0, b"a", 1, topic=BUSINESS.name), _record(0, b"a", 1)])
    assert _sums(made) == [1, 101]
    shelf.take(made)
    assert shelf.kept == {(CONVERSE_STATE.name, 0, b"a"): b"101"}


def test_an_unchanged_state_is_not_written() -> None:
    made = _handler(Shelf({(CONVERSE_STATE.name, 0, b"a"): b"7"})).handle([_record(0, b"a", 0)])
    assert [m.topic for m in made] == [RECORDS.name]


def test_a_fold_that_loses_an_outcome_stops_the_worker() -> None:
    with pytest.raises(StepContractError, match="0 outcomes for 1"):
        _handler(Shelf()).handle([_record(0, b"a", 99)])


def test_a_fold_that_fails_on_most_of_a_batch_stops_the_worker() -> None:
    with pytest.raises(TooManyErrorsError):
        _handler(Shelf()).handle([_record(offset, b"%d" % offset, 13) for offset in range(30)])


def test_a_record_that_lies_elsewhere_is_put_again_as_old_as_it_is_and_touches_no_state() -> None:
    shelf, astray = Shelf(), LogRecord(RECORDS.name, 0, 7, 1_000, b"c", b"5", [("ce_id", b"e")])
    handler = _handler(shelf)
    made = handler.handle([_record(6, b"a", 1), astray, _record(0, b"c", 2, partition=1)])
    shelf.take(made)
    (again,) = [message for message in made if message.value == astray.value]
    assert (again.topic, again.key, again.partition, handler.counts["dropped:moved"]) == (
        RECORDS.name,
        b"c",
        None,
        1,
    )
    assert shelf.kept == {
        (CONVERSE_STATE.name, 0, b"a"): b"1",
        (CONVERSE_STATE.name, 1, b"c"): b"2",
    }
    home = LogRecord(RECORDS.name, 1, 1, 9_000, again.key, again.value, again.headers)
    assert row_version(home) == row_version(astray)
    assert home.header("ce_id") == "e"
    shelf.take(_handler(shelf).handle([home]))
    assert shelf.kept[CONVERSE_STATE.name, 1, b"c"] == b"7"
    # Moved once more it is still as old.
    assert row_version(
        LogRecord(RECORDS.name, 0, 3, 20_000, b"c", b"5", put_again(home).headers)
    ) == row_version(astray)

"""The fold handler: a batch is folded key by key, and one bad record does not affect the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InstallationError
from pipeline.log.port import LogRecord, Message, row_version
from pipeline.log.port import republish_message as put_again
from pipeline.outcomes import Context, Emit, Outcome, Output, Reject
from pipeline.runtime.fold_handler import FoldHandler
from pipeline.runtime.record_guard import TooManyErrorsError
from schemas.dead_letters import DeadLetter, Replay
from schemas.topics import BUSINESS, CONVERSE_STATE, DEAD_LETTERS, RECORDS
from schemas.types import Contract

_NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _replay(number: int) -> Contract:
    return Replay(
        dead_letter_id=UUID(int=number), replayed_at=_NOW, outcome="accepted", message=str(number)
    )


@dataclass(frozen=True)
class Sum:
    """Adds up numbers; raises on 13, and loses an outcome on 99."""

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
            outcomes.append(Emit((Output(_replay(state), RECORDS.name, "k"),)))
        return state, outcomes[: -1 if 99 in batch else None]


def _home_partition(key: bytes) -> int:
    return int(key == b"c")


@dataclass
class MemoryStates:
    """Keeps states in memory as a log does, by topic, partition and key."""

    stored: dict[tuple[str, int, bytes], bytes] = field(default_factory=dict)

    def state_partition(self, topic: str, key: bytes) -> int:
        assert topic == CONVERSE_STATE.name
        return _home_partition(key)

    def read_states(self, topic: str, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {
            key: self.stored[topic, partition, key]
            for key in keys
            if (topic, partition, key) in self.stored
        }

    def write(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.partition is not None:
                assert message.key is not None
                self.stored[message.topic, message.partition, message.key] = message.value


def _handler(states: MemoryStates) -> FoldHandler[int, int, int]:
    def decode(record: LogRecord) -> int | Reject:
        return int(record.value)

    state_topics = {RECORDS.name: CONVERSE_STATE.name}
    return FoldHandler(
        "sum",
        (RECORDS.name, BUSINESS.name),
        decode,
        Sum(),
        state_topics,
        states,
        clock=lambda: _NOW,
    )


def _record(
    offset: int, key: bytes, number: int, partition: int = 0, topic: str = RECORDS.name
) -> LogRecord:
    return LogRecord(topic, partition, offset, 0, key, str(number).encode())


def _letters(messages: Sequence[Message]) -> list[DeadLetter]:
    return [
        DeadLetter.model_validate_json(message.value)
        for message in messages
        if message.topic == DEAD_LETTERS.name
    ]


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
def test_batching_does_not_change_outputs_and_states(
    items: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    records = [
        _record(offset, key, number, _home_partition(key))
        for offset, (key, number) in enumerate(items)
    ]
    whole, parts = MemoryStates(), MemoryStates()
    at_once = _handler(whole).handle(records)
    whole.write(at_once)
    in_parts: list[Message] = []
    while records:
        size = data.draw(st.integers(1, len(records)))
        messages = _handler(parts).handle(records[:size])
        parts.write(messages)
        in_parts += messages
        records = records[size:]
    assert _sums(in_parts) == _sums(at_once)
    assert parts.stored == whole.stored


def test_outputs_are_in_batch_order_and_each_state_is_written_once() -> None:
    states = MemoryStates()
    messages = _handler(states).handle(
        [_record(0, b"a", 1), _record(1, b"b", 10), _record(2, b"a", 2), _record(3, b"b", 20)]
    )
    assert _sums(messages) == [1, 10, 3, 30]
    assert [(m.key, m.value, m.partition) for m in messages if m.topic == CONVERSE_STATE.name] == [
        (b"a", b"3", 0),
        (b"b", b"30", 0),
    ]


def test_only_the_record_that_raises_becomes_a_dead_letter() -> None:
    states = MemoryStates()
    messages = _handler(states).handle(
        [_record(0, b"a", 1), _record(1, b"a", 13), _record(2, b"a", 2), _record(3, b"b", 5)]
    )
    states.write(messages)
    assert _sums(messages) == [1, 3, 5]
    (letter,) = [
        DeadLetter.model_validate_json(m.value) for m in messages if m.topic == DEAD_LETTERS.name
    ]
    assert (letter.offset, letter.reason_code, "unlucky" in letter.message) == (
        1,
        "step_error",
        True,
    )
    assert states.stored == {
        (CONVERSE_STATE.name, 0, b"a"): b"3",
        (CONVERSE_STATE.name, 0, b"b"): b"5",
    }


def test_a_topic_without_states_is_folded_from_an_empty_state() -> None:
    states = MemoryStates({(CONVERSE_STATE.name, 0, b"a"): b"100"})
    messages = _handler(states).handle(
        [_record(0, b"a", 1, topic=BUSINESS.name), _record(0, b"a", 1)]
    )
    assert _sums(messages) == [1, 101]
    states.write(messages)
    assert states.stored == {(CONVERSE_STATE.name, 0, b"a"): b"101"}


def test_an_unchanged_state_is_not_written() -> None:
    messages = _handler(MemoryStates({(CONVERSE_STATE.name, 0, b"a"): b"7"})).handle(
        [_record(0, b"a", 0)]
    )
    assert [m.topic for m in messages] == [RECORDS.name]


def test_a_record_whose_outcome_the_fold_loses_becomes_a_dead_letter() -> None:
    states = MemoryStates()
    messages = _handler(states).handle([_record(0, b"a", 99), _record(1, b"a", 1)])
    states.write(messages)
    (letter,) = _letters(messages)
    assert (letter.offset, letter.reason_code) == (0, "step_error")
    assert "0 outcomes for 1" in letter.message
    assert states.stored == {(CONVERSE_STATE.name, 0, b"a"): b"1"}


def test_a_flood_of_raising_records_stops_nothing_while_the_samples_fold() -> None:
    handler = replace(
        _handler(MemoryStates()), samples=lambda: [_record(0, b"sample", 1), _record(1, b"b", 2)]
    )
    messages = handler.handle([_record(offset, b"%d" % offset, 13) for offset in range(30)])
    assert {letter.reason_code for letter in _letters(messages)} == {"step_error"}
    assert len(_letters(messages)) == 30


def test_a_fold_that_fails_on_its_samples_stops_the_worker() -> None:
    handler = replace(_handler(MemoryStates()), samples=lambda: [_record(0, b"sample", 13)])
    with pytest.raises(TooManyErrorsError, match="so do the program's own samples"):
        handler.handle([_record(offset, b"%d" % offset, 13) for offset in range(30)])


def test_a_state_that_cannot_be_loaded_rejects_the_records_of_its_key() -> None:
    broken = {(CONVERSE_STATE.name, 0, b"a"): b"no number"}
    states = MemoryStates(dict(broken))
    messages = _handler(states).handle(
        [*(_record(offset, b"a", 1) for offset in range(25)), _record(25, b"b", 2)]
    )
    states.write(messages)
    letters = _letters(messages)
    assert [letter.offset for letter in letters] == list(range(25))
    assert {letter.reason_code for letter in letters} == {"state_unreadable"}
    assert "remove it as the runbook says" in letters[0].message
    assert states.stored == broken | {(CONVERSE_STATE.name, 0, b"b"): b"2"}


@pytest.mark.parametrize("key", [None, b"", b"k" * 5_000])
def test_a_record_without_a_usable_key_is_rejected(key: bytes | None) -> None:
    messages = _handler(MemoryStates()).handle(
        [LogRecord(RECORDS.name, 0, 0, 0, key, b"1"), _record(1, b"a", 1)]
    )
    (letter,) = _letters(messages)
    assert (letter.offset, letter.reason_code) == (0, "schema_value")


class _GoneError(InstallationError):
    """Planted."""


@pytest.mark.parametrize("error", [_GoneError("planted"), OSError(5, "planted"), MemoryError()])
def test_errors_of_the_installation_pass_wherever_they_are_raised(error: Exception) -> None:
    def fail(_record: LogRecord) -> int:
        raise error

    with pytest.raises(type(error)):
        replace(_handler(MemoryStates()), decode=fail).handle([_record(0, b"a", 1)])


@pytest.mark.parametrize(
    "error", [AttributeError("planted"), RecursionError(), OSError(75, "year")]
)
def test_any_other_error_of_decoding_rejects_the_record(error: Exception) -> None:
    def fail(record: LogRecord) -> int:
        if record.value == b"13":
            raise error
        return 1

    handler = replace(_handler(MemoryStates()), decode=fail)
    messages = handler.handle([*(_record(n, b"a", 13) for n in range(30)), _record(30, b"a", 1)])
    assert [letter.offset for letter in _letters(messages)] == list(range(30))
    assert _sums(messages) == [1]


def test_a_fold_that_fails_on_most_of_a_batch_stops_the_worker() -> None:
    with pytest.raises(TooManyErrorsError):
        _handler(MemoryStates()).handle(
            [_record(offset, b"%d" % offset, 13) for offset in range(30)]
        )


def test_a_record_on_the_wrong_partition_is_republished_with_its_age() -> None:
    states, misplaced = (
        MemoryStates(),
        LogRecord(RECORDS.name, 0, 7, 1_000, b"c", b"5", [("ce_id", b"e")]),
    )
    handler = _handler(states)
    messages = handler.handle([_record(6, b"a", 1), misplaced, _record(0, b"c", 2, partition=1)])
    states.write(messages)
    (again,) = [message for message in messages if message.value == misplaced.value]
    assert (again.topic, again.key, again.partition, handler.counts["dropped:moved"]) == (
        RECORDS.name,
        b"c",
        None,
        1,
    )
    assert states.stored == {
        (CONVERSE_STATE.name, 0, b"a"): b"1",
        (CONVERSE_STATE.name, 1, b"c"): b"2",
    }
    home = LogRecord(RECORDS.name, 1, 1, 9_000, again.key, again.value, again.headers)
    assert row_version(home) == row_version(misplaced)
    assert home.header("ce_id") == "e"
    states.write(_handler(states).handle([home]))
    assert states.stored[CONVERSE_STATE.name, 1, b"c"] == b"7"
    # Moved once more it is still as old.
    assert row_version(
        LogRecord(RECORDS.name, 0, 3, 20_000, b"c", b"5", put_again(home).headers)
    ) == row_version(misplaced)

"""The runner: no record is lost, bad records are rejected alone, a faulty step stops the worker."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log.dead_letters import ingest_dead_letter, storable_text
from pipeline.log.port import LogRecord, Message
from pipeline.outcomes import (
    Context,
    Drop,
    Emit,
    MapStep,
    Outcome,
    Output,
    Pipeline,
    Reject,
    StepContractError,
    emit,
    run_checked,
)
from pipeline.runtime.record_guard import TooManyErrorsError, run_with_bisection
from pipeline.runtime.runner import LoadHandler, StepHandler
from pipeline.runtime.stages import decode_contract
from pipeline.sinks.warehouse import Columns, WarehouseBusyError, WarehouseError
from schemas.dead_letters import DeadLetter, RejectCode
from schemas.envelope import stable_id
from schemas.records import Link
from schemas.types import Contract

NOW = datetime(2026, 11, 1, 10, tzinfo=UTC)


class NoModels:
    """Models for steps that use none."""

    def classify(self, texts: Sequence[str], directions: Sequence[str]) -> list[dict[str, Any]]:
        return [{} for _ in texts]


def link(name: str) -> Link:
    return Link(
        link_id=stable_id(name),
        customer_id=stable_id("a"),
        contact="a",
        other_customer_id=stable_id("b"),
        other_contact="b",
        record_id=stable_id("r"),
        linked_at=NOW,
    )


def record(value: bytes, offset: int = 0, topic: str = "links.v1") -> LogRecord:
    return LogRecord(
        topic,
        0,
        offset,
        1_790_000_000_000,
        b"k",
        value,
        (("ce_tenant", b"t"), ("ce_locator", "表.csv#1".encode())),
    )


def act(value: bytes, _ctx: Context) -> Outcome[Contract]:
    if value == b"raise":
        raise ValueError("poison")
    if value == b"drop":
        return Drop("asked")
    if value == b"reject":
        return Reject(RejectCode.SCHEMA_VALUE, "field x: wrong")
    return emit(link(value.decode()), "links.v1", value.decode())


STEP = MapStep("act", act)


def handler() -> StepHandler[bytes]:
    return StepHandler(
        "test", ("raw",), lambda record: record.value, lambda _: STEP, NoModels, lambda: NOW
    )


@given(st.lists(st.sampled_from([b"raise", b"drop", b"reject", b"one", b"two"]), max_size=40))
def test_outcomes_become_messages_in_order(values: list[bytes]) -> None:
    messages = handler().handle(
        [record(value, offset, "raw") for offset, value in enumerate(values)]
    )
    expected = [
        ("dead-letters.v1" if value in (b"raise", b"reject") else "links.v1")
        for value in values
        if value != b"drop"
    ]
    assert [message.topic for message in messages] == expected


def test_a_dead_letter_has_the_original_record() -> None:
    (message,) = handler().handle([record(b"reject", 7, "raw")])
    letter = DeadLetter.model_validate_json(message.value)
    assert (letter.payload, letter.key, letter.topic, letter.partition, letter.offset) == (
        b"reject",
        b"k",
        "raw",
        0,
        7,
    )
    assert (letter.stage, letter.step, letter.reason_code, letter.message) == (
        "test",
        "act",
        "schema_value",
        "field x: wrong",
    )
    assert (letter.tenant, letter.locator, letter.headers["ce_locator"]) == (
        "t",
        "表.csv#1",
        "表.csv#1",
    )
    assert letter.failed_at == NOW


def test_a_repeated_rejection_is_the_same_dead_letter() -> None:
    first, second = (handler().handle([record(b"reject", 7, "raw")])[0] for _ in range(2))
    assert first == second


def test_too_few_outcomes_raise() -> None:
    @dataclass
    class Loses:
        name: str = "loses"

        def __call__(self, batch: Sequence[int], ctx: Context) -> Sequence[Outcome[int]]:
            return [emit(item) for item in batch][:-1]

    with pytest.raises(StepContractError, match="loses returned 1 outcomes for 2 inputs"):
        run_checked(Loses(), [1, 2], Context(NOW, NoModels()))


@given(st.lists(st.integers(0, 9), max_size=20))
def test_a_pipeline_keeps_order_and_the_first_rejection(numbers: list[int]) -> None:
    def drop_zero(number: int, _ctx: Context) -> Outcome[int]:
        return Drop("zero") if number == 0 else emit(number + 1)

    def reject_five(number: int, _ctx: Context) -> Outcome[int]:
        return Reject(RejectCode.SCHEMA_VALUE, "five") if number == 6 else emit(number)

    def repeat(number: int, _ctx: Context) -> Outcome[str]:
        return Emit(tuple(Output(str(number)) for _ in range(number % 3)))

    pipeline = Pipeline(
        "p",
        int,
        (MapStep("drop_zero", drop_zero), MapStep("reject_five", reject_five)),
        MapStep("repeat", repeat),
    )
    outcomes = run_checked(pipeline, numbers, Context(NOW, NoModels()))
    for number, outcome in zip(numbers, outcomes, strict=True):
        if number == 0:
            assert outcome == Drop("zero")
        elif number == 5:
            assert outcome == Reject(RejectCode.SCHEMA_VALUE, "five", "reject_five")
        else:
            assert outcome == Emit(tuple(Output(str(number + 1)) for _ in range((number + 1) % 3)))


def test_a_step_within_a_pipeline_emits_one_item() -> None:
    def twice(number: int, _ctx: Context) -> Outcome[int]:
        return Emit((Output(number), Output(number)))

    pipeline = Pipeline("p", int, (MapStep("twice", twice),), MapStep("twice", twice))
    with pytest.raises(StepContractError, match="twice emitted 2 outputs"):
        run_checked(pipeline, [1], Context(NOW, NoModels()))


@given(
    st.lists(st.booleans(), min_size=1, max_size=19)
)  # below the size at which too many stop the worker
def test_bisection_rejects_exactly_the_bad_inputs(bad: list[bool]) -> None:
    def run(part: Sequence[bool]) -> list[Outcome[Contract]]:
        if any(part):
            raise ValueError("bad")
        return [Emit(()) for _ in part]

    outcomes = run_with_bisection(bad, run, lambda error: Reject(RejectCode.STEP_ERROR, str(error)))
    assert [isinstance(outcome, Reject) for outcome in outcomes] == bad


def test_a_faulty_step_stops_the_worker() -> None:
    def run(part: Sequence[int]) -> list[Outcome[Contract]]:
        raise ValueError("no table")

    with pytest.raises(
        TooManyErrorsError, match=r"of 200 records failed.*no table.*nothing is committed"
    ):
        run_with_bisection(
            list(range(200)), run, lambda error: Reject(RejectCode.STEP_ERROR, str(error))
        )


@dataclass
class FakeWarehouse:
    """A warehouse that rejects the rows of `refused`."""

    refused: set[str] = field(default_factory=set)
    busy: bool = False
    rows: set[str] = field(default_factory=set)

    def insert(self, table: str, columns: Columns) -> None:
        if self.busy:
            raise WarehouseBusyError("memory", 241)
        if bad := [item for item in columns["link_id"] if item in self.refused]:
            raise WarehouseError(f"cannot take {bad}", 27)
        self.rows.update(columns["link_id"])

    def insert_all(self, blocks: Iterable[Mapping[str, Columns]]) -> None:
        for tables in blocks:
            for table, columns in tables.items():
                self.insert(table, columns)

    def query(self, sql: str, parameters: Any = None, fmt: str = "", limits: Any = None) -> bytes:
        return b""

    def execute(self, sql: str) -> None: ...

    def create_database(self) -> None: ...

    def close(self) -> None: ...


def test_only_rejected_rows_become_dead_letters() -> None:
    records = [record(link(str(n)).model_dump_json().encode(), n) for n in range(50)]
    records.append(record(b"{not json", 50))
    bad = {str(stable_id(str(n))) for n in (3, 17)}
    warehouse = FakeWarehouse(bad)
    messages = LoadHandler("load", ("links.v1",), decode_contract, warehouse, lambda: NOW).handle(
        records
    )
    letters = [DeadLetter.model_validate_json(message.value) for message in messages]
    assert [letter.offset for letter in letters] == [3, 17, 50]
    assert "code 27" in letters[0].message
    assert len(warehouse.rows) == 48


def test_a_busy_warehouse_causes_no_dead_letters() -> None:
    load = LoadHandler(
        "load", ("links.v1",), decode_contract, FakeWarehouse(busy=True), lambda: NOW
    )
    with pytest.raises(WarehouseBusyError):
        load.handle([record(link("a").model_dump_json().encode())])


@given(raw=st.binary(max_size=50), detail=st.text(), locator=st.text())
def test_any_bytes_can_become_an_ingest_dead_letter(raw: bytes, detail: str, locator: str) -> None:
    message: Message = ingest_dead_letter(
        "c", raw, Reject(RejectCode.UNPARSABLE, detail), locator, "t", NOW
    )
    letter = DeadLetter.model_validate_json(message.value)
    assert letter.payload == raw
    assert letter.message == storable_text(detail)

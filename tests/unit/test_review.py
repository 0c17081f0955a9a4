"""Review: which records are selected, and how the answers of a person are parsed."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.review import (
    ReviewAnswer,
    ReviewCandidate,
    collect_answers,
    find_candidates,
    parse_answer,
)
from pipeline.models.heads import HEADS
from pipeline.runtime.batch_insert import insert_batch
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.table_columns import VersionedContract
from schemas.labels import Label
from schemas.records import Delivery, Prediction
from schemas.types import Contract, Direction
from tests.support.prediction_records import record_of

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SPAM = next(head for head in HEADS if head.name == "spam")


def todo(count: int = 3, guess: str = "ham") -> list[ReviewCandidate]:
    return [
        ReviewCandidate(
            UUID(int=n), "spam", guess, 0.5, f"text {n}", "chat", "inbound", "en", "2026-11-20", 0.5
        )
        for n in range(count)
    ]


def answered(lines: Iterable[str], found: list[ReviewCandidate]) -> list[tuple[int, str]]:
    keys = iter(lines)

    def read(one: ReviewCandidate, place: int, wrong: str) -> str | None:
        return next(keys, None)

    return [
        (one.candidate.record_id.int, one.value) for one in collect_answers(found, [SPAM], read)
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("2 1 2", [(0, "spam"), (1, "ham"), (2, "spam")]),
        ("spam h sp", [(0, "spam"), (1, "ham"), (2, "spam")]),
        ("  2", [(0, "ham"), (1, "ham"), (2, "spam")]),
        ("2 s 1", [(0, "spam"), (2, "ham")]),
        ("2 q 1", [(0, "spam")]),
        ("q", []),
        ("2 u 1 s s", [(0, "ham")]),
        ("2 s u u 1 s q", [(0, "ham")]),
        ("u u 2 q", [(0, "spam")]),
        ("2 1 u u 1 2 q", [(0, "spam"), (0, "ham"), (1, "spam")]),
        ("7 0 x ² 2 q", [(0, "spam")]),
        ("2", [(0, "spam")]),
    ],
)
def test_keys_answer_skip_undo_and_quit(keys: str, expected: list[tuple[int, str]]) -> None:
    assert answered(keys.split(" "), todo()) == expected


def test_an_answer_is_yielded_one_question_late() -> None:
    asked: list[int] = []

    def read(one: ReviewCandidate, place: int, wrong: str) -> str:
        asked.append(place)
        return "2"

    given_now: Iterator[ReviewAnswer] = collect_answers(todo(), [SPAM], read)
    assert next(given_now).candidate.record_id == UUID(int=0)
    assert asked == [0, 1]


@given(st.text(max_size=8), st.sampled_from(["", "ham", "gone"]))
def test_any_word_is_parsed_to_a_label_or_none(word: str, guess: str) -> None:
    assert parse_answer(word, list(SPAM.labels), guess) in (None, "ham", "spam")


def test_an_ambiguous_prefix_is_no_answer() -> None:
    assert parse_answer("p", list(HEADS[0].labels), "") is None
    assert parse_answer("pric", list(HEADS[0].labels), "") == "price_inquiry"


def test_uncertain_recent_diverse_and_unlabelled_records_come_first(tmp_path: Path) -> None:
    warehouse = ChdbWarehouse(tmp_path)
    migrate(warehouse)

    def said(p: float) -> dict[str, Prediction]:
        return {"need": Prediction(label="invoice", p=p, abstained=True, version="rules/x")}

    records: list[Contract] = [
        record_of(1, "where is the invoice of my order", predictions=said(0.2)),
        record_of(2, "where is the invoice of my order?", predictions=said(0.21)),
        record_of(3, "谢谢，请问怎么退货", predictions=said(0.25)),
        record_of(4, "sure of this one", predictions=said(0.99)),
        record_of(
            5,
            "long ago, quite another matter",
            predictions=said(0.2),
            occurred_at=NOW - timedelta(days=300),
        ),
        record_of(6, "labelled already", predictions=said(0.1)),
        record_of(7, "from us to them", predictions=said(0.1), direction=Direction.OUTBOUND),
        record_of(8, "", predictions=said(0.0)),
        record_of(9, "谢谢，请问怎么退货", predictions=said(0.3)),
        Label(
            label_id=UUID(int=1),
            source="test",
            labelled_at=NOW,
            record_id=record_of(6, "").record_id,
            head="need",
            value="invoice",
            delivery=Delivery(sha256=""),
        ),
    ]
    insert_batch(
        warehouse, [VersionedContract.of(one, place + 1) for place, one in enumerate(records)]
    )
    need = HEADS[0]
    found = find_candidates(warehouse, [need], 10)
    assert {one.text for one in found} == {one.redacted_text for one in records[:5]}  # type: ignore[attr-defined]
    assert [one.text for one in find_candidates(warehouse, [need], 2)] == [
        "where is the invoice of my order",
        "谢谢，请问怎么退货",
    ]
    assert {one.head for one in find_candidates(warehouse, HEADS, 50)} == {
        head.name for head in HEADS
    }
    own = replace(need, name="visa")
    assert {one.probability for one in find_candidates(warehouse, [own], 3)} == {0.0}
    warehouse.close()

"""Promotion: the rows of a file become redacted examples once, and every replica learns them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from pipeline.commands.evaluate import data_from_log, effective_examples, head_named
from pipeline.commands.generations import publish_events, renew_generation
from pipeline.commands.promote import PromotionError, promote
from pipeline.log.port import Message
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.evaluation.comparison import EvaluationPlan, compare
from pipeline.models.evaluation.labelled_rows import EvaluationError, LabelledRow
from pipeline.models.evaluation.results import Contender
from pipeline.models.replica import Replica
from pipeline.models.snapshot import dump
from pipeline.text.normal_form import READ_CHARACTERS
from schemas.labels import Example, Promotion, Rollback
from schemas.topics import EXAMPLES
from tests.support.labelled_texts import labelled_texts

NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
HEAD = head_named("sentiment")
_VALUES = {"praise": "positive", "refund": "negative", "delivery": "neutral"}
ROWS = [replace(row, label=_VALUES[row.label]) for row in labelled_texts(60)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.sqlite")
    yield log
    log.close()


@pytest.fixture(scope="module")
def winner() -> Contender:
    return compare(ROWS, ROWS[:10], EvaluationPlan(models=("naive_bayes",), folds=2)).winner


def events(log: SqliteLog) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in log.scan(EXAMPLES.name, 0, 0, 10_000)]


def test_rows_become_examples_in_order_after_a_promotion_event(
    log: SqliteLog, winner: Contender
) -> None:
    done = promote(log, HEAD, ROWS, winner, NOW)
    first, *rest = events(log)
    promotion = Promotion.model_validate(first)
    named = (promotion.head, promotion.model, promotion.examples)
    assert named == ("sentiment", winner.name, len(rest))
    assert str(promotion.promotion_id) == done.promotion_id
    found = [Example.model_validate(event) for event in rest]
    distinct = list(dict.fromkeys((row.text, row.label) for row in ROWS))
    assert [(one.text, one.value) for one in found] == distinct
    assert {one.source for one in found} == {"import"}
    assert (done.added, done.already) == (len(distinct), 0)


def test_the_same_rows_twice_add_nothing_and_more_rows_only_new_examples(
    log: SqliteLog, winner: Contender
) -> None:
    first = promote(log, HEAD, ROWS[:30], winner, NOW)
    before = events(log)
    again = promote(log, HEAD, ROWS[:30], winner, NOW.replace(year=2027))
    assert (again.added, again.already, again.promotion_id) == (0, first.added, "")
    assert events(log) == before
    more = promote(log, HEAD, ROWS, winner, NOW)
    assert more.already == first.added
    assert len(events(log)) == len(before) + 1 + more.added
    assert (
        len({event["label_id"] for event in events(log) if event["kind"] == "example"})
        == first.added + more.added
    )


class FailsHalfWay(SqliteLog):
    """A log whose disk is gone after half of the messages."""

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with super().transaction() as real:

            class Half:
                def produce(self, messages: Sequence[Message]) -> None:
                    real.produce(messages[: len(messages) // 2])
                    raise OSError("the disk is gone")

            yield Half()


def test_a_failed_promotion_writes_nothing_and_the_next_one_everything(
    log: SqliteLog, winner: Contender, tmp_path: Path
) -> None:
    failing = FailsHalfWay(tmp_path / "log.sqlite")
    with pytest.raises(OSError, match="the disk is gone"):
        promote(failing, HEAD, ROWS, winner, NOW)
    failing.close()
    assert events(log) == []
    assert promote(log, HEAD, ROWS, winner, NOW).added > 0


def refolded(log: SqliteLog) -> Replica:
    """Fold the log as each worker does."""
    replica = Replica()
    for record in log.scan(EXAMPLES.name, 0, 0, 10_000):
        replica.apply(orjson.loads(record.value), record.offset)
    return replica


def test_replicas_learn_promoted_examples_and_a_refold_gives_the_same_state(
    log: SqliteLog, winner: Contender
) -> None:
    done = promote(log, HEAD, ROWS, winner, NOW)
    replica = refolded(log)
    assert replica.quality("sentiment").count == done.added
    answer = replica.classifier().classify(["服务很棒，你好"], ["inbound"])[0]["sentiment"]
    assert (answer.label, answer.version) == ("positive", replica.version)
    assert dump(refolded(log)) == dump(replica)


def test_texts_are_redacted_cut_and_labelled_with_their_language(
    log: SqliteLog, winner: Contender
) -> None:
    rows = [
        LabelledRow("please call +49 30 5550100 or mail ann@example.com, I am waiting", "negative"),
        LabelledRow("非常满意，谢谢你们" + "好" * 5_000, "positive", channel="chat"),
    ]
    promote(log, HEAD, rows, winner, NOW)
    english, chinese = (Example.model_validate(event) for event in events(log)[1:])
    assert "5550100" not in english.text
    assert "<email>" in english.text
    assert (english.language, chinese.language, chinese.channel) == ("en", "zh", "chat")
    assert len(chinese.text) == READ_CHARACTERS


def test_a_label_of_another_head_is_rejected_and_nothing_is_written(
    log: SqliteLog, winner: Contender
) -> None:
    with pytest.raises(
        PromotionError, match="angry: not labels of sentiment; its labels are very_negative"
    ):
        promote(log, HEAD, [*ROWS, LabelledRow("grr", "angry")], winner, NOW)
    assert events(log) == []


def test_examples_are_split_by_time_and_the_latest_label_counts(
    log: SqliteLog, winner: Contender
) -> None:
    with pytest.raises(EvaluationError, match="contains no label of sentiment"):
        data_from_log(log, HEAD)
    promote(log, HEAD, ROWS, winner, NOW)
    rows = list(effective_examples(log, HEAD))
    assert [row.text for row in rows] == list(dict.fromkeys(row.text for row in ROWS))
    corrected = replace(ROWS[0], label="very_positive")
    promote(log, HEAD, [corrected], winner, NOW)
    latest = list(effective_examples(log, HEAD))
    assert (latest[-1].text, latest[-1].label) == (corrected.text, "very_positive")
    assert len(latest) == len(rows)
    data = data_from_log(log, HEAD)
    assert (list(data.train) + list(data.test), len(data.test)) == (latest, len(latest) // 5)
    assert list(effective_examples(log, head_named("spam"))) == []


def label(number: int, **more: Any) -> dict[str, Any]:
    """Return an example of a record of its own, as the resolver writes it."""
    known = {
        "kind": "example",
        "head": "sentiment",
        "value": "positive",
        "text": "great",
        "weight": 2,
        "source": "person",
    }
    ids = {"record_id": str(UUID(int=number)), "label_id": str(UUID(int=1_000 + number))}
    return {**known, **ids, "labelled_at": "2026-11-01T09:00:00Z", **more}


def written(log: SqliteLog, *events: dict[str, Any]) -> None:
    with log.transaction() as transaction:
        transaction.produce([Message(EXAMPLES.name, None, orjson.dumps(event)) for event in events])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pin"},
        {"head": "spam"},
        {"value": "angry"},
        {"text": " "},
        {"text": None},
        {"weight": 0},
        {"weight": "1"},
        {"labelled_at": "yesterday"},
        {"record_id": "7"},
    ],
)
def test_events_that_a_replica_ignores_are_not_evaluated(
    log: SqliteLog, change: dict[str, Any]
) -> None:
    good = label(1)
    written(
        log,
        good,
        label(2) | change,
        good | {"label_id": str(UUID(int=3)), "labelled_at": "2026-11-02T09:00:00Z"} | change,
    )
    assert list(effective_examples(log, HEAD)) == [LabelledRow("great", "positive", weight=2.0)]


def test_a_retracted_label_is_not_evaluated(log: SqliteLog) -> None:
    later = {
        "kind": "retraction",
        "labelled_at": "2026-11-02T09:00:00Z",
        "label_id": str(UUID(int=5)),
    }
    written(log, label(1), label(2), label(1) | later, label(2) | later | {"head": "need"})
    assert len(list(effective_examples(log, HEAD))) == 1


def test_a_label_of_a_person_overrides_later_outcomes(log: SqliteLog) -> None:
    outcome = {
        "source": "outcome",
        "value": "negative",
        "label_id": str(UUID(int=9)),
        "labelled_at": "2026-11-09T09:00:00Z",
    }
    written(log, label(1, text="said"), label(1, text="found", **outcome), label(2, **outcome))
    assert [(row.text, row.label) for row in effective_examples(log, HEAD)] == [
        ("said", "positive"),
        ("great", "negative"),
    ]
    older = {
        "value": "negative",
        "label_id": str(UUID(int=8)),
        "labelled_at": "2026-10-01T09:00:00Z",
    }
    written(log, label(1, text="said before, labelled later", **older))
    assert [row.text for row in effective_examples(log, HEAD)] == ["said", "great"]
    assert len(list(refolded(log).label_resolution.effective_labels())) == 2


def test_rolled_back_examples_are_not_evaluated(log: SqliteLog) -> None:
    written(log, label(1), label(2))
    publish_events(log, [Rollback(generation=0, offset=0, at=NOW)])
    written(log, label(3))
    assert list(effective_examples(log, HEAD)) == [LabelledRow("great", "positive", weight=2.0)] * 2
    renew_generation(log)
    assert list(effective_examples(log, HEAD)) == [LabelledRow("great", "positive", weight=2.0)] * 2

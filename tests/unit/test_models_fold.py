"""Laws of the fold over the examples: versions made again, corrections, generations that forget,
pins, rollbacks, restarts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.commands.generations import publish_events, renew_generation
from pipeline.commands.models import (
    VersionError,
    export_version,
    pin_version,
    read_exported,
    replica_at,
    resolve_version,
    roll_back,
    summarise_version,
    unpin_version,
)
from pipeline.log.sqlite_log import SqliteLog
from pipeline.models.examples_fold import AppliedControl, ExamplesFold
from pipeline.models.replica import LearntExample, RecordedLabel, RefusedEvent, Replica
from pipeline.models.snapshot import digest, dump, dump_fold, load_fold
from pipeline.models.state_format import StateError
from pipeline.runtime.model_worker import ModelWorker, fold_markers_only, fold_path
from schemas.labels import Generation
from schemas.topics import EXAMPLES
from tests.support.example_events import (
    BEGAN,
    example,
    invented_labels,
    labellings,
    publish_examples,
    whole_fold,
)

_SLOW = settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.sqlite")
    yield log
    log.close()


def log_of(folder: Path, events: list[dict[str, Any]]) -> SqliteLog:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.sqlite"
    for old in folder.glob("log.sqlite*"):
        old.unlink()
    log = SqliteLog(path)
    publish_examples(log, events)
    return log


def weights(replica: Replica) -> dict[str, bytes]:
    return {name: learner.to_bytes() for name, learner in replica.learners().items()}


def learnt(events: list[dict[str, Any]]) -> Replica:
    replica = Replica()
    for offset, event in enumerate(events):
        replica.apply(event, offset)
    return replica


def test_redelivered_label_is_learnt_once() -> None:
    (event,) = invented_labels(1)
    replica = Replica()
    assert isinstance(replica.apply(event, 0), LearntExample)
    assert replica.apply(event, 1) == RecordedLabel("need", "appointment", "repeated")
    assert replica.quality("need").count == 1
    assert weights(replica) == weights(learnt([event]))


def test_correction_changes_the_answer_and_is_not_tested() -> None:
    events = invented_labels(60)
    wrong = [
        event | {"value": "invoice"} if event["value"] == "appointment" else event
        for event in events
    ]
    right = [
        event | {"label_id": str(UUID(int=5_000 + index)), "labelled_at": "2026-02-01T00:00:00Z"}
        for index, event in enumerate(events)
    ]
    replica = learnt(wrong)
    assert replica.classifier().classify(["my blorf"], ["inbound"])[0]["need"].label == "invoice"
    effects = [replica.apply(event, 1_000 + index) for index, event in enumerate(right)]
    assert [outcome.effect for outcome in effects if isinstance(outcome, LearntExample)] == [
        "corrects"
    ] * 30
    assert [outcome.effect for outcome in effects if isinstance(outcome, RecordedLabel)] == [
        "confirms"
    ] * 30
    assert (
        replica.classifier().classify(["my blorf"], ["inbound"])[0]["need"].label == "appointment"
    )
    assert replica.quality("need").count == 60


@_SLOW
@given(events=labellings(), cuts=st.lists(st.integers(0, 20), max_size=3), again=st.integers(0, 6))
def test_restart_from_snapshot_gives_the_same_bytes(
    events: list[dict[str, Any]], cuts: list[int], again: int, tmp_path: Path
) -> None:
    whole = ExamplesFold()
    for offset, event in enumerate(events):
        whole.apply(event, offset, _no_past)
    fold = ExamplesFold()
    start = 0
    for cut in [*sorted(cuts), len(events)]:
        for offset in range(max(start - again, 0), min(cut, len(events))):
            fold.apply(events[offset], offset, _no_past)
        fold, start = load_fold(dump_fold(fold)), cut
    assert dump_fold(fold) == dump_fold(whole)


def _no_past(_path: object) -> Replica:
    raise AssertionError("nothing goes back")


@_SLOW
@given(events=labellings(), gone=st.sets(st.integers(0, 5)), where=st.integers(0, 18))
def test_generation_without_a_customer_equals_one_that_never_had_them(
    events: list[dict[str, Any]], gone: set[int], where: int, tmp_path: Path
) -> None:
    forgotten = {str(UUID(int=1_000 + record)) for record in gone}
    before, after = (
        events[:where],
        [event for event in events[where:] if event["record_id"] not in forgotten],
    )
    forgetting = log_of(tmp_path / "a", before)
    renew_generation(forgetting, [UUID(record) for record in forgotten])
    publish_examples(forgetting, after)
    innocent = log_of(
        tmp_path / "b", [event for event in before if event["record_id"] not in forgotten]
    )
    renew_generation(innocent)
    publish_examples(innocent, after)
    one, other = whole_fold(forgetting).live, whole_fold(innocent).live
    assert weights(one) == weights(other)
    assert one.quality_counters == other.quality_counters
    assert dict(one.label_resolution.effective_labels()) == dict(
        other.label_resolution.effective_labels()
    )
    raw = b"".join(record.value for record in forgetting.scan(EXAMPLES.name, 0, 0, 10_000))
    for record in forgotten:
        assert f'"record_id":"{record}"'.encode() not in raw
    forgetting.close()
    innocent.close()


def test_forgotten_text_is_not_in_the_log_file(tmp_path: Path) -> None:
    log = log_of(
        tmp_path, [*invented_labels(20), example(50, "need", "invoice", "zanzibarquux is the word")]
    )
    assert any(b"zanzibarquux" in path.read_bytes() for path in tmp_path.iterdir())
    done = renew_generation(log, [UUID(int=1_050)])
    assert (done.number, done.copied, done.left_out) == (1, 20, 1)
    log.close()
    assert not any(b"zanzibarquux" in path.read_bytes() for path in tmp_path.iterdir())


def test_new_generation_has_no_corrections_or_retractions(log: SqliteLog) -> None:
    first, second = invented_labels(2)
    corrected = first | {
        "label_id": str(UUID(int=90)),
        "value": "complaint",
        "labelled_at": "2026-02-01T00:00:00Z",
    }
    back = {name: second[name] for name in ("record_id", "head", "source")}
    back |= {
        "kind": "retraction",
        "label_id": str(UUID(int=91)),
        "labelled_at": "2026-02-02T00:00:00Z",
    }
    publish_examples(log, [first, second, corrected, back])
    assert renew_generation(log).left_out == 2
    live = whole_fold(log).live
    assert weights(live) == weights(learnt([corrected]))
    publish_examples(log, [second])
    assert weights(whole_fold(log).live) == weights(live), (
        "a label that was taken back came again and was learnt"
    )


def test_interrupted_generation_changes_nothing_and_the_next_one_completes_it(
    log: SqliteLog,
) -> None:
    events = invented_labels(12)
    publish_examples(log, events[:10])
    begun = Generation(number=1, state="begun", forgotten=(UUID(int=1_003),), at=BEGAN)
    publish_events(log, [begun])
    publish_examples(log, [events[0] | {"copied": True}, events[10]])
    fold = whole_fold(log)
    assert (fold.live.generation, fold.building is not None) == (0, True)
    assert weights(fold.live) == weights(learnt(events[:11]))
    assert renew_generation(log).number == 2
    publish_examples(log, events[11:])
    fold = whole_fold(log)
    assert (fold.live.generation, fold.building) == (2, None)
    assert weights(fold.live) == weights(learnt([event for event in events if event != events[3]]))


def test_labels_during_a_new_generation_are_in_both(log: SqliteLog) -> None:
    events = invented_labels(6)
    publish_examples(log, events[:4])
    publish_events(log, [Generation(number=1, state="begun", at=BEGAN)])
    publish_examples(log, [events[4], *(event | {"copied": True} for event in events[:4])])
    assert weights(whole_fold(log).live) == weights(learnt(events[:5]))
    publish_events(log, [Generation(number=1, state="complete", at=BEGAN)])
    publish_examples(log, events[5:])
    assert weights(whole_fold(log).live) == weights(learnt([events[4], *events[:4], events[5]]))


def test_every_version_is_rebuilt_bit_by_bit(log: SqliteLog) -> None:
    events = invented_labels(60)
    publish_examples(log, events[:50])
    roll_back(log, "0/30")
    publish_examples(log, events[50:])
    roll_back(log, "0/20")
    seen: dict[str, str] = {}
    answers = {}
    fold = ExamplesFold()
    for record in log.scan(EXAMPLES.name, 0, 0, 1_000):
        fold.apply(orjson.loads(record.value), record.offset, lambda path: fold_path(log, path))
        seen[fold.live.version] = digest(fold.live)
        answers[fold.live.version] = fold.live.classifier().classify(
            ["my blorf", "gnarp!"], ["inbound"] * 2
        )
    assert len(seen) == 62
    for version in list(seen)[::7] + list(seen)[-3:]:
        again = replica_at(log, version)
        assert (again.version, digest(again)) == (version, seen[version])
        assert (
            again.classifier().classify(["my blorf", "gnarp!"], ["inbound"] * 2) == answers[version]
        )


def test_rollback_drops_the_examples_in_between(log: SqliteLog) -> None:
    good, bad, later = invented_labels(40), [], invented_labels(10, first=200)
    bad = [example(100 + index, "need", "complaint", "the blorf again") for index in range(60)]
    publish_examples(log, [*good, *bad])
    assert roll_back(log, "0/39", "a bad import").offset == 39
    publish_examples(log, later)
    live = whole_fold(log).live
    assert weights(live) == weights(learnt([*good, *later]))
    assert live.generation == 0
    assert (done := renew_generation(log)).copied == 50
    assert (done.number, done.left_out) == (1, 60)
    assert weights(whole_fold(log).live) == weights(live)
    with pytest.raises(VersionError, match="offset 900 is not in generation 1"):
        roll_back(log, "1/900")


def test_pin_fixes_answers_while_models_continue_to_learn(log: SqliteLog, tmp_path: Path) -> None:
    publish_examples(log, invented_labels(40))
    pin_version(log, "", "before the sale")
    publish_examples(
        log, [example(100 + index, "need", "complaint", "the blorf again") for index in range(80)]
    )
    learner = ModelWorker(log, tmp_path / "snapshot")
    (answer,) = learner.models().classify(["the blorf again"], ["inbound"])
    assert (answer["need"].label, answer["need"].version) == (
        "appointment",
        replica_at(log, "0/39").version,
    )
    assert learner.fold.live.offset == 120
    learner.save()
    back = ModelWorker(log, tmp_path / "snapshot")
    assert back.models().classify(["the blorf again"], ["inbound"]) == [answer]
    assert (
        dump_fold(back.fold)
        == dump_fold(learner.fold)
        == dump_fold(ModelWorker(log, tmp_path / "other").fold)
    )
    unpin_version(log)
    assert back.catch_up() == 1
    assert back.models().classify(["the blorf again"], ["inbound"])[0]["need"].label == "complaint"
    with pytest.raises(VersionError, match="nothing is pinned"):
        unpin_version(log)


def test_new_generation_removes_pins_and_old_snapshots(log: SqliteLog, tmp_path: Path) -> None:
    publish_examples(log, invented_labels(40))
    pin_version(log, "0/10")
    learner = ModelWorker(log, tmp_path / "snapshot")
    learner.save()
    renew_generation(log, [UUID(int=1_000)])
    assert learner.catch_up() > 0
    assert learner.fold.pin == ""
    kept = load_fold((tmp_path / "snapshot").read_bytes())
    assert (kept.live.generation, kept.pinned) == (1, None)
    with pytest.raises(VersionError, match="generation 0 is deleted"):
        pin_version(log, "0/10")


def test_invalid_versions_are_refused_with_a_reason() -> None:
    fold = ExamplesFold()
    for text, problem in (
        ("latest", "is not a version"),
        ("0/3/abcdef", "was made by recipe abcdef"),
        ("4/2", "generation 4 is deleted"),
        ("0/7", "offset 7 is not in generation 0"),
    ):
        with pytest.raises(VersionError, match=problem):
            resolve_version(fold, text)


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "generation", "number": 0, "state": "begun"},
        {"kind": "generation", "number": 3, "state": "complete"},
        {"kind": "generation", "number": "x", "state": "begun"},
        {"kind": "pin", "generation": 7, "offset": 1},
        {"kind": "pin", "generation": 0, "offset": "1"},
        {"kind": "rollback", "generation": 0, "offset": 99},
        {"kind": "rollback", "generation": None, "offset": 1},
        {"kind": "no such"},
        {},
    ],
)
def test_invalid_event_changes_only_the_position(event: dict[str, Any]) -> None:
    fold = ExamplesFold()
    for offset, one in enumerate(invented_labels(5)):
        fold.apply(one, offset, _no_past)
    before = dump(fold.live)
    assert isinstance(fold.apply(event, 5, _no_past), RefusedEvent)
    fold.live.offset = 4
    assert dump(fold.live) == before
    assert (fold.position, fold.control_events) == (5, [])


def test_promotion_is_recorded_and_not_learnt() -> None:
    fold = ExamplesFold()
    outcome = fold.apply({"kind": "promotion", "name": "winner"}, 0, _no_past)
    assert isinstance(outcome, AppliedControl)
    assert outcome.event.kind == "promotion"


def test_exported_version_is_readable_elsewhere_and_damage_is_detected(
    log: SqliteLog, tmp_path: Path
) -> None:
    publish_examples(log, invented_labels(40))
    file = tmp_path / "models.bin"
    exported = export_version(replica_at(log, "0/35"), file)
    read = read_exported(file)
    assert (digest(read), read.version) == (exported, replica_at(log, "0/35").version)
    assert summarise_version(read) == summarise_version(replica_at(log, "0/35"))
    file.write_bytes(file.read_bytes()[:-9] + b"x" + file.read_bytes()[-8:])
    with pytest.raises(VersionError, match="checksum"):
        read_exported(file)


def test_outline_fold_knows_the_version_without_learning(log: SqliteLog) -> None:
    publish_examples(log, invented_labels(30))
    pin_version(log, "0/12")
    roll_back(log, "0/20")
    renewed = fold_markers_only(log)
    whole = whole_fold(log)
    assert (renewed.live.version, renewed.pin, renewed.control_events) == (
        whole.live.version,
        whole.pin,
        whole.control_events,
    )


def test_damaged_snapshot_is_not_used(log: SqliteLog, tmp_path: Path) -> None:
    publish_examples(log, invented_labels(10))
    learner = ModelWorker(log, tmp_path / "snapshot")
    learner.save()
    (tmp_path / "snapshot").write_bytes(b"switchboard-models\nrubbish")
    with pytest.raises(StateError):
        load_fold((tmp_path / "snapshot").read_bytes())
    assert dump_fold(ModelWorker(log, tmp_path / "snapshot").fold) == dump_fold(learner.fold)


def test_each_prequential_test_is_emitted_once_when_a_batch_is_redelivered(
    log: SqliteLog, tmp_path: Path
) -> None:
    publish_examples(log, invented_labels(40))
    records = log.scan(EXAMPLES.name, 0, 0, 100)
    learner = ModelWorker(log, tmp_path / "snapshot", until=0)
    assert learner.fold.position == -1
    first = [(one.outcome, one.answer) for one in learner.test_then_train(records[:25])]
    again = [(one.outcome, one.answer) for one in learner.test_then_train(records[10:])]
    assert again[:15] == first[10:]
    assert len(again) == 30
    assert all(answer is not None for _, answer in first)
    assert dump_fold(learner.fold) == dump_fold(whole_fold(log))

"""One message never stops a stage: broken ones on every topic, among good events, on every host."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.dlq import DeadLetterFilter, list_dead_letters, read_dead_letters
from pipeline.commands.dlq_replay import replay_dead_letters
from pipeline.commands.status import collect_status
from pipeline.log.clock import now_ms
from pipeline.log.port import Message
from pipeline.reporting.trace import trace
from pipeline.runtime.stages import STAGES
from pipeline.sinks.warehouse import rows
from schemas.dead_letters import RejectCode
from schemas.topics import CONVERSE_STATE, TOPICS
from tests.support.broken_messages import Samples, corpus, mutations
from tests.support.events import make_events
from tests.support.flooding import Accounts, produce, valid_messages
from tests.support.installations import (
    Embedded,
    Installation,
    Make,
    Rows,
    as_lines,
    publish,
    rows_in,
)

_GOOD = 120
# `make fuzz` runs ten thousand (bench/fuzz_messages.py).
_MUTATIONS, _SEED = 300, 1
_WHOLE = (
    "communications",
    "business_events",
    "conversations",
    "conversation_facts",
    "followups",
    "links",
)
# Codes that say that our code raised: the corpus meets none in decoding.
_UNEXPECTED = (RejectCode.CRASH, RejectCode.SLOW)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of good events."""
    path = tmp_path_factory.mktemp("good") / "events.jsonl"
    path.write_text(as_lines(make_events(_GOOD, seed=3)), "utf-8")
    return path


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, good: Path) -> Rows:
    """Return the rows of the good events alone."""
    installation = Embedded(tmp_path_factory.mktemp("baseline"))
    publish(installation, good)
    installation.run()
    return rows_in(installation, _WHOLE)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Return valid messages by topic."""
    return valid_messages(tmp_path_factory.mktemp("samples"))


def _assert_good_rows(installation: Installation, baseline: Rows) -> None:
    actual = rows_in(installation, _WHOLE)
    assert len(baseline["communications"]) + len(baseline["business_events"]) == _GOOD
    for view, expected in baseline.items():
        assert sorted(set(expected) - set(actual[view])) == [], view


def _assert_commands_answer(installation: Installation) -> None:
    workspace = installation.workspace
    with workspace.open_warehouse() as warehouse, workspace.open_log() as log:
        listed = list_dead_letters(warehouse, DeadLetterFilter(), 100_000)
        by_kind = {(row["stage"], row["reason_code"]): row for row in listed}
        some = DeadLetterFilter(tuple(row["dead_letter_id"] for row in by_kind.values()))
        assert len(list(read_dead_letters(warehouse, some))) == len(by_kind) > 10
        traces, not_searched = trace(log, warehouse, "e1", tenant="default")
        assert [item.event_id for item in traces] == ["e1"]
        assert not_searched == []
        assert rows(warehouse, "SELECT count() AS n FROM history")[0]["n"]
    assert collect_status(workspace, now_ms()).tables
    accepted, refused = replay_dead_letters(workspace, some)
    assert len(refused) + len(accepted) == len(by_kind)
    assert refused


def test_the_corpus_on_every_topic(
    make: Make, good: Path, baseline: Rows, samples: Samples
) -> None:
    messages = corpus(samples)
    assert {message.topic for message in messages} == set(TOPICS)
    installation, accounts = make(), Accounts()
    random.Random(_SEED).shuffle(messages)
    produce(installation, messages[::2])
    publish(installation, good)
    produce(installation, messages[1::2])
    installation.run(accounts.wrap)
    _assert_good_rows(installation, baseline)
    accounts.check()
    with installation.workspace.open_warehouse() as warehouse:
        codes = {
            (row["stage"], row["reason_code"]): row["n"]
            for row in rows(
                warehouse,
                "SELECT stage, reason_code, toUInt32(count()) AS n FROM dead_letters GROUP BY ALL",
            )
        }
    assert set(accounts.stages) == {stage for stage, _ in codes}
    assert not [stage for stage, code in codes if code in _UNEXPECTED]
    stages = [stage for stage, topics in STAGES.items() if stage in accounts.stages]
    for stage in stages:
        assert codes[stage, RejectCode.BODY_MISSING] >= 5 * len(STAGES[stage])
    _assert_commands_answer(installation)
    installation.run(accounts.wrap)
    accounts.check()


def test_mutations_of_valid_messages(
    make: Make, good: Path, baseline: Rows, samples: Samples
) -> None:
    messages = list(mutations(samples, _SEED, _MUTATIONS))
    assert {message.topic for message in messages} >= set(samples)
    installation, accounts = make(), Accounts()
    produce(installation, messages[::2])
    publish(installation, good)
    produce(installation, messages[1::2])
    installation.run(accounts.wrap)
    _assert_good_rows(installation, baseline)
    accounts.check()


def test_a_body_that_is_back_is_replayed(make: Make) -> None:
    installation = make()
    workspace = installation.workspace
    text = "Where is my parcel? " * 20_000
    event: dict[str, Any] = next(make_events(1, seed=5))
    event |= {
        "type": "comm.message.received",
        "data": {"channel": "chat", "text": text, "from": {"phone": "+8613900000001"}},
    }
    path = workspace.root / "large.jsonl"
    path.write_text(as_lines([event]), "utf-8")
    publish(installation, path)
    (body,) = (workspace.root / "bodies").glob("??/*")
    away = body.rename(workspace.root / "away")
    installation.run()
    with workspace.open_warehouse() as warehouse:
        (letter,) = read_dead_letters(warehouse, DeadLetterFilter())
    assert (letter.stage, letter.reason_code) == ("enrich", RejectCode.BODY_MISSING)
    assert letter.headers["ce_dataref"] == body.name
    assert "then replay this dead letter" in letter.message
    assert replay_dead_letters(workspace, DeadLetterFilter())[0] == []
    away.rename(body)
    assert replay_dead_letters(workspace, DeadLetterFilter())[1] == []
    installation.run()
    (row,) = rows_in(installation, ["communications"])["communications"]
    assert json.loads(row)["event_id"] == event["id"]


def test_a_broken_state_keeps_its_records_for_replay(
    tmp_path: Path, good: Path, baseline: Rows
) -> None:
    installation = Embedded(tmp_path)
    workspace = installation.workspace
    events = good.read_text("utf-8").splitlines(keepends=True)
    path = tmp_path / "half.jsonl"
    path.write_text("".join(events[: _GOOD // 2]), "utf-8")
    publish(installation, path)
    installation.run()

    def states() -> list[Message]:
        with closing(workspace.open_sqlite_log()) as log:
            return [
                Message(CONVERSE_STATE.name, key, value, partition=partition)
                for key, value in log.compacted_entries(CONVERSE_STATE.name)
                for partition in [log.state_partition(CONVERSE_STATE.name, key)]
            ]

    sound = states()
    broken = (b"[]", b"{", b"[99, 1]", b"\xff", b'[1,"","","",[0,""],[[1]],[]]')
    produce(
        installation,
        [
            Message(CONVERSE_STATE.name, state.key, broken[index % 5], partition=state.partition)
            for index, state in enumerate(sound)
        ],
    )
    path.write_text("".join(events[_GOOD // 2 :]), "utf-8")
    publish(installation, path)
    installation.run()
    with workspace.open_warehouse() as warehouse:
        letters = list(read_dead_letters(warehouse, DeadLetterFilter()))
    assert {(item.stage, item.reason_code) for item in letters} == {
        ("converse", RejectCode.STATE_UNREADABLE)
    }
    produce(installation, sound)
    accepted, refused = replay_dead_letters(workspace, DeadLetterFilter())
    assert (len(accepted), refused) == (len(letters), [])
    installation.run()
    _assert_good_rows(installation, baseline)

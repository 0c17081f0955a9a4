"""Where a replay starts: stages, topics, instants and offsets, and errors that name them."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline.commands.replay import (
    Rewind,
    parse_instant,
    parse_offsets,
    plan_rewinds,
    resolve_stages,
)
from pipeline.errors import UserError
from pipeline.log.port import Message
from pipeline.log.sqlite_log import SqliteLog
from schemas.topics import BUSINESS, LABELS, RAW_CHAT, RECORDS, Topic

_SHANGHAI = ZoneInfo("Asia/Shanghai")
_TOPIC = Topic("records.v1", "", (), "", 2, 1_000)


def test_a_topic_selects_every_stage_that_reads_it_except_live() -> None:
    assert set(resolve_stages(RECORDS.name)) == {"converse", "load"}
    assert resolve_stages(LABELS.name, "resolve") == {"resolve": (LABELS.name,)}
    assert RAW_CHAT.name in resolve_stages("enrich")["enrich"]


@pytest.mark.parametrize(
    ("target", "stage", "message"),
    [
        ("live", "", "live is neither a stage that can be replayed"),
        ("converse-state.v1", "", "nor a topic that such a stage reads"),
        (
            BUSINESS.name,
            "resolve",
            "resolve does not read business.v1; its readers are converse, load",
        ),
    ],
)
def test_an_error_names_what_cannot_be_replayed(target: str, stage: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_stages(target, stage)


def test_instants_are_iso_8601_or_the_beginning_in_the_zone_of_the_settings() -> None:
    assert parse_instant("beginning", _SHANGHAI) == 0
    assert parse_instant("2026-11-01T10:00:00", _SHANGHAI) == parse_instant(
        "2026-11-01T02:00:00Z", _SHANGHAI
    )
    with pytest.raises(UserError, match="--from yesterday: write beginning, or a time such as"):
        parse_instant("yesterday", _SHANGHAI)


def test_offsets_name_partitions_of_a_topic() -> None:
    assert parse_offsets(RECORDS.name, ["3:1200", "0:7"]) == {
        (RECORDS.name, 3): 1200,
        (RECORDS.name, 0): 7,
    }
    with pytest.raises(UserError, match="--offset 3@5: write it as PARTITION:OFFSET"):
        parse_offsets(RECORDS.name, ["3@5"])
    with pytest.raises(UserError, match="--offset needs a topic: load is a stage"):
        parse_offsets("load", ["3:5"])


def test_a_replay_rewinds_to_the_first_record_and_skips_only_if_asked(
    tmp_path: Path,
) -> None:
    clock = iter((1_000, 2_000, 3_000, 10_000, 10_000)).__next__
    log = SqliteLog(tmp_path / "log.sqlite", {_TOPIC.name: _TOPIC}, clock)
    for _ in range(3):
        with log.transaction() as transaction:
            transaction.produce([Message(_TOPIC.name, b"k", b"v")])
    place = next(at for at in log.positions("load", [_TOPIC.name]) if at.end)
    where = (_TOPIC.name, place.partition)
    log.reset_offsets("load", {where: 2})
    stages = {"load": (_TOPIC.name,)}

    def wanted(
        since_ms: int | None = None, offset: int | None = None, *, skip: bool = False
    ) -> list[int]:
        offsets = {} if offset is None else {where: offset}
        found = plan_rewinds(log, stages, since_ms=since_ms, offsets=offsets, skip=skip)
        assert all(one == Rewind("load", *where, 2, one.target) for one in found)
        return [one.target for one in found]

    assert wanted(0) == [0]
    assert wanted(1_500) == [1]
    assert wanted(2_500) == wanted(9_000) == []
    assert wanted(9_000, skip=True) == wanted(offset=99, skip=True) == [3]
    assert wanted(offset=1) == [1]
    # What is past its retention is not there to be handled again.
    assert log.expire() == 2
    assert wanted(0) == []
    log.close()

"""When a worker takes partitions for abandoned: what the coordinator answers, over time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.log.port import TopicPartition
from pipeline.runtime.kafka import group_check
from pipeline.runtime.kafka.broker import Broker, BrokerUnavailableError
from pipeline.runtime.kafka.group_check import GroupCheck

_ANSWER = set[TopicPartition] | None
_LOST: set[TopicPartition] = {("raw.chat.v1", 1)}
_AWAY = BrokerUnavailableError("away")


def abandoned(
    monkeypatch: pytest.MonkeyPatch, answers: Sequence[_ANSWER | BrokerUnavailableError]
) -> tuple[list[set[TopicPartition]], int]:
    """Return what the check finds every five seconds, and how often it asked."""
    at, asked = 100.0, 0

    def answer(*_: object) -> _ANSWER:
        nonlocal asked
        asked += 1
        found = answers[asked - 1]
        if isinstance(found, BrokerUnavailableError):
            raise found
        return found

    monkeypatch.setattr(group_check, "unassigned_partitions", answer)
    check = GroupCheck(Broker("nowhere:1"), "enrich", ["raw.chat.v1"], lambda: at)
    found = []
    for _ in range(8):
        found.append(check.abandoned())
        # Within the same second nothing is asked.
        assert check.abandoned() == set()
        at += 5
    return found, asked


@pytest.mark.parametrize(
    ("answers", "found_at", "asked"),
    [
        ([set()], None, 1),
        ([None, _AWAY, set()], None, 3),
        # A member that lives gives them up.
        ([_LOST, _LOST, None, set()], None, 4),
        ([_LOST, _LOST, set()], None, 3),
        # One that was killed does not.
        ([_LOST, _LOST, _LOST], 2, 3),
        ([_LOST, _AWAY, _LOST], 2, 3),
        # The time starts again with each rebalance.
        ([_LOST, None, _LOST, _LOST, _LOST], 4, 5),
    ],
)
def test_partitions_are_abandoned_if_nobody_has_them_for_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[_ANSWER | BrokerUnavailableError],
    found_at: int | None,
    asked: int,
) -> None:
    found = [_LOST if at == found_at else set() for at in range(8)]
    assert abandoned(monkeypatch, answers) == (found, asked)

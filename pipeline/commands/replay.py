"""Replay: a stage's offsets set back, so that it handles again what the log still holds; same ids,
so rows replace themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from getpass import getuser
from uuid import uuid4
from zoneinfo import ZoneInfo

from pipeline.envelope import contract_message
from pipeline.errors import UserError
from pipeline.log.port import Log, Message, Position, TopicPartition
from pipeline.runtime.runner import utc_now
from pipeline.runtime.stages import STAGES
from pipeline.workspace import Workspace
from schemas.dead_letters import StageReplay
from schemas.topics import DEAD_LETTERS, TOPICS

BEGINNING = "beginning"
# Live counts what comes: what came again it would count twice, and its windows end by themselves.
_REPLAYED = {stage: topics for stage, topics in STAGES.items() if stage != "live"}
# The log's first record is not older.
_EPOCH_MS = 0


@dataclass(frozen=True, slots=True)
class Rewind:
    """One partition of a stage: where it stands (`found`), where it will (`wanted`)."""

    stage: str
    topic: str
    partition: int
    found: int
    wanted: int

    @property
    def offsets(self) -> int:
        """How many offsets are handled again; below 0: so many are passed over."""
        return self.found - self.wanted


def stages_of(target: str, stage: str = "") -> dict[str, tuple[str, ...]]:
    """Return the stages that a stage's or topic's name means, each with its topics; raises
    UserError for another name.
    """
    readers: dict[str, tuple[str, ...]] = {
        name: (target,) for name, topics in _REPLAYED.items() if target in topics
    }
    found = {target: _REPLAYED[target]} if target in _REPLAYED else readers
    if not found:
        read = sorted({topic for topics in _REPLAYED.values() for topic in topics})
        raise UserError(
            f"{target} is neither a stage that can be replayed ({', '.join(_REPLAYED)})"
            f" nor a topic that one reads ({', '.join(read)})"
        )
    if stage and stage not in found:
        raise UserError(f"{stage} does not read {target}; {', '.join(found)} does")
    return {stage: found[stage]} if stage else found


def instant_of(text: str, zone: ZoneInfo) -> int:
    """Return ms since 1970 of `beginning` or an ISO 8601 time, one without a zone in the given one;
    raises UserError.
    """
    if text == BEGINNING:
        return _EPOCH_MS
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"--from {text}: write {BEGINNING}, or a time as 2026-11-01T10:00:00+08:00"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)


def offsets_of(topic: str, words: Sequence[str]) -> dict[TopicPartition, int]:
    """Return what `--offset PARTITION:OFFSET` names; raises UserError where it is written
    otherwise.
    """
    if topic not in TOPICS:
        raise UserError(
            f"--offset needs a topic, not the stage {topic}: its topics have offsets of their own"
        )
    found: dict[TopicPartition, int] = {}
    for word in words:
        partition, colon, offset = word.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal()):
            raise UserError(f"--offset {word}: write it as PARTITION:OFFSET, such as 3:1200")
        found[topic, int(partition)] = int(offset)
    return found


def planned(
    log: Log,
    stages: Mapping[str, Sequence[str]],
    *,
    since_ms: int | None,
    offsets: Mapping[TopicPartition, int],
    skip: bool,
) -> list[Rewind]:
    """Return what a replay would change: from an instant, or from offsets. Forward, past unread
    records, only where `skip` says so.

    Raises UserError for a partition that does not exist.
    """
    rewinds: list[Rewind] = []
    for stage, topics in stages.items():
        wanted = dict(offsets) if since_ms is None else log.offsets_since(topics, since_ms)
        positions = log.positions(stage, topics)
        if unknown := sorted(set(wanted) - {(at.topic, at.partition) for at in positions}):
            raise UserError(f"{unknown[0][0]} has no partition {unknown[0][1]}")
        for at in positions:
            if (at.topic, at.partition) in wanted:
                rewinds.extend(_rewind(stage, at, wanted[at.topic, at.partition], skip))
    return rewinds


def _rewind(stage: str, at: Position, wanted: int, skip: bool) -> list[Rewind]:
    found = at.first if at.committed is None else at.committed
    # What is past its retention is not there to be handled again.
    to = min(max(wanted, at.first), at.end)
    return (
        [Rewind(stage, at.topic, at.partition, found, to)]
        if to < found or (skip and to > found)
        else []
    )


def rewind(workspace: Workspace, log: Log, rewinds: Sequence[Rewind], asked: str) -> None:
    """Set the offsets and write the audit; raises GroupRunning or StoreHeldError where workers of a
    stage run.
    """
    by_stage: dict[str, dict[TopicPartition, int]] = {}
    for one in rewinds:
        by_stage.setdefault(one.stage, {})[one.topic, one.partition] = one.wanted
    with nobody_running(workspace):
        for stage, positions in by_stage.items():
            log.rewind(stage, positions)
            with log.transaction() as transaction:
                transaction.produce(
                    [_audit(one, asked) for one in rewinds if one.stage == stage],
                )


def nobody_running(workspace: Workspace) -> AbstractContextManager[None]:
    """Keep an embedded run from beginning while inside; on Kafka the group's coordinator sees to
    it.
    """
    if workspace.settings.distributed:
        return nullcontext()
    from pipeline.sinks.store_server import nobody_running as store_free

    return store_free(workspace.root)


def _audit(one: Rewind, asked: str) -> Message:
    audit = StageReplay(
        replay_id=uuid4(),
        replayed_at=utc_now(),
        by=getuser(),
        stage=one.stage,
        topic=one.topic,
        partition=one.partition,
        from_offset=one.found,
        to_offset=one.wanted,
        asked=asked,
    )
    return contract_message(DEAD_LETTERS.name, str(audit.replay_id), audit)

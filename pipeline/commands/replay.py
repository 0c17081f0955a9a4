"""`replay`: reset the offsets of a stage, so that it reprocesses records; rows are upserted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from getpass import getuser
from uuid import uuid4
from zoneinfo import ZoneInfo

from pipeline.errors import UserError
from pipeline.log.clock import utc_now
from pipeline.log.contract_messages import encode_contract
from pipeline.log.port import GroupPosition, Log, Message, TopicPartition
from pipeline.runtime.stages import STAGES
from pipeline.workspace import Workspace
from schemas.dead_letters import StageReplay
from schemas.topics import DEAD_LETTERS, TOPICS

BEGINNING = "beginning"
# Live cannot be replayed: it would count every record twice.
_REPLAYABLE = {stage: topics for stage, topics in STAGES.items() if stage != "live"}
# No record of the log is older.
_EPOCH_MS = 0


@dataclass(frozen=True, slots=True)
class Rewind:
    """The change of one offset of a stage: from `current` to `target`."""

    stage: str
    topic: str
    partition: int
    current: int
    target: int

    @property
    def offsets(self) -> int:
        """Number of offsets to process again; negative if offsets are skipped."""
        return self.current - self.target


def resolve_stages(target: str, stage: str = "") -> dict[str, tuple[str, ...]]:
    """Return a stage, or the stages that read a topic, each with its topics.

    Raises UserError for another name.

    >>> resolve_stages("records.v1", "load")
    {'load': ('records.v1',)}
    """
    readers: dict[str, tuple[str, ...]] = {
        name: (target,) for name, topics in _REPLAYABLE.items() if target in topics
    }
    stages = {target: _REPLAYABLE[target]} if target in _REPLAYABLE else readers
    if not stages:
        read = sorted({topic for topics in _REPLAYABLE.values() for topic in topics})
        raise UserError(
            f"{target} is neither a stage that can be replayed ({', '.join(_REPLAYABLE)})"
            f" nor a topic that such a stage reads ({', '.join(read)})"
        )
    if stage and stage not in stages:
        raise UserError(f"{stage} does not read {target}; its readers are {', '.join(stages)}")
    return {stage: stages[stage]} if stage else stages


def parse_instant(text: str, zone: ZoneInfo) -> int:
    """Return `beginning` or an ISO 8601 time as ms since 1970; raises UserError for other text.

    >>> parse_instant("1970-01-01T01:00:00", ZoneInfo("UTC"))
    3600000
    """
    if text == BEGINNING:
        return _EPOCH_MS
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"--from {text}: write {BEGINNING}, or a time such as 2026-11-01T10:00:00+08:00"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)


def parse_offsets(topic: str, words: Sequence[str]) -> dict[TopicPartition, int]:
    """Return the offsets of `--offset PARTITION:OFFSET`; raises UserError for another form.

    >>> parse_offsets("records.v1", ["3:1200"])
    {('records.v1', 3): 1200}
    """
    if topic not in TOPICS:
        raise UserError(
            f"--offset needs a topic: {topic} is a stage, and each of its topics has other offsets"
        )
    offsets: dict[TopicPartition, int] = {}
    for word in words:
        partition, colon, offset = word.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal()):
            raise UserError(f"--offset {word}: write it as PARTITION:OFFSET, such as 3:1200")
        offsets[topic, int(partition)] = int(offset)
    return offsets


def plan_rewinds(
    log: Log,
    stages: Mapping[str, Sequence[str]],
    *,
    since_ms: int | None,
    offsets: Mapping[TopicPartition, int],
    skip: bool,
) -> list[Rewind]:
    """Return the changes of a replay from an instant, or from offsets.

    Offsets move forward, past unread records, only if `skip` is true. Raises UserError for a
    partition that does not exist.
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


def next_offset(at: GroupPosition) -> int:
    """Return the offset that a group reads next on a partition."""
    return at.first if at.committed is None else at.committed


def _rewind(stage: str, at: GroupPosition, wanted: int, skip: bool) -> list[Rewind]:
    current = next_offset(at)
    # Records past their retention cannot be processed again.
    target = min(max(wanted, at.first), at.end)
    if target < current or (skip and target > current):
        return [Rewind(stage, at.topic, at.partition, current, target)]
    return []


def apply_rewinds(workspace: Workspace, log: Log, rewinds: Sequence[Rewind], asked: str) -> None:
    """Reset the offsets and write audit records.

    Raises GroupRunningError or StoreInUseError if workers of a stage are running.
    """
    by_stage: dict[str, dict[TopicPartition, int]] = {}
    for item in rewinds:
        by_stage.setdefault(item.stage, {})[item.topic, item.partition] = item.target
    with block_embedded_run(workspace):
        for stage, positions in by_stage.items():
            log.reset_offsets(stage, positions)
            with log.transaction() as transaction:
                transaction.produce(
                    [_audit(item, asked) for item in rewinds if item.stage == stage],
                )


def block_embedded_run(workspace: Workspace) -> AbstractContextManager[None]:
    """Block embedded runs inside the block; on Kafka the coordinator of the group does so."""
    if workspace.settings.distributed:
        return nullcontext()
    from pipeline.sinks.store_server import exclusive_store_access as store_free

    return store_free(workspace.root)


def _audit(item: Rewind, asked: str) -> Message:
    audit = StageReplay(
        replay_id=uuid4(),
        replayed_at=utc_now(),
        by=getuser(),
        stage=item.stage,
        topic=item.topic,
        partition=item.partition,
        from_offset=item.current,
        to_offset=item.target,
        asked=asked,
    )
    return encode_contract(DEAD_LETTERS.name, str(audit.replay_id), audit)

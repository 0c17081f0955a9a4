"""Repairs an embedded installation as far as its log allows, or goes on without what is lost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.commands.check_log import (
    check_embedded_log,
    damaged_checkpoints,
    holds_since,
    orphaned_items,
    require_installation,
)
from pipeline.commands.check_store import StoreFindings, check_store
from pipeline.commands.replay import apply_rewinds, block_embedded_run, plan_rewinds
from pipeline.errors import UserError
from pipeline.log.installation_id import LOG, InstallationId
from pipeline.log.port import Log
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.log.sqlite_integrity import LogInspection
from pipeline.log.sqlite_log import SqliteLog
from pipeline.runtime.stages import STAGES
from pipeline.sinks.migrations import migrate, repeat_migrations
from pipeline.sinks.part_ledger import LEDGER, PartLedger
from pipeline.workspace import Workspace
from schemas.topics import CONVERSE_STATE

_ASKED = "check --repair"


def repair(workspace: Workspace, now_ms: int) -> list[str]:
    """Set damaged parts aside and let stages read again what they had; return what was done.

    Raises UserError if the log is damaged, or no longer has what is lost: then nothing is changed.
    """
    _check_embedded(workspace)
    findings = check_embedded_log(workspace, now_ms, deep=False)
    if lost := [item for item in findings if item.kind in ("file", "records")]:
        raise UserError(f"the log cannot be repaired, restore a backup: {lost[0].message}")
    done: list[str] = []
    stages: dict[str, int] = {}
    with block_embedded_run(workspace):
        file = SqliteLog(workspace.root / LOG)
        done += [
            f"the offsets of {group} are those of their copy" for group in file.restore_offsets()
        ]
        for topic in file.drop_damaged_states():
            done.append(f"damaged states of {topic} are deleted")
            if topic == CONVERSE_STATE.name:
                stages["converse"] = 0
        for name in damaged_checkpoints(file):
            file.drop_checkpoint(name)
            done.append(f"the checkpoint {name} is removed: ingest the unit again")
        orphans = orphaned_items(file)
        for name in orphans:
            file.drop_checkpoint(name)
        if orphans:
            done.append("ingest counts the items of units without a checkpoint anew")
        file.close()
    store = check_store(workspace)
    with workspace.open_log() as log:
        if store.is_damaged:
            stages["load"] = store.oldest_ms
        for stage, since_ms in stages.items():
            _require_records(log, stage, since_ms, now_ms)
        if store.is_damaged:
            done += _set_aside(workspace, store)
        for stage, since_ms in stages.items():
            rewinds = plan_rewinds(
                log, {stage: STAGES[stage]}, since_ms=since_ms, offsets={}, skip=False
            )
            apply_rewinds(workspace, log, rewinds, _ASKED)
            count = sum(rewind.offsets for rewind in rewinds)
            done.append(f"{stage} will read {count:,} records again")
    # Last: until the offsets are set back, every start must notice what is lost.
    if store.is_damaged:
        _adopt(workspace, store.ledger or PartLedger())
    return done


def accept_loss(workspace: Workspace, now_ms: int) -> list[str]:
    """Go on without what is lost: the log, the store and the secret of now are the right ones.

    Damaged files are moved aside, not deleted. Returns what was done.
    """
    _check_embedded(workspace)
    root = workspace.root
    done: list[str] = []
    with block_embedded_run(workspace):
        if (root / LOG).exists() and _is_unreadable(root / LOG, now_ms):
            aside = _move_aside(root / LOG)
            for ending in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    (root / f"{LOG}{ending}").rename(f"{aside}{ending}")
            done.append(f"a new log begins; the damaged one is {aside}")
        replace(_known(root), log="", secret="").write(root)
    store = check_store(workspace)
    if store.is_damaged:
        done += _set_aside(workspace, store)
    _adopt(workspace, replace(store.ledger or PartLedger(), newest_ms=0))
    return [*done, "what is lost counts as given up; the stages go on"]


def _is_unreadable(path: Path, now_ms: int) -> bool:
    try:
        with LogInspection(path) as inspection:
            return any(
                finding.kind == "file" for finding in inspection.findings(now_ms, deep=False)
            )
    except FileDamagedError:
        return True


def _known(root: Path) -> InstallationId:
    try:
        return InstallationId.read(root)
    except FileDamagedError:
        return InstallationId()


def _check_embedded(workspace: Workspace) -> None:
    if workspace.settings.distributed:
        raise UserError(
            "Kafka and ClickHouse repair their own files: run the commands that `switchboard check`"
            " names"
        )
    require_installation(workspace)


def _require_records(log: Log, stage: str, since_ms: int, now_ms: int) -> None:
    if not holds_since(log, since_ms, now_ms, STAGES[stage]):
        raise UserError(
            f"the log no longer has all records that {stage} would have to read again: restore a"
            " backup, or go on without what is lost with `switchboard check --accept`"
        )


def _set_aside(workspace: Workspace, findings: StoreFindings) -> list[str]:
    """Move what is damaged out of the store, so that it can be opened, read and filled again."""
    from pipeline.sinks.store_server import open_for_repair

    root = workspace.root
    if not findings.is_open:
        if not (root / "store").exists():
            return ["a new store begins"]
        return [f"a new store begins; the damaged one is {_move_aside(root / 'store')}"]
    done = []
    store = open_for_repair(root)
    try:
        if findings.relations:
            migrate(store)
            repeat_migrations(store)
            done.append(f"{', '.join(findings.relations)} are created again")
        for part in findings.damaged:
            if not part.name:
                raise UserError(f"{part.table} cannot be read, restore a backup: {part.message}")
            store.execute(f"ALTER TABLE `{part.table}` DETACH PART '{part.name}'")
            done.append(f"{part.table} {part.name} is set aside in the folder `detached`")
    finally:
        store.close()
    return done


def _adopt(workspace: Workspace, ledger: PartLedger) -> None:
    """Let the parts that the store has now be all that its ledger names."""
    from pipeline.sinks.store_server import open_for_repair

    root = workspace.root
    if not (root / "store").exists():
        (root / LEDGER).unlink(missing_ok=True)
        return
    store = open_for_repair(root)
    try:
        migrate(store)
        ledger.forget_lost(store)
        ledger.record(store)
        ledger.write(root)
    finally:
        store.close()


def _move_aside(path: Path) -> str:
    """Rename a damaged file or folder; return its new name."""
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    path.rename(aside)
    return str(aside)

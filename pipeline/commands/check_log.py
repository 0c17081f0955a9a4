"""Checks the log: its file, its offsets, and whether it still has what a repair needs."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import UserError
from pipeline.ingest.distinct_items import items_prefix
from pipeline.ingest.resumable_ingest import parse_checkpoint
from pipeline.log.installation_id import INSTALLATION, LOG, InstallationId
from pipeline.log.port import Log, LogError
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.log.sqlite_integrity import LogFinding, LogInspection
from pipeline.runtime.stages import STAGES
from pipeline.workspace import Workspace
from schemas.topics import TOPICS


def require_installation(workspace: Workspace) -> None:
    """Raise UserError if a data folder has nothing of an installation: opening would create one."""
    root = workspace.root
    if not any((root / name).exists() for name in (LOG, INSTALLATION, "store")):
        raise UserError(f"{root} has no installation to check: name its folder with --data-dir")


def check_embedded_log(workspace: Workspace, now_ms: int, *, deep: bool) -> list[LogFinding]:
    """Return the damages of the embedded log, none if the installation has no log yet."""
    path = workspace.root / LOG
    try:
        if not path.exists() and not InstallationId.read(workspace.root).log:
            return []
        with LogInspection(path) if path.exists() else _opened(workspace) as inspection:
            findings = inspection.findings(now_ms, deep=deep)
        if not findings:
            log = workspace.open_sqlite_log()
            findings = [
                LogFinding("checkpoint", f"the checkpoint {name} is damaged")
                for name in damaged_checkpoints(log)
            ]
            log.close()
    except FileDamagedError as error:
        return [LogFinding("file", f"{error.path}: {error.problem}")]
    return findings


def damaged_checkpoints(log: Log) -> list[str]:
    """Return the names of the checkpoints of ingest that cannot be read."""
    damaged = []
    for name, value in log.checkpoints("ingest/"):
        try:
            parse_checkpoint(name, value)
        except LogError:
            damaged.append(name)
    return damaged


def orphaned_items(log: Log) -> list[str]:
    """Return the names of the checkpoints with hashes of units that have lost their checkpoint."""
    units = [name.split("/", 3) for name, _ in log.checkpoints("ingest/")]
    known = {items_prefix(connector, unit) for _, connector, _, unit in units}
    return [
        name for name, _ in log.checkpoints("items/") if f"{name.rpartition('/')[0]}/" not in known
    ]


def _opened(workspace: Workspace) -> LogInspection:
    """Open a log that is gone: raises FileDamagedError."""
    workspace.open_sqlite_log().close()
    return LogInspection(workspace.root / LOG)


def check_offsets(log: Log) -> list[str]:
    """Return which committed offsets lie outside of their partition, with what that means."""
    return [
        f"{stage} has committed offset {at.committed:,} of {at.topic}/{at.partition}, which ends at"
        f" {at.end:,}: the topic was created again or lost its end"
        if at.committed > at.end
        else f"{stage} has not read offsets {at.committed:,} to {at.first - 1:,} of"
        f" {at.topic}/{at.partition}, which are deleted"
        for stage, topics in STAGES.items()
        for at in log.positions(stage, topics)
        if at.committed is not None and (at.committed > at.end or at.committed < at.first < at.end)
    ]


def holds_since(
    log: Log, since_ms: int, now_ms: int, topics: Sequence[str] = STAGES["load"]
) -> bool:
    """Return whether the log still has every record of topics that was appended since an instant.

    A partition has, if nothing was ever deleted, if an older record is still there, or if the
    retention of the topic reaches back that far.
    """
    starts = log.offsets_since(topics, since_ms)
    for at in log.positions("load", topics):
        kept_ms = TOPICS[at.topic].retention_ms
        if at.first == 0 or starts[at.topic, at.partition] > at.first:
            continue
        if kept_ms is not None and since_ms <= now_ms - kept_ms:
            return False
    return True

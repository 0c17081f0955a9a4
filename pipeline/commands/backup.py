"""`backup`: write a complete backup of an installation while it runs.

The order makes it complete: first the models' snapshot, then the log (on Kafka: the offsets of the
stages), then the store. So the store contains every row from before the offsets of `load`, and
perhaps some from after them; `load` reads those again from the log and upserts their rows. Bodies
are copied last: every record of the copied log finds its body.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import orjson

from pipeline.commands.backup_manifest import (
    BODIES,
    LOG,
    MANIFEST,
    MODELS,
    SECRET,
    STORE,
    BackupManifest,
    StageOffset,
    copy_files,
    file_hashes,
)
from pipeline.commands.replay import next_offset
from pipeline.log.clock import utc_now
from pipeline.log.port import Log, LogRecord
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.log.sqlite_log import SqliteLog
from pipeline.runtime.stages import STAGES
from pipeline.sinks.backups import BackupError
from pipeline.sinks.warehouse import DATABASE
from pipeline.workspace import Workspace
from schemas.topics import BUSINESS, RECORDS

# The backup must contain one of the last few records before the offset of load; a single record may
# have become a dead letter.
_WITNESSES = 20


def create_backup(workspace: Workspace, folder: Path) -> BackupManifest:
    """Write a backup into a folder that is empty or absent; raises BackupError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty: name a new folder for this backup")
    manifest = (
        _of_servers(workspace) if workspace.settings.distributed else _of_files(workspace, folder)
    )
    part = folder / f"{MANIFEST}.part"
    part.write_bytes(orjson.dumps(manifest.model_dump(by_alias=True), option=orjson.OPT_INDENT_2))
    part.replace(folder / MANIFEST)
    return manifest


def _of_servers(workspace: Workspace) -> BackupManifest:
    with workspace.open_log() as log:
        offsets = _offsets(log)
        witnesses = _witnesses(log)
    server = workspace.connect_clickhouse()
    name = f"switchboard-{utc_now():%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"
    destination = workspace.settings.backup_place.replace("{name}", name)
    try:
        tables = server.back_up(destination, witnesses)
    finally:
        server.close()
    return BackupManifest(
        created_at=utc_now().isoformat(),
        engine="servers",
        database=server.address.database,
        destination=destination,
        offsets=offsets,
        tables=tables,
        witnesses=witnesses,
        files={},
    )


def _of_files(workspace: Workspace, folder: Path) -> BackupManifest:
    from pipeline.sinks.chdb import BACKUPS
    from pipeline.sinks.store_server import open_for_reading

    root = workspace.root
    for name in (MODELS, SECRET):
        copy_files(root / name, folder / name)
    # A log that is gone or damaged must not become a backup.
    workspace.open_sqlite_log().close()
    _copy_log(root / LOG, folder / LOG)
    log = SqliteLog(folder / LOG)
    offsets, witnesses = _offsets(log), _witnesses(log)
    log.close()
    store, name = open_for_reading(root), uuid4().hex
    try:
        tables = store.back_up(name, witnesses)
    finally:
        store.close()
    shutil.move(root / BACKUPS / name, folder / STORE)
    copy_files(root / BODIES, folder / BODIES)
    return BackupManifest(
        created_at=utc_now().isoformat(),
        engine="embedded",
        database=DATABASE,
        destination=STORE,
        offsets=offsets,
        tables=tables,
        witnesses=witnesses,
        files=file_hashes(folder),
    )


def _copy_log(source: Path, target: Path) -> None:
    try:
        with closing(sqlite3.connect(source)) as log, closing(sqlite3.connect(target)) as copy:
            # In one step: the copy is a snapshot of one instant, and writers do not wait.
            log.backup(copy)
    except sqlite3.DatabaseError as error:
        raise FileDamagedError(source, str(error)) from error


def _offsets(log: Log) -> tuple[StageOffset, ...]:
    return tuple(
        StageOffset(stage=stage, topic=at.topic, partition=at.partition, offset=next_offset(at))
        for stage, topics in STAGES.items()
        for at in log.positions(stage, topics)
    )


def _witnesses(log: Log) -> tuple[tuple[str, ...], ...]:
    """Return the ids of the last records that load committed, for each of its partitions."""
    groups = []
    for at in log.positions("load", [RECORDS.name, BUSINESS.name]):
        # Some offsets are transaction markers, and some records have their body in the body store.
        start = max(at.first, next_offset(at) - 3 * _WITNESSES)
        found = (
            log.scan(at.topic, at.partition, start, 3 * _WITNESSES)
            if start < next_offset(at)
            else []
        )
        groups.append(
            tuple(
                _record_id(record)
                for record in found
                if record.value and record.offset < next_offset(at)
            )[-_WITNESSES:]
        )
    return tuple(group for group in groups if group)


def _record_id(record: LogRecord) -> str:
    return str(UUID(orjson.loads(record.value)["record_id"]))

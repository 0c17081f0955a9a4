"""Backup and restore of one installation: a folder with a manifest, and the checks that prove it.

What makes a backup whole though everything runs: the models' snapshot is copied first, then the
log, or on Kafka the stages' offsets are written down, then the store. So the store holds every row
from before the offsets of `load`, and perhaps some from behind them; those are loaded again from
the log and replace themselves. Bodies are copied last: every record of the copied log finds its
own.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.commands.replay import Rewind, rewind
from pipeline.log.port import Log, LogRecord, Position
from pipeline.log.sqlite_log import SqliteLog
from pipeline.runtime.runner import utc_now
from pipeline.runtime.stages import STAGES
from pipeline.sinks.backups import BackupError, Sums, restore
from pipeline.sinks.warehouse import DATABASE
from pipeline.workspace import Workspace
from schemas.topics import BUSINESS, RECORDS

_MANIFEST = "manifest.json"
_LOG, _STORE, _BODIES, _MODELS, _SECRET = "log.sqlite", "store", "bodies", "models", "secret"
# One of the last few records before load's offset must be in the backup; one alone may have become
# a dead letter.
_WITNESSES = 20


class Offset(BaseModel):
    """The next offset of a stage on a partition."""

    model_config = ConfigDict(frozen=True)

    stage: str
    topic: str
    partition: int
    offset: int


class Manifest(BaseModel):
    """What a backup holds: written last, so that a folder without one is no backup."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: str
    engine: Literal["embedded", "servers"]
    database: str
    place: str
    offsets: tuple[Offset, ...]
    tables: Sums
    witnesses: tuple[tuple[str, ...], ...]
    files: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(int(count) for count, _ in self.tables.values())


def back_up(workspace: Workspace, folder: Path) -> Manifest:
    """Write a backup into a folder that is empty or absent; raises BackupError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty: name a folder for this backup alone")
    manifest = (
        _of_servers(workspace) if workspace.settings.distributed else _of_files(workspace, folder)
    )
    part = folder / f"{_MANIFEST}.part"
    part.write_bytes(orjson.dumps(manifest.model_dump(), option=orjson.OPT_INDENT_2))
    part.replace(folder / _MANIFEST)
    return manifest


def _of_servers(workspace: Workspace) -> Manifest:
    with workspace.log() as log:
        offsets = _offsets(log)
        witnesses = _witnesses(log)
    server = workspace.server()
    name = f"switchboard-{utc_now():%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"
    place = workspace.settings.backup_place.replace("{name}", name)
    try:
        tables = server.back_up(place, witnesses)
    finally:
        server.close()
    return Manifest(
        made_at=utc_now().isoformat(),
        engine="servers",
        database=server.address.database,
        place=place,
        offsets=offsets,
        tables=tables,
        witnesses=witnesses,
        files={},
    )


def _of_files(workspace: Workspace, folder: Path) -> Manifest:
    from pipeline.sinks.chdb import BACKUPS
    from pipeline.sinks.store_server import open_for_reading

    root = workspace.root
    for name in (_MODELS, _SECRET):
        _copy(root / name, folder / name)
    with (
        closing(sqlite3.connect(root / _LOG)) as source,
        closing(sqlite3.connect(folder / _LOG)) as target,
    ):
        # In one step: the copy is the log as it is at one instant, and nobody who writes waits.
        source.backup(target)
    log = SqliteLog(folder / _LOG)
    offsets, witnesses = _offsets(log), _witnesses(log)
    log.close()
    store, name = open_for_reading(root), uuid4().hex
    try:
        tables = store.back_up(name, witnesses)
    finally:
        store.close()
    shutil.move(root / BACKUPS / name, folder / _STORE)
    _copy(root / _BODIES, folder / _BODIES)
    return Manifest(
        made_at=utc_now().isoformat(),
        engine="embedded",
        database=DATABASE,
        place=_STORE,
        offsets=offsets,
        tables=tables,
        witnesses=witnesses,
        files=_hashes(folder),
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder that may be absent, or lose files while it is copied (bodies past their
    age).
    """
    if source.is_file():
        shutil.copy2(source, target)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileNotFoundError):
                shutil.copy2(path, place)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file but those of the store, whose own checksums ClickHouse
    checks.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder): path for path in files}
    return {str(name): _sha256(path) for name, path in names.items() if name.parts[0] != _STORE}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _offsets(log: Log) -> tuple[Offset, ...]:
    return tuple(
        Offset(stage=stage, topic=at.topic, partition=at.partition, offset=_next(at))
        for stage, topics in STAGES.items()
        for at in log.positions(stage, topics)
    )


def _next(at: Position) -> int:
    return at.first if at.committed is None else at.committed


def _witnesses(log: Log) -> tuple[tuple[str, ...], ...]:
    """Return for each partition of records and business events the ids of the last ones that load
    has committed.
    """
    groups = []
    for at in log.positions("load", [RECORDS.name, BUSINESS.name]):
        # Of the offsets before, some may be marks of transactions; of the records, some have their
        # body elsewhere.
        start = max(at.first, _next(at) - 3 * _WITNESSES)
        found = log.scan(at.topic, at.partition, start, 3 * _WITNESSES) if start < _next(at) else []
        groups.append(
            tuple(
                _record_id(record) for record in found if record.value and record.offset < _next(at)
            )[-_WITNESSES:]
        )
    return tuple(group for group in groups if group)


def _record_id(record: LogRecord) -> str:
    return str(UUID(orjson.loads(record.value)["record_id"]))


def manifest_of(folder: Path) -> Manifest:
    """Return a backup's manifest; raises BackupError where the folder is none, or is of a newer
    program.
    """
    try:
        return Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise BackupError(f"{folder} is no backup: it has no {_MANIFEST}") from error
    except ValidationError as error:
        raise BackupError(
            f"{folder / _MANIFEST} is not as this program writes it: {error}"
        ) from error


def bring_back(workspace: Workspace, folder: Path) -> tuple[Manifest, list[Rewind]]:
    """Restore a backup into an installation that is still empty, and check it; return also what
    `load` will load again.

    Raises BackupError where it is not what its manifest says, where something is there already, or
    where it is of the other engine.
    """
    manifest = manifest_of(folder)
    if (manifest.engine == "servers") != workspace.settings.distributed:
        raise BackupError(
            f"{folder} is a backup of {manifest.engine}; the settings name the other engine"
        )
    if workspace.settings.distributed:
        return manifest, _to_servers(workspace, manifest)
    _to_files(workspace, folder, manifest)
    return manifest, []


def _to_servers(workspace: Workspace, manifest: Manifest) -> list[Rewind]:
    loaded = {
        (one.topic, one.partition): one.offset for one in manifest.offsets if one.stage == "load"
    }
    server = workspace.server()
    with workspace.log() as log:
        positions = log.positions("load", STAGES["load"])
        if gone := [
            at for at in positions if at.first > loaded.get((at.topic, at.partition), at.first)
        ]:
            raise BackupError(
                f"{gone[0].topic}/{gone[0].partition} no longer holds what came after this backup"
                f" (from {loaded[gone[0].topic, gone[0].partition]}, it begins at {gone[0].first}):"
                " take a younger one"
            )
        rewinds = [
            Rewind("load", at.topic, at.partition, _next(at), to)
            for at in positions
            if (to := loaded.get((at.topic, at.partition), at.first)) < _next(at)
        ]
        # Refused where load runs, so before anything is restored; and load must not go on over what
        # is not there yet.
        rewind(workspace, log, rewinds, f"restore of the backup of {manifest.made_at}")
        try:
            server.create_database()
            restore(server, manifest.place, manifest.database, manifest.tables, manifest.witnesses)
        finally:
            server.close()
    return rewinds


def _to_files(workspace: Workspace, folder: Path, manifest: Manifest) -> None:
    from pipeline.sinks.chdb import BACKUPS
    from pipeline.sinks.store_server import open_for_restoring

    root = workspace.root
    if (root / _LOG).exists() or (root / "store").exists():
        raise BackupError(
            f"{root} holds an installation: name an empty folder by --data-dir, or move that one"
            " away"
        )
    _check_files(folder, manifest)
    name = uuid4().hex
    with open_for_restoring(root) as store:
        shutil.copytree(folder / _STORE, root / BACKUPS / name)
        try:
            store.restore(name, manifest.tables, manifest.witnesses)
        finally:
            shutil.rmtree(root / BACKUPS / name)
    for name in (_MODELS, _BODIES, _SECRET):
        _copy(folder / name, root / name)
    # The log comes last: without it the installation is empty, and a restore that broke off is seen
    # as such.
    shutil.copy2(folder / _LOG, root / f"{_LOG}.part")
    (root / f"{_LOG}.part").replace(root / _LOG)


def _check_files(folder: Path, manifest: Manifest) -> None:
    found = {name: digest for name, digest in _hashes(folder).items() if name != _MANIFEST}
    if wrong := sorted(
        name for name in {*found, *manifest.files} if found.get(name) != manifest.files.get(name)
    ):
        raise BackupError(
            f"{folder} does not hold what its manifest says: {', '.join(wrong[:5])} are missing or"
            " altered"
        )

"""`restore`: restore a backup into an empty installation, and verify it."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

from pipeline.commands.backup_manifest import (
    BODIES,
    LOG,
    MANIFEST,
    MODELS,
    SECRET,
    STORE,
    BackupManifest,
    copy_files,
    file_hashes,
    read_manifest,
)
from pipeline.commands.replay import Rewind, apply_rewinds, next_offset
from pipeline.runtime.stages import STAGES
from pipeline.sinks.backups import BackupError, restore
from pipeline.workspace import Workspace


def restore_backup(workspace: Workspace, folder: Path) -> tuple[BackupManifest, list[Rewind]]:
    """Restore a backup into an empty installation and verify it.

    Returns the manifest, and the offsets that `load` will process again. Raises BackupError if the
    backup differs from its manifest, is of the other engine, or the installation is not empty.
    """
    manifest = read_manifest(folder)
    if (manifest.engine == "servers") != workspace.settings.distributed:
        raise BackupError(
            f"{folder} is a backup of the engine {manifest.engine}; the settings name the other"
            " engine"
        )
    if workspace.settings.distributed:
        return manifest, _to_servers(workspace, manifest)
    _to_files(workspace, folder, manifest)
    return manifest, []


def _to_servers(workspace: Workspace, manifest: BackupManifest) -> list[Rewind]:
    loaded = {
        (one.topic, one.partition): one.offset for one in manifest.offsets if one.stage == "load"
    }
    server = workspace.connect_clickhouse()
    with workspace.open_log() as log:
        positions = log.positions("load", STAGES["load"])
        if expired := [
            at for at in positions if at.first > loaded.get((at.topic, at.partition), at.first)
        ]:
            raise BackupError(
                f"{expired[0].topic}/{expired[0].partition} no longer contains the records after"
                " this backup (they start at offset"
                f" {loaded[expired[0].topic, expired[0].partition]}, the partition starts at"
                f" {expired[0].first}): use a newer backup"
            )
        rewinds = [
            Rewind("load", at.topic, at.partition, next_offset(at), to)
            for at in positions
            if (to := loaded.get((at.topic, at.partition), at.first)) < next_offset(at)
        ]
        # First, because it fails if load is running, and load must not continue from offsets whose
        # rows are not restored yet.
        apply_rewinds(workspace, log, rewinds, f"restore of the backup of {manifest.created_at}")
        try:
            server.create_database()
            restore(
                server, manifest.destination, manifest.database, manifest.tables, manifest.witnesses
            )
        finally:
            server.close()
    return rewinds


def _to_files(workspace: Workspace, folder: Path, manifest: BackupManifest) -> None:
    from pipeline.sinks.chdb import BACKUPS
    from pipeline.sinks.store_server import open_for_restoring

    root = workspace.root
    if (root / LOG).exists() or (root / "store").exists():
        raise BackupError(
            f"{root} contains an installation: name an empty folder with --data-dir, or move the"
            " installation away"
        )
    _check_files(folder, manifest)
    name = uuid4().hex
    with open_for_restoring(root) as store:
        shutil.copytree(folder / STORE, root / BACKUPS / name)
        try:
            store.restore(name, manifest.tables, manifest.witnesses)
        finally:
            shutil.rmtree(root / BACKUPS / name)
    for name in (MODELS, BODIES, SECRET):
        copy_files(folder / name, root / name)
    # The log comes last: an installation without a log counts as empty, so an interrupted restore
    # can be repeated.
    shutil.copy2(folder / LOG, root / f"{LOG}.part")
    (root / f"{LOG}.part").replace(root / LOG)


def _check_files(folder: Path, manifest: BackupManifest) -> None:
    found = {name: digest for name, digest in file_hashes(folder).items() if name != MANIFEST}
    if wrong := sorted(
        name for name in {*found, *manifest.files} if found.get(name) != manifest.files.get(name)
    ):
        raise BackupError(
            f"{folder} differs from its manifest: {', '.join(wrong[:5])} are missing or altered"
        )

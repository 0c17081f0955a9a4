"""The manifest and the files of a backup folder."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.sinks.backups import BackupError, TableChecksums

MANIFEST = "manifest.json"
# Names in the backup folder; all but the store are the names in the data folder too.
LOG, STORE, BODIES, MODELS, SECRET = "log.sqlite", "store", "bodies", "models", "secret"


class StageOffset(BaseModel):
    """The next offset of a stage on a partition."""

    model_config = ConfigDict(frozen=True)

    stage: str
    topic: str
    partition: int
    offset: int


class BackupManifest(BaseModel):
    """The content of a backup; it is written last, so a folder without it is not a backup.

    `destination` is where ClickHouse wrote the store. The aliases are the names in the file.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    format: Literal[1] = 1
    created_at: str = Field(alias="made_at")
    engine: Literal["embedded", "servers"]
    database: str
    destination: str = Field(alias="place")
    offsets: tuple[StageOffset, ...]
    tables: TableChecksums
    witnesses: tuple[tuple[str, ...], ...]
    files: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(int(count) for count, _ in self.tables.values())


def read_manifest(folder: Path) -> BackupManifest:
    """Return the manifest; raises BackupError if it is absent or of another version."""
    try:
        return BackupManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise BackupError(f"{folder} is not a backup: it contains no {MANIFEST}") from error
    except ValidationError as error:
        raise BackupError(
            f"{folder / MANIFEST} has another form than this version writes: {error}"
        ) from error


def copy_files(source: Path, target: Path) -> None:
    """Copy a file or folder, if it exists; files that expire meanwhile are skipped."""
    if source.is_file():
        shutil.copy2(source, target)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileNotFoundError):
                shutil.copy2(path, copy)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file except the store, whose checksums ClickHouse verifies."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder): path for path in files}
    return {str(name): _sha256(path) for name, path in names.items() if name.parts[0] != STORE}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""An embedded store with all tables and no rows, to be copied: migrating takes a second each time.

`python -m tests.support.migrated_store FOLDER` makes one. That migrating from nothing works is
tested by tests/unit/test_warehouse.py and by every command that starts from nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pipeline.sinks.migrations import migrations

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".cache" / "tests"


def copy_migrated_store(folder: Path) -> Path:
    """Copy the store to a folder that does not exist yet; return the folder."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copytree(_migrated_store(), folder, symlinks=True)
    return folder


@cache
def _migrated_store() -> Path:
    """Return the store of these migrations and this engine, made at the first use."""
    key = hashlib.sha256(
        " ".join([version("chdb"), *(one.sha256 for one in migrations())]).encode()
    ).hexdigest()
    store = _CACHE / f"store-{key[:16]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with open(_CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
                # A process of its own: it ends, and with it everything that writes to the store.
                subprocess.run(
                    [sys.executable, "-m", "tests.support.migrated_store", f"{scratch}/store"],
                    check=True,
                    cwd=_ROOT,
                )
                Path(scratch, "store").rename(store)
    return store


if __name__ == "__main__":
    from pipeline.sinks.chdb import ChdbWarehouse
    from pipeline.sinks.migrations import migrate

    warehouse = ChdbWarehouse(Path(sys.argv[1]))
    migrate(warehouse)
    warehouse.close()

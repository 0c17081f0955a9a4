"""SQLite's locks on the log survive whatever else this process does with the file."""

import sys
from os import getpid
from pathlib import Path

import pytest

from pipeline.log.installation_id import LOG, open_known_log
from pipeline.log.sqlite_integrity import LogInspection, verify_bounds


def locks_on(path: Path) -> int:
    """Return how many locks this process holds on a file (proc_locks(5))."""
    inode = str(path.stat().st_ino)
    return sum(
        fields[4] == str(getpid()) and fields[5].rpartition(":")[2] == inode
        for fields in map(str.split, Path("/proc/locks").read_text("ascii").splitlines())
        if len(fields) == 8
    )


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/locks is of Linux")
def test_looking_at_a_log_releases_no_lock_of_its_connections(tmp_path: Path) -> None:
    log = open_known_log(tmp_path)
    path = tmp_path / LOG
    before = locks_on(path)
    assert before
    verify_bounds(path)
    with LogInspection(path) as inspection:
        assert inspection.findings(0, deep=True) == []
    open_known_log(tmp_path).close()
    assert locks_on(path) == before
    log.close()

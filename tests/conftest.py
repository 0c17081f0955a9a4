"""Fixtures shared by all tests."""

import resource
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.sinks.engine_wall import allow_folders
from tests.support.servers import clickhouse, kafka

__all__ = ["clickhouse", "kafka", "shared_data"]

# No test measures time: a law that is slow to check on a busy machine still holds.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Each embedded store that a process opens leaves six threads of the engine behind, with three open
# files each (io, stat and schedstat of /proc/PID/task/TID). A command opens one store; a worker of
# the tests opens some seventy, which is more than the usual limit of 1,024 open files.
_OPEN_FILES = 16_384
_limit, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
if _limit not in (_most, resource.RLIM_INFINITY):
    _wanted = _OPEN_FILES if _most == resource.RLIM_INFINITY else min(_OPEN_FILES, _most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(_limit, _wanted), _most))

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _stores_of_all_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let one process of tests open many stores: the wall of the first one would bar the others."""
    allow_folders([tmp_path_factory.getbasetemp()])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets beside the checkout, or skip the test where it is absent.

    It is never committed.
    """
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are missing: {_SHARED_DATA} does not exist")
    return _SHARED_DATA

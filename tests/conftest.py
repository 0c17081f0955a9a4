"""Fixtures shared by all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.servers import clickhouse, kafka

__all__ = ["clickhouse", "kafka", "shared_data"]

# No test measures time: a law that is slow to check on a busy machine still holds.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets beside the checkout, or skip the test where it is absent.

    It is never committed.
    """
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are missing: {_SHARED_DATA} does not exist")
    return _SHARED_DATA

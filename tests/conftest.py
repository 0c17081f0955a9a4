"""Fixtures shared by all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.servers import clickhouse, kafka

__all__ = ["clickhouse", "kafka", "shared_data"]

# No test measures time: a law that is slow on a busy machine still holds.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets beside the checkout, or skip where it is absent (it is
    never committed).
    """
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"real data sets are not here: {_SHARED_DATA} does not exist")
    return _SHARED_DATA

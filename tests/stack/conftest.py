"""The fixtures of real servers are those of all tests; what tests of one server share stands here."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import switchboard
from tests.support.servers import KEEPER_PASSWORD

__all__ = ["KEEPER_PASSWORD", "switchboard"]


@pytest.fixture(autouse=True)
def _clickhouse_goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start the session's server again where a test that kills it has failed, so that the others tell of their own faults only."""
    yield
    if "clickhouse" in request.fixturenames:
        server = request.getfixturevalue("clickhouse")
        if not server.pid:
            server.start()

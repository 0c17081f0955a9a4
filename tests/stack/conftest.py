"""The fixtures of real servers are those of all tests; what tests of one server share stands
here.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Command, switchboard, warm
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.kafka_server import KafkaServer
from tests.support.servers import KEEPER_PASSWORD
from tests.support.site import Entry, runbook

__all__ = ["KEEPER_PASSWORD", "switchboard", "warm"]


@pytest.fixture(autouse=True)
def _clickhouse_goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start the session's server again where a test that kills it has failed, so that the others
    tell of their own faults only.
    """
    yield
    if "clickhouse" in request.fixturenames:
        server = request.getfixturevalue("clickhouse")
        if not server.pid:
            server.start()


@pytest.fixture(scope="session")
def book() -> dict[str, Entry]:
    """Return the runbook."""
    return runbook()


@pytest.fixture
def servers(kafka: KafkaServer, clickhouse: ClickHouseServer, tmp_path: Path) -> dict[str, str]:
    """Return the environment that names an empty broker and an empty database."""
    kafka.wipe()
    database = "commands_" + tmp_path.name.replace("-", "_")
    return {
        "SWITCHBOARD_BROKER": kafka.broker,
        "SWITCHBOARD_WAREHOUSE": clickhouse.url_for(database=database),
        "SWITCHBOARD_SECRET": "a secret for tests only",
    }


@pytest.fixture
def on_servers(switchboard: Command, servers: dict[str, str]) -> Command:
    """Return the command on empty servers, with topics and tables made."""

    def call(
        *arguments: str | Path, code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return switchboard(*arguments, code=code, **(servers | environment))

    call("topics", "apply")
    call("migrate")
    return call

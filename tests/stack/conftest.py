"""What the tests on real servers share; the servers themselves are fixtures of all tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Command, switchboard, warm
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.kafka_server import KafkaServer
from tests.support.servers import KEEPER_PASSWORD
from tests.support.site import Entry, runbook
from tests.support.stack import Server

__all__ = ["KEEPER_PASSWORD", "switchboard", "warm"]

# Files that take minutes, the longest first: of two processes that share the files (make
# test-stack), none is left alone with a long one at the end.
_LONGEST_FIRST = (
    "test_runbook_faults.py",
    "test_runbook_changes.py",
    "test_hosts.py",
    "test_operate_page.py",
    "test_kafka.py",
    "test_replay.py",
    "test_outcomes.py",
    "test_live.py",
    "test_models.py",
    "test_status.py",
    "test_commands.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests on real servers in the order of `_LONGEST_FIRST`, where only they are run."""
    if not all(item.get_closest_marker("stack") for item in items):
        return
    rank = {name: number for number, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(autouse=True)
def _restart_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start the session's servers again after a test that killed one and failed.

    Otherwise every later test would fail for a fault that is not its own.
    """
    yield
    for name in ("kafka", "clickhouse"):
        if name in request.fixturenames:
            server: Server = request.getfixturevalue(name)
            if not server.pid:
                server.start()


@pytest.fixture(scope="session")
def book() -> dict[str, Entry]:
    """Return the runbook."""
    return runbook()


@pytest.fixture
def servers(kafka: KafkaServer, clickhouse: ClickHouseServer, tmp_path: Path) -> dict[str, str]:
    """Return the environment variables of an empty broker and an empty database."""
    kafka.wipe()
    database = "commands_" + tmp_path.name.replace("-", "_")
    return {
        "SWITCHBOARD_BROKER": kafka.broker,
        "SWITCHBOARD_WAREHOUSE": clickhouse.url_for(database=database),
        "SWITCHBOARD_SECRET": "a secret for tests only",
    }


@pytest.fixture
def on_servers(switchboard: Command, servers: dict[str, str]) -> Command:
    """Return the command on servers that have all topics and tables and nothing in them."""

    def call(
        *arguments: str | Path, code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return switchboard(*arguments, code=code, **(servers | environment))

    call("topics", "apply")
    call("migrate")
    return call

"""Real servers for tests marked `stack`: skipped where they cannot be had, failed there with
SWITCHBOARD_REQUIRE_STACK=1.
"""

from collections.abc import Iterator

import pytest

from tests.support.clickhouse_server import ClickHouseServer
from tests.support.kafka_server import SHORT_LIVED, KafkaServer
from tests.support.short_waits import shorten_waits
from tests.support.stack import StackMissingError, skip_or_fail

# Every sign that a URL could read as its own.
KEEPER_PASSWORD = "p:a/s@s wörd<&>%?#"


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """Run one ClickHouse server for the session; a test takes a database of its own."""
    try:
        server = ClickHouseServer(
            tmp_path_factory.mktemp("clickhouse"), users={"keeper": KEEPER_PASSWORD}
        )
    except StackMissingError as error:
        skip_or_fail(error)
    with server:
        yield server


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Run one Kafka broker for the session; a test wipes it and creates its topics.

    Workers in this process have short sessions, as those of tests/support/warm.py do.
    """
    shorten_waits()
    try:
        server = KafkaServer(tmp_path_factory.mktemp("kafka"), SHORT_LIVED)
    except StackMissingError as error:
        skip_or_fail(error)
    with server:
        yield server

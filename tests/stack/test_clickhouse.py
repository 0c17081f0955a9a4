"""The warehouse on a real ClickHouse server."""

import pytest

from tests.support.clickhouse_server import ClickHouseServer

pytestmark = pytest.mark.stack


def test_what_was_inserted_outlives_kill_9(clickhouse: ClickHouseServer) -> None:
    clickhouse.client().execute("CREATE DATABASE outlives")
    clickhouse.client().execute("CREATE TABLE outlives.t (a Int64) ENGINE = MergeTree ORDER BY a")
    clickhouse.client().execute("INSERT INTO outlives.t VALUES", [(1,), (2,)])
    clickhouse.restart()
    assert clickhouse.client().execute("SELECT a FROM outlives.t ORDER BY a") == [(1,), (2,)]

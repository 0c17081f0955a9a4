"""The user of deploy/clickhouse/reader.xml on a real server.

The dashboards' queries are answered, and nothing else is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_driver import Client, errors

from tests.support.clickhouse_server import ClickHouseServer
from tests.support.deploying import DASHBOARDS, DEPLOY, as_sql, queries
from tests.support.reader_server import READER_PASSWORD, reader_server

pytestmark = pytest.mark.stack
# Names of ClickHouse's errors: a right that is not given, a setting that is locked, a session that
# only reads.
_DENIED, _LOCKED, _READONLY, _AUTHENTICATION = 497, 452, 164, 516


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """Run a server of its own that knows the reader, with tables and another database."""
    with reader_server(tmp_path_factory.mktemp("reader")) as server:
        server.client().execute("CREATE DATABASE elsewhere")
        server.client().execute("CREATE TABLE elsewhere.kept (secret String) ENGINE = Memory")
        yield server


def reader(server: ClickHouseServer, **options: Any) -> Client:
    """Return a client as Grafana's plugin opens it, with its user and its time limit."""
    given = {
        "user": "reader",
        "password": READER_PASSWORD,
        "database": "switchboard",
        "settings": {"max_execution_time": 60},
    }
    return server.client(**(given | options))


def test_every_query_of_the_dashboards_is_allowed(server: ClickHouseServer) -> None:
    client, variables = reader(server), {"tenant": ["default"], "channel": ["email", "chat"]}
    asked = [sql for path in DASHBOARDS for _, sql in queries(path, "rawSql")]
    assert len(asked) > 15
    for sql in asked:
        client.execute(as_sql(sql, variables))


@pytest.mark.parametrize(
    ("sql", "codes"),
    [
        ("INSERT INTO label_rows (record_id) SELECT generateUUIDv4()", {_READONLY, _DENIED}),
        ("ALTER TABLE label_rows DELETE WHERE 1", {_READONLY, _DENIED}),
        ("DROP TABLE label_rows", {_READONLY, _DENIED}),
        ("CREATE TABLE mine (x Int8) ENGINE = Memory", {_READONLY, _DENIED}),
        ("SELECT * FROM elsewhere.kept", {_DENIED}),
        ("SELECT * FROM file('/etc/hostname', 'LineAsString')", {_READONLY, _DENIED}),
        ("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", {_READONLY, _DENIED}),
        ("DESCRIBE TABLE url('http://127.0.0.1:1/')", {_READONLY, _DENIED}),
        ("SELECT * FROM default.`/etc/hostname`", {_DENIED}),
        ("SELECT * FROM remote('127.0.0.1:1', 'system', 'one')", {_READONLY, _DENIED}),
        ("SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')", {_READONLY, _DENIED}),
        ("SELECT * FROM sqlite('/etc/x', 't')", {_READONLY, _DENIED}),
        ("SELECT * FROM executable('x', 'TSV', 'a String')", {_READONLY, _DENIED}),
        ("SELECT * FROM dictionary('x')", {_READONLY, _DENIED}),
        ("SELECT * FROM filesystem('/etc')", {_READONLY, _DENIED}),
        ("SELECT addressToLine(1)", {_DENIED}),
        ("SELECT * FROM system.users", {_DENIED}),
        ("SELECT * FROM system.processes", {_DENIED}),
        ("SELECT * FROM system.certificates", {_DENIED}),
        ("SELECT * FROM system.named_collections", {_DENIED}),
        ("SET readonly = 0", {_READONLY, _LOCKED}),
        ("SET max_memory_usage = 0", {_READONLY, _LOCKED}),
        ("SET max_execution_time = 3600", {_READONLY, _LOCKED}),
        ("SET max_execution_time = 0", {_LOCKED}),
        ("SET max_result_rows = 0", {_LOCKED}),
        ("SET max_result_bytes = 0", {_LOCKED}),
        ("SELECT 1 SETTINGS max_execution_time = 0", {_LOCKED}),
        ("KILL QUERY WHERE 1", {_READONLY, _DENIED}),
    ],
)
def test_everything_else_is_denied(server: ClickHouseServer, sql: str, codes: set[int]) -> None:
    with pytest.raises(errors.ServerException) as refused:
        reader(server).execute(sql)
    assert refused.value.code in codes, refused.value


def test_the_password_is_required(server: ClickHouseServer) -> None:
    with pytest.raises(errors.ServerException) as refused:
        reader(server, password="").execute("SELECT 1")
    assert refused.value.code == _AUTHENTICATION


def test_the_file_is_mounted_by_the_containers() -> None:
    mounted = (DEPLOY / "compose.yaml").read_text("utf-8")
    assert "./clickhouse/reader.xml:/etc/clickhouse-server/users.d/reader.xml:ro" in mounted

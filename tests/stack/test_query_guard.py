"""Questions to a real server: the same rules, and behind them the rights of the reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.query_guard.allowed import is_allowed_function
from pipeline.sinks.query_guard.limits import QuestionLimitError, QuestionLimits
from pipeline.sinks.warehouse import WarehouseError, rows
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.documented_questions import documented_questions
from tests.support.hostile_statements import hostile_statements
from tests.support.reader_server import READER_PASSWORD, reader_server
from tests.support.watched_secrets import CANARY, watched_secrets

pytestmark = pytest.mark.stack
_READONLY, _SYNTAX = 164, 62
_LIMITS = QuestionLimits(seconds=60, memory_bytes=2 << 30, rows=10_000_000, bytes=1 << 30)
_SMALL = QuestionLimits(seconds=1, memory_bytes=50_000_000, rows=10, bytes=1_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """Run a server of its own that knows the reader of deploy/, with all tables."""
    with reader_server(tmp_path_factory.mktemp("guard")) as server:
        yield server


@pytest.fixture(params=["default", "reader"])
def warehouse(
    server: ClickHouseServer, request: pytest.FixtureRequest
) -> Iterator[ClickHouseWarehouse]:
    """Return the warehouse as Switchboard's own user and as the reader."""
    password = READER_PASSWORD if request.param == "reader" else ""
    warehouse = ClickHouseWarehouse(server.url_for(request.param, password))
    yield warehouse
    warehouse.close()


def test_hostile_statements_are_refused_and_open_nothing(
    warehouse: ClickHouseWarehouse, tmp_path: Path
) -> None:
    with watched_secrets(tmp_path / "secrets") as secrets:
        for sql in hostile_statements(str(secrets.file), secrets.port):
            error = _refusal(warehouse, sql)
            assert error.code in (_READONLY, _SYNTAX), f"{sql}: {error}"
            assert CANARY not in str(error)
        assert not secrets.was_connected()
        assert not secrets.was_written()


def _refusal(warehouse: ClickHouseWarehouse, sql: str) -> WarehouseError:
    try:
        answer = warehouse.query(sql, {"x": "label_rows"})
    except WarehouseError as error:
        return error
    raise AssertionError(f"{sql} is answered: {answer[:200]!r}")


def test_every_documented_question_is_answered_within_the_limits(
    warehouse: ClickHouseWarehouse,
) -> None:
    for sql in documented_questions():
        warehouse.query(sql, limits=_LIMITS)
    assert warehouse.query("SELECT 1", fmt="CSV", limits=_LIMITS) == b"1\n"


@pytest.mark.parametrize("fmt", ["JSONEachRow", "CSV"])
@pytest.mark.parametrize(
    ("sql", "setting"),
    [
        ("SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 3", "question_seconds"),
        ("SELECT groupArray(number) FROM numbers(100000000)", "question_memory_bytes"),
        ("SELECT number FROM numbers(11)", "question_rows"),
    ],
)
def test_a_question_over_a_limit_ends_in_one_sentence(
    warehouse: ClickHouseWarehouse, sql: str, setting: str, fmt: str
) -> None:
    limits = _SMALL
    with pytest.raises(QuestionLimitError, match=setting):
        warehouse.query(sql, fmt=fmt, limits=limits)


def test_a_typo_is_a_syntax_error_about_the_users_statement(
    warehouse: ClickHouseWarehouse,
) -> None:
    with pytest.raises(WarehouseError, match=r"^Syntax error: failed at position 20") as caught:
        warehouse.query("SELECT channel FRM communications")
    assert "formatQuery" not in str(caught.value)


def test_only_reviewed_functions_are_allowed_and_all_exist(server: ClickHouseServer) -> None:
    warehouse = ClickHouseWarehouse(server.url)
    known = {row["name"] for row in rows(warehouse, "SELECT name FROM system.functions")}
    warehouse.close()
    refused = {name for name in known if not is_allowed_function(name)}
    assert {"file", "sleep", "getMacro", "hostName", "dictGet", "joinGet"} < refused
    assert len(refused) < len(known) / 2

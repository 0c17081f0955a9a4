"""A ClickHouse server that is killed, cut off, silent or not one at all: nothing is lost.

The error says what is wrong.
"""

from __future__ import annotations

import logging
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.runtime.stages import load_handler
from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.clickhouse_http import query_over_http
from pipeline.sinks.clickhouse_url import parse_address
from pipeline.sinks.migrations import migrate
from pipeline.sinks.warehouse import (
    Columns,
    WarehouseBusyError,
    WarehouseError,
    WarehouseSetupError,
    rows,
)
from tests.stack.conftest import KEEPER_PASSWORD
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.stack import wait_until
from tests.support.tcp_gate import TcpGate
from tests.support.warehouses import NOW_MS, enriched, fresh_url

pytestmark = pytest.mark.stack
# Some 20 MB: many times what the sockets between hold, so that an insert of it can be met in its
# middle.
_ROWS = 100_000


@pytest.fixture
def gate(clickhouse: ClickHouseServer) -> Iterator[TcpGate]:
    with TcpGate(clickhouse.port) as gate:
        yield gate


def labels(count: int) -> Columns:
    return {
        "label_id": [f"{number:08x}-0000-8000-8000-000000000000" for number in range(count)],
        "labelled_at": [NOW_MS] * count,
        "note": [f"note {number} " + "x" * 150 for number in range(count)],
        "version": [1] * count,
    }


def through(gate: TcpGate, clickhouse: ClickHouseServer, options: str = "") -> ClickHouseWarehouse:
    warehouse = ClickHouseWarehouse(fresh_url(clickhouse, gate.port, options))
    migrate(warehouse)
    return warehouse


def counted(warehouse: ClickHouseWarehouse) -> int:
    (row,) = rows(warehouse, "SELECT count() AS n FROM labels")
    return int(row["n"])


def test_a_server_killed_in_the_middle_of_an_insert_loses_nothing(
    clickhouse: ClickHouseServer, gate: TcpGate
) -> None:
    warehouse = through(gate, clickhouse)
    warehouse.insert("label_rows", labels(10))
    gate.drop_after(5_000_000, clickhouse.kill)
    with pytest.raises(WarehouseBusyError, match="onnection"):
        warehouse.insert("label_rows", labels(_ROWS))
    # The insert breaks off with the connection, a moment before the process is gone.
    wait_until("the server to be dead", lambda: clickhouse.pid == 0)
    with pytest.raises(WarehouseBusyError):
        warehouse.query("SELECT 1")
    clickhouse.start()
    assert counted(warehouse) == 10
    warehouse.insert("label_rows", labels(_ROWS))
    assert counted(warehouse) == _ROWS
    clickhouse.restart()
    assert counted(warehouse) == _ROWS
    warehouse.close()


@pytest.mark.parametrize("passed", [1, 40, 400, 50_000, 1_000_000, 10_000_000])
def test_a_connection_that_drops_within_an_insert_is_busy_and_the_insert_repeatable(
    clickhouse: ClickHouseServer, gate: TcpGate, passed: int
) -> None:
    warehouse = through(gate, clickhouse)
    warehouse.insert("label_rows", labels(1))
    gate.drop_after(passed)
    with pytest.raises(WarehouseBusyError) as caught:
        warehouse.insert("label_rows", labels(_ROWS))
    assert caught.value.code
    assert counted(warehouse) in (1, _ROWS)
    warehouse.insert("label_rows", labels(_ROWS))
    assert counted(warehouse) == _ROWS
    warehouse.close()


def test_load_over_a_connection_that_drops_again_and_again_is_complete(
    clickhouse: ClickHouseServer, gate: TcpGate
) -> None:
    warehouse = through(gate, clickhouse)
    records = enriched(500)
    load = load_handler(warehouse)
    drops = 0
    for passed in (2_000, 60_000, 200_000, 400_000):
        gate.drop_after(passed)
        try:
            letters = load.handle(records)
        except WarehouseBusyError:
            drops += 1
        else:
            assert letters == []
    gate.drop_after(1 << 40)
    assert load.handle(records) == []
    assert drops >= 2
    (row,) = rows(warehouse, "SELECT count() AS n FROM history")
    assert row["n"] == 500
    warehouse.close()


def test_a_connection_without_responses_times_out(
    clickhouse: ClickHouseServer, gate: TcpGate
) -> None:
    warehouse = through(gate, clickhouse, "&send_receive_timeout=1&connect_timeout=1")
    gate.stall()
    for ask in (
        lambda: warehouse.insert("label_rows", labels(_ROWS)),
        lambda: warehouse.query("SELECT 1"),
        lambda: warehouse.execute("SELECT 1"),
        warehouse.create_database,
    ):
        with pytest.raises(WarehouseBusyError):
            ask()
    gate.drop()
    gate.resume()
    warehouse.insert("label_rows", labels(10))
    assert counted(warehouse) == 10
    warehouse.close()


def test_a_dropped_idle_connection_is_detected_before_an_insert(
    clickhouse: ClickHouseServer, gate: TcpGate
) -> None:
    warehouse = through(gate, clickhouse)
    gate.drop()
    warehouse.insert("label_rows", labels(10))
    gate.drop_after(0)
    warehouse.insert("label_rows", labels(20))
    assert counted(warehouse) == 20
    warehouse.close()


def test_a_dead_idle_connection_is_opened_again(clickhouse: ClickHouseServer) -> None:
    warehouse = ClickHouseWarehouse(fresh_url(clickhouse))
    migrate(warehouse)
    clickhouse.restart()
    warehouse.insert("label_rows", labels(3))
    assert counted(warehouse) == 3
    warehouse.close()


def test_threads_insert_and_query_at_the_same_time(clickhouse: ClickHouseServer) -> None:
    warehouse = ClickHouseWarehouse(fresh_url(clickhouse))
    migrate(warehouse)
    with ThreadPoolExecutor(8) as threads:
        inserts = [threads.submit(warehouse.insert, "label_rows", labels(500)) for _ in range(20)]
        asked = [threads.submit(warehouse.query, f"SELECT {number} AS n") for number in range(20)]
        assert [one.result() for one in asked] == [b'{"n":%d}\n' % number for number in range(20)]
        assert [one.result() for one in inserts] == [None] * 20
    assert counted(warehouse) == 500
    warehouse.close()


def test_an_absent_server_is_a_busy_error_with_its_address(gate: TcpGate) -> None:
    gate.__exit__()
    with pytest.raises(WarehouseBusyError, match=f"127.0.0.1:{gate.port}") as caught:
        ClickHouseWarehouse(f"clickhouse://u:geheim@127.0.0.1:{gate.port}/db").query("SELECT 1")
    assert "geheim" not in str(caught.value)


def test_the_second_host_is_used_if_the_first_is_away(
    clickhouse: ClickHouseServer, gate: TcpGate
) -> None:
    gate.__exit__()
    url = f"clickhouse://default@127.0.0.1:{gate.port},127.0.0.1:{clickhouse.port}/system"
    warehouse = ClickHouseWarehouse(url)
    assert rows(warehouse, "SELECT 1 AS a") == [{"a": 1}]
    warehouse.close()


def test_a_server_that_is_not_clickhouse_is_an_error(clickhouse: ClickHouseServer) -> None:
    with pytest.raises(WarehouseError) as caught:
        ClickHouseWarehouse(f"clickhouse://default@127.0.0.1:{clickhouse.http_port}/db").query(
            "SELECT 1"
        )
    assert str(clickhouse.http_port) in str(caught.value)


def test_passwords_are_used_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A server of its own: chdb's listener does not survive many refusals.
    caplog.set_level(logging.DEBUG)
    with ClickHouseServer(tmp_path, users={"keeper": KEEPER_PASSWORD}) as server:
        warehouse = ClickHouseWarehouse(server.url_for("keeper", KEEPER_PASSWORD))
        migrate(warehouse)
        assert rows(warehouse, "SELECT 1 AS a") == [{"a": 1}]
        with pytest.raises(WarehouseSetupError, match="Authentication failed") as caught:
            ClickHouseWarehouse(server.url_for("keeper", "wrong " + KEEPER_PASSWORD)).query(
                "SELECT 1"
            )
        assert caught.value.code == 516
        for shown in (str(caught.value), repr(warehouse), repr(warehouse.address), caplog.text):
            assert KEEPER_PASSWORD not in shown
        warehouse.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
        f" subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    key, public = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, key)
    return context


def test_tls_verifies_the_server(
    clickhouse: ClickHouseServer, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    _, public = certificate
    with TcpGate(clickhouse.port, tls) as gate:
        secure = f"clickhouses://default@127.0.0.1:{gate.port}/system"
        for options in (f"?ca_certs={public}", "?verify=false"):
            warehouse = ClickHouseWarehouse(secure + options)
            assert rows(warehouse, "SELECT 1 AS a") == [{"a": 1}]
            warehouse.close()
        with pytest.raises(WarehouseSetupError, match=r"add its authority by \?ca_certs=FILE"):
            ClickHouseWarehouse(secure).query("SELECT 1")
        with pytest.raises(WarehouseSetupError, match="not trusted"):
            ClickHouseWarehouse(
                f"{secure}?ca_certs={public}&server_hostname=other.example.com"
            ).query("SELECT 1")


def test_tls_of_the_http_interface_verifies_the_server(
    clickhouse: ClickHouseServer, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    _, public = certificate
    with TcpGate(clickhouse.port, tls) as native, TcpGate(clickhouse.http_port, tls) as http:
        secure = f"clickhouses://default@127.0.0.1:{native.port}/system?http_port={http.port}"
        for options in (f"&ca_certs={public}", "&verify=false"):
            warehouse = ClickHouseWarehouse(secure + options)
            assert warehouse.query("SELECT 1 AS a", fmt="CSVWithNames") == b'"a"\n1\n'
            warehouse.close()
        for options in ("&verify=true", f"&ca_certs={public}&server_hostname=other.example.com"):
            # The native connection is checked first; only the HTTP interface is under test here.
            address = parse_address(secure + options)
            with pytest.raises(WarehouseSetupError, match="certificate is not trusted"):
                query_over_http(address, "SELECT 1", {}, "CSV", {})


def test_an_unreachable_http_interface_says_how_to_set_its_port(
    clickhouse: ClickHouseServer,
) -> None:
    url = clickhouse.url_for(database="system").replace(str(clickhouse.http_port), "1")
    warehouse = ClickHouseWarehouse(url)
    assert rows(warehouse, "SELECT 1 AS a") == [{"a": 1}]
    with pytest.raises(WarehouseBusyError, match=r"port 1 cannot be reached .*\?http_port=PORT"):
        warehouse.query("SELECT 1", fmt="CSV")
    warehouse.close()


def test_tls_to_a_plain_port_and_plain_text_to_a_tls_port_are_errors(
    tmp_path: Path, certificate: tuple[Path, Path], tls: ssl.SSLContext
) -> None:
    # A server of its own: chdb's listener does not survive what it cannot read.
    with ClickHouseServer(tmp_path) as server, TcpGate(server.port, tls) as gate:
        with pytest.raises(WarehouseError, match=str(gate.port)):
            ClickHouseWarehouse(f"clickhouse://default@127.0.0.1:{gate.port}/system").query(
                "SELECT 1"
            )
        options = f"?ca_certs={certificate[1]}&connect_timeout=2"
        with pytest.raises(WarehouseError, match=str(server.port)):
            ClickHouseWarehouse(
                f"clickhouses://default@127.0.0.1:{server.port}/system{options}"
            ).query("SELECT 1")

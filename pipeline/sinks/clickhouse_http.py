"""Queries a ClickHouse server over its HTTP interface, which returns results in any output format.

https://clickhouse.com/docs/interfaces/http. The native protocol sends typed columns only, so a
result in CSV, Parquet or another format comes from here (docs/adr/0024).
"""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlencode

from pipeline.sinks.clickhouse_text import error_from_text, escaped_parameter
from pipeline.sinks.clickhouse_url import Address
from pipeline.sinks.warehouse import WarehouseBusyError, WarehouseSetupError

# A query may take any time, so reads have no timeout; the kernel detects a dead connection: idle
# seconds before the first probe, seconds between probes, number of probes.
_KEEPALIVE = (
    ("TCP_KEEPIDLE", 20),
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 4),
)


def query_over_http(
    address: Address,
    sql: str,
    parameters: Mapping[str, Any],
    fmt: str,
    settings: Mapping[str, int],
) -> bytes:
    """Return the result of a query, which runs with settings such as readonly, in a format.

    Raises WarehouseBusyError if no host's HTTP interface can be reached, and the errors of
    `Warehouse.query`.
    """
    # With wait_end_of_query the server reports an error in the middle of a result by the status.
    options = {
        "database": address.database,
        "default_format": fmt,
        **settings,
        "wait_end_of_query": 1,
        **{f"param_{name}": escaped_parameter(value) for name, value in parameters.items()},
    }
    credentials = b64encode(f"{address.user}:{address.password}".encode()).decode()
    connection = _connect(address, fmt)
    try:
        connection.request(
            "POST",
            f"/?{urlencode(options)}",
            sql.encode(),
            {"Authorization": f"Basic {credentials}"},
        )
        return _result(connection.getresponse())
    except (OSError, HTTPException) as error:
        raise WarehouseBusyError(
            f"{address}: the HTTP connection broke: {type(error).__name__} {error}: try again"
        ) from error
    finally:
        connection.close()


def _result(response: HTTPResponse) -> bytes:
    body = response.read()
    if response.status == 200:
        return body
    raise error_from_text(body.decode("utf-8", "replace").strip() or response.reason)


def _connect(address: Address, fmt: str) -> HTTPConnection:
    """Connect to the first host that accepts a connection."""
    problem: OSError = OSError("no host")
    for host, _ in address.hosts:
        try:
            stream = socket.create_connection(
                (host, address.http_port), address.options["connect_timeout"]
            )
        except OSError as error:
            problem = error
            continue
        try:
            connection = HTTPConnection(host, address.http_port)
            connection.sock = _secured(stream, address, host) if address.secure else stream
        except ssl.SSLCertVerificationError as error:
            stream.close()
            raise WarehouseSetupError(
                f"{address}: its certificate is not trusted: add its authority by ?ca_certs=FILE"
                f" ({error.verify_message})"
            ) from error
        except OSError as error:
            stream.close()
            problem = error
            continue
        _keep_alive(connection.sock)
        return connection
    raise WarehouseBusyError(
        f"{address}: the format {fmt} needs ClickHouse's HTTP interface, and port"
        f" {address.http_port} cannot be reached ({problem}): set its port by ?http_port=PORT in"
        " the address of the warehouse, or use the format JSONEachRow"
    )


def _secured(stream: socket.socket, address: Address, host: str) -> ssl.SSLSocket:
    options = address.options
    context = ssl.create_default_context(cafile=options.get("ca_certs"))
    if not options.get("verify", True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "certfile" in options:
        context.load_cert_chain(options["certfile"], options.get("keyfile"))
    return context.wrap_socket(stream, server_hostname=options.get("server_hostname", host))


def _keep_alive(stream: socket.socket) -> None:
    stream.settimeout(None)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        # macOS has no TCP_KEEPIDLE.
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""Parses the address of a ClickHouse server: clickhouse://user:password@host:9000/database?…"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.errors import UserError
from pipeline.sinks.warehouse import DATABASE

_PORT, _SECURE_PORT = 9000, 9440
_HTTP_PORT, _SECURE_HTTP_PORT = 8123, 8443
# A host that is up responds within milliseconds; ten seconds cover a slow name server and lost
# packets.
_CONNECT_S = 10.0
# ClickHouse sends progress several times per second, and an insert of 100,000 rows takes a few
# seconds, so after a minute without data the connection is dead. Two such timeouts and their pauses
# stay below Kafka's max.poll.interval of five minutes.
_SILENCE_S = 60.0
_PING_S = 5.0
_HINT = (
    "write clickhouse://user:password@host:9000/database, and characters such as @ : / ? # % of a"
    " password as %40 %3A %2F %3F %23 %25"
)


class AddressError(UserError, ValueError):
    """The address of the warehouse is invalid; the message has the part, never the password."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's hosts, credentials and database, and `options` for clickhouse-driver.

    The HTTP interface has the same port on all hosts.

    The repr does not have the password.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    database: str
    secure: bool
    http_port: int
    options: dict[str, Any]

    def __str__(self) -> str:
        scheme = "clickhouses" if self.secure else "clickhouse"
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        return f"{scheme}://{self.user}@{hosts}/{self.database}"

    def client_options(self, database: str | None = None) -> dict[str, Any]:
        """Return the arguments of clickhouse-driver's Client, for this or another database."""
        (host, port), *others = self.hosts
        return {
            "host": host,
            "port": port,
            "alt_hosts": ",".join(f"{other}:{other_port}" for other, other_port in others) or None,
            "user": self.user,
            "password": self.password,
            "database": self.database if database is None else database,
            "secure": self.secure,
            # Timeout of the ping before an idle connection is used again.
            "sync_request_timeout": min(_PING_S, self.options["send_receive_timeout"]),
            **self.options,
        }


def parse_address(url: str) -> Address:
    """Return the address in a URL; raises AddressError with the part that is invalid.

    >>> str(parse_address("clickhouse://reader:secret@db/sales"))
    'clickhouse://reader@db:9000/sales'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AddressError(
            f"warehouse: the brackets of an IPv6 address do not match: {_HINT}"
        ) from None
    if parts.scheme not in ("clickhouse", "clickhouses"):
        raise AddressError(
            f"warehouse: {parts.scheme or 'no scheme'!r} is not a scheme of ClickHouse: {_HINT}"
        )
    if parts.fragment:
        raise AddressError(f"warehouse: there is a # in it: {_HINT}")
    if "@" in parts.path or "@" in parts.query:
        raise AddressError(f"warehouse: there is an @ after the host: {_HINT}")
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    options = _options(parts.query)
    secure = options.pop("secure", False) or parts.scheme == "clickhouses"
    database = unquote(parts.path.strip("/"))
    if "/" in database:
        raise AddressError(f"warehouse: {database!r} is not a database name: {_HINT}")
    return Address(
        hosts=tuple(_host(host, _SECURE_PORT if secure else _PORT) for host in hosts.split(",")),
        user=unquote(user) or "default",
        password=unquote(password),
        database=database or DATABASE,
        secure=secure,
        http_port=options.pop("http_port", _SECURE_HTTP_PORT if secure else _HTTP_PORT),
        options={"connect_timeout": _CONNECT_S, "send_receive_timeout": _SILENCE_S, **options},
    )


def _host(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise AddressError(f"warehouse: {text!r} is not an IPv6 address in brackets: {_HINT}")
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
    if not host:
        raise AddressError(f"warehouse: it has no host: {_HINT}")
    if not port:
        return host, default_port
    try:
        return host, _port(port)
    except ValueError as error:
        raise AddressError(f"warehouse: the port of {host} {error}: {_HINT}") from None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 16:
        raise ValueError("must be a number from 1 to 65535")
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in ("1", "0", "true", "false"):
        raise ValueError("must be true or false")
    return text.lower() in ("1", "true")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 0 < value <= 3600:
        raise ValueError("must be above 0 and at most 3600 seconds")
    return value


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError(f"must be a file, and {text} does not exist")
    return text


def _compression(text: str) -> str:
    if text not in ("lz4", "lz4hc", "zstd"):
        raise ValueError("must be lz4, lz4hc or zstd")
    try:
        __import__("clickhouse_cityhash")
        __import__("zstd" if text == "zstd" else "lz4")
    except ImportError as error:
        raise ValueError(
            f"needs a package that is not installed: pip install clickhouse-driver[{text[:4]}]"
        ) from error
    return text


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "secure": _flag,
    "verify": _flag,
    "ca_certs": _file,
    "certfile": _file,
    "keyfile": _file,
    "server_hostname": str,
    "http_port": _port,
    "connect_timeout": _seconds,
    "send_receive_timeout": _seconds,
    "compression": _compression,
}


def _options(query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise AddressError(
                f"warehouse: there is no option {name!r}, only {', '.join(_OPTIONS)}"
            )
        try:
            options[name] = _OPTIONS[name](text)
        except ValueError as error:
            raise AddressError(f"warehouse: the option {name} {error}") from error
    return options

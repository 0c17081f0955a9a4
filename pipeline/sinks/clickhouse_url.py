"""The address of a ClickHouse server, as the setting `warehouse` gives it:
clickhouse://user:password@host:9000/database?…
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.errors import UserError
from pipeline.sinks.warehouse import DATABASE

_PORT, _SECURE_PORT = 9000, 9440
# A host that is up answers within milliseconds; ten seconds cover a name server that is slow and a
# link that loses packets.
_CONNECT_S = 10.0
# ClickHouse tells of its progress several times a second, and an insert of 100,000 rows is durable
# within a few: a minute of silence is a dead connection. Two of them and their pauses stay below
# Kafka's max.poll.interval of five minutes.
_SILENCE_S = 60.0
_PING_S = 5.0
_HINT = (
    "write clickhouse://user:password@host:9000/database, in it signs such as @ : / ? # % of a"
    " password as %40 %3A %2F %3F %23 %25"
)


class AddressError(UserError, ValueError):
    """The address of the warehouse is wrong; the message says which part, never the password."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ClickHouse server is and how to speak to it; `options` are clickhouse-driver's. The
    password is in no repr.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    database: str
    secure: bool
    options: dict[str, Any]

    def __str__(self) -> str:
        scheme = "clickhouses" if self.secure else "clickhouse"
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        return f"{scheme}://{self.user}@{hosts}/{self.database}"

    def client_options(self, database: str | None = None) -> dict[str, Any]:
        """Return what clickhouse-driver's Client takes, for another database where one is named."""
        (host, port), *others = self.hosts
        return {
            "host": host,
            "port": port,
            "alt_hosts": ",".join(f"{other}:{its_port}" for other, its_port in others) or None,
            "user": self.user,
            "password": self.password,
            "database": self.database if database is None else database,
            "secure": self.secure,
            # Asked on an idle connection before it is used again.
            "sync_request_timeout": min(_PING_S, self.options["send_receive_timeout"]),
            **self.options,
        }


def parse_address(url: str) -> Address:
    """Return the address that a URL means; raises AddressError naming the part that is wrong."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AddressError(
            f"warehouse: the brackets of an IPv6 address do not match: {_HINT}"
        ) from None
    if parts.scheme not in ("clickhouse", "clickhouses"):
        raise AddressError(
            f"warehouse: {parts.scheme or 'no scheme'!r} is no scheme of ClickHouse: {_HINT}"
        )
    if parts.fragment:
        raise AddressError(f"warehouse: there is a # in it: {_HINT}")
    if "@" in parts.path or "@" in parts.query:
        raise AddressError(f"warehouse: there is an @ behind the host: {_HINT}")
    credentials, _, places = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    given = _options(parts.query)
    secure = given.pop("secure", False) or parts.scheme == "clickhouses"
    database = unquote(parts.path.strip("/"))
    if "/" in database:
        raise AddressError(f"warehouse: {database!r} is no database's name: {_HINT}")
    return Address(
        hosts=tuple(_host(place, _SECURE_PORT if secure else _PORT) for place in places.split(",")),
        user=unquote(user) or "default",
        password=unquote(password),
        database=database or DATABASE,
        secure=secure,
        options={"connect_timeout": _CONNECT_S, "send_receive_timeout": _SILENCE_S, **given},
    )


def _host(place: str, default_port: int) -> tuple[str, int]:
    if place.startswith("["):
        host, closed, rest = place[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise AddressError(f"warehouse: {place!r} is no IPv6 address in brackets: {_HINT}")
        port = rest[1:]
    else:
        host, _, port = place.partition(":")
    if not host:
        raise AddressError(f"warehouse: it names no host: {_HINT}")
    if not port:
        return host, default_port
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise AddressError(f"warehouse: the port of {host} is a number from 1 to 65535: {_HINT}")
    return host, int(port)


def _flag(text: str) -> bool:
    if text.lower() not in ("1", "0", "true", "false"):
        raise ValueError("is true or false")
    return text.lower() in ("1", "true")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is a number of seconds") from None
    if not 0 < value <= 3600:
        raise ValueError("is above 0 and at most 3600 seconds")
    return value


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError(f"names a file, and there is none at {text}")
    return text


def _compression(text: str) -> str:
    if text not in ("lz4", "lz4hc", "zstd"):
        raise ValueError("is lz4, lz4hc or zstd")
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
    "connect_timeout": _seconds,
    "send_receive_timeout": _seconds,
    "compression": _compression,
}


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise AddressError(
                f"warehouse: there is no option {name!r}, only {', '.join(_OPTIONS)}"
            )
        try:
            found[name] = _OPTIONS[name](text)
        except ValueError as error:
            raise AddressError(f"warehouse: the option {name} {error}") from error
    return found

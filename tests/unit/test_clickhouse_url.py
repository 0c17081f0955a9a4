"""The address of a ClickHouse server: every part of a URL, and errors that name the part and never
the password.
"""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.clickhouse_url import AddressError, parse_address


def test_a_bare_host_gets_default_port_user_and_database() -> None:
    address = parse_address("clickhouse://db.example.com")
    assert (address.hosts, address.user, address.password) == (
        (("db.example.com", 9000),),
        "default",
        "",
    )
    assert (address.database, address.secure) == ("switchboard", False)


def test_every_part_of_an_address_is_parsed() -> None:
    address = parse_address(
        "clickhouses://bob:p%40ss@a.example.com:9441,b.example.com/history?connect_timeout=3&verify=false"
    )
    assert address.hosts == (("a.example.com", 9441), ("b.example.com", 9440))
    options = address.client_options()
    assert (options["host"], options["port"], options["alt_hosts"]) == (
        "a.example.com",
        9441,
        "b.example.com:9440",
    )
    assert (options["user"], options["password"], options["database"]) == ("bob", "p@ss", "history")
    assert (options["secure"], options["verify"], options["connect_timeout"]) == (True, False, 3.0)
    assert address.client_options(database="")["database"] == ""


def test_the_http_port_has_a_default() -> None:
    assert parse_address("clickhouse://h").http_port == 8123
    assert parse_address("clickhouses://h").http_port == 8443
    address = parse_address("clickhouse://h?http_port=18123")
    assert address.http_port == 18123
    assert "http_port" not in address.client_options()


def test_ipv6_addresses_are_in_brackets() -> None:
    assert parse_address("clickhouse://u@[::1]:9001/x").hosts == (("::1", 9001),)
    assert str(parse_address("clickhouse://u@[::1]/x")) == "clickhouse://u@[::1]:9000/x"


def test_certificates_are_verified_by_default(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    options = parse_address(f"clickhouse://h?secure=1&ca_certs={authority}").client_options()
    assert options["secure"]
    assert options["ca_certs"] == str(authority)
    assert "verify" not in options  # clickhouse-driver's own default is to verify


@given(password=st.text(min_size=1, max_size=20), user=st.text(min_size=1, max_size=10))
def test_any_password_is_parsed_and_never_shown(password: str, user: str) -> None:
    secret = f"<<{password}>>"
    address = parse_address(
        f"clickhouse://{quote(user, safe='')}:{quote(secret, safe='')}@h:9000/db"
    )
    assert (address.user, address.password) == (user, secret)
    for shown in (str(address), repr(address), repr(ClickHouseWarehouse(address))):
        assert secret not in shown


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://h:8123", "'http' is not a scheme"),
        ("h:9000", "'h' is not a scheme"),
        ("clickhouse://", "has no host"),
        ("clickhouse:///db", "has no host"),
        ("clickhouse://u:secret@/db", "has no host"),
        ("clickhouse://u:secret@h:http/db", "port of h"),
        ("clickhouse://u:secret@h:70000/db", "port of h"),
        ("clickhouse://u:secret@h:0/db", "port of h"),
        ("clickhouse://u:secret@h:٣/db", "port of h"),
        ("clickhouse://u:secret@h,/db", "has no host"),
        ("clickhouse://u:secret@[::1/db", "brackets"),
        ("clickhouse://u:secret@h/a/b", "'a/b' is not a database"),
        ("clickhouse://u:secr/et@h/db", "@ after the host"),
        ("clickhouse://u:secr?et@h/db", "@ after the host"),
        ("clickhouse://u:secr#et@h/db", "a # in it"),
        ("clickhouse://u:secret@h/db?verfy=1", "no option 'verfy'"),
        ("clickhouse://u:secret@h/db?verify=maybe", "verify must be true or false"),
        (
            "clickhouse://u:secret@h/db?connect_timeout=soon",
            "connect_timeout must be a number of seconds",
        ),
        ("clickhouse://u:secret@h/db?send_receive_timeout=0", "send_receive_timeout must be above"),
        (
            "clickhouse://u:secret@h/db?send_receive_timeout=nan",
            "send_receive_timeout must be above",
        ),
        ("clickhouse://u:secret@h/db?ca_certs=/nowhere.pem", "/nowhere.pem does not exist"),
        ("clickhouse://u:secret@h/db?compression=rar", "lz4, lz4hc or zstd"),
        ("clickhouse://u:secret@h/db?http_port=http", "http_port must be a number from 1"),
    ],
)
def test_errors_name_the_invalid_part_and_not_the_password(url: str, word: str) -> None:
    with pytest.raises(AddressError, match="warehouse: ") as caught:
        parse_address(url)
    assert word in str(caught.value)
    assert "secr" not in str(caught.value)
    assert isinstance(caught.value, UserError)

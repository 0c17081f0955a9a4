"""What stands for nothing, is masked or was rounded identifies nobody, in every kind of contact."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.identity.contacts import (
    MAX_CONTACT,
    OwnSide,
    contact_points,
    own_placeholders,
    read_contacts,
    read_email,
    read_phone,
)
from pipeline.processors.identify import Identity
from schemas.types import Party

NOTHING = [
    "null",
    "Undefined",
    "None",
    "NaN",
    "n/a",
    "N / A",
    "#N/A",
    "\\N",
    "无",
    "没有",
    "-",
    "——",
    "...",
    "[object Object]",
    "{}",
    "Guest",
    "anonymous",
    "ＵＮＫＮＯＷＮ",
    "'null'",
    "\u200bnull\ufeff",
    "匿名用户",
    "0",
    "0.0",
    "00000000-0000-0000-0000-000000000000",
]


@pytest.mark.parametrize("kind", ["id", "email", "phone", "handle"])
@pytest.mark.parametrize("written", NOTHING)
def test_nothing_identifies_nobody(kind: str, written: str) -> None:
    fields: dict[str, Any] = {kind: written}
    reading = read_contacts(Party(**fields), "shop", "CN")
    if kind == "email" and set(written) <= set("0.-"):
        assert not any(point.valid for point in reading.points)
    else:
        assert (reading.points, reading.flags) == ((), ("contact_placeholder",))
        assert reading.unread == ((kind, Party(**fields).model_dump()[kind]),)


@pytest.mark.parametrize(
    "written",
    [
        "none@none.com",
        "Test@Test.com",
        "test@example.com",
        "test@qq.com",
        "abc@abc.com",
        "a@a.com",
        "noemail@shop.example",
        "no-email@x.example",
        "undefined@shop.example",
        "anonymous@anonymous.invalid",
        "Nobody <none@none.com>",
        "ne-pas-repondre@shop.example",
        "noreply@shop.example",
    ],
)
def test_addresses_that_nobody_has(written: str) -> None:
    assert read_email(written).points == ()


@pytest.mark.parametrize(
    "written",
    ["00000000000", "11111111111", "+86 111 1111 1111", "99999999", "1234567890", "13800138000"],
)
def test_numbers_that_nobody_has(written: str) -> None:
    assert read_phone(written, "CN").points == ()


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("id", "1"),
        ("id", "222"),
        ("id", "NULL-7"),
        ("id", "12E4"),
        ("email", "ann@guest.example"),
        ("email", "test@firm.example"),
        ("email", "none.li@example.org"),
        ("phone", "222"),
        ("phone", "13888888888"),
        ("handle", "Na"),
        ("handle", "🌸"),
        ("handle", "guestbook"),
    ],
)
def test_what_is_somebody_stays_somebody(kind: str, written: str) -> None:
    fields: dict[str, Any] = {kind: written}
    assert len(contact_points(Party(**fields), "shop", "CN")) == 1


def test_an_installation_adds_values_of_its_own() -> None:
    more = own_placeholders(["Walk-In", "counter@shop.example", "13800000099"], "CN")
    for party in (
        Party(id="ＷＡＬＫ-ＩＮ"),
        Party(email="Counter <counter@shop.example>"),
        Party(phone="138 0000 0099"),
        Party(handle="@walk-in"),
    ):
        assert read_contacts(party, "shop", "CN", more).points == ()
    assert read_contacts(Party(id="walk-in-9"), "shop", "CN", more).points


@pytest.mark.parametrize(
    ("kind", "written", "flag"),
    [
        ("phone", "138****0021", "contact_masked"),
        ("phone", "138xxxx0021", "contact_masked"),
        ("phone", "138X0021", "contact_masked"),
        ("phone", "138 •••• 0021", "contact_masked"),
        ("phone", "138×××× 0021", "contact_masked"),
        ("phone", "010-8888****", "contact_masked"),
        ("phone", "138…0021", "contact_masked"),
        ("email", "a***@example.com", "contact_masked"),
        ("phone", "1.38E+10", "contact_rounded"),
        ("phone", "8,61381e12", "contact_rounded"),
        ("phone", "3.108207129E9", "contact_rounded"),
        ("id", "1.00001E+11", "contact_rounded"),
        ("phone", "agent7", "contact_invalid"),
        ("phone", "120363025555555555@g.us", "contact_invalid"),
        ("phone", "13800000061139000000621", "contact_invalid"),
        ("id", "x" * (MAX_CONTACT + 1), "contact_invalid"),
    ],
)
def test_masked_rounded_and_unreadable_values_are_flagged(
    kind: str, written: str, flag: str
) -> None:
    fields: dict[str, Any] = {kind: written}
    reading = read_contacts(Party(**fields), "shop", "CN")
    assert (reading.points, reading.flags) == ((), (flag,))


def test_the_record_keeps_what_identifies_nobody_as_written() -> None:
    identity = Identity(b"0" * 32, OwnSide(), "CN")
    party = Party(id="null", name="Ann", phone="138****0021")
    customer, flags = identity.find_customer([party], "main", "shop")
    assert (customer.contacts, customer.customer_id, customer.name) == ((), None, "Ann")
    assert flags == ("contact_placeholder", "contact_masked")
    assert customer.attributes == {"contact_unread": "id: null; phone: 138****0021"}


def test_an_extension_is_kept_apart() -> None:
    identity = Identity(b"0" * 32, OwnSide(), "CN")
    party = Party(phone="010-88886666转801")
    customer, flags = identity.find_customer([party], "main", "shop")
    assert customer.contacts == ("phone:+861088886666",)
    assert customer.attributes == {"phone_extension": "801"}
    assert flags == ()


def test_a_local_number_in_two_sources_is_two_people() -> None:
    identity = Identity(b"0" * 32, OwnSide(), "US")
    shop, flags = identity.find_customer([Party(phone="555-0100")], "main", "shop")
    desk, _ = identity.find_customer([Party(phone="5550100")], "main", "desk")
    assert (shop.contacts, flags) == (("phone:shop/5550100",), ("contact_invalid",))
    assert shop.customer_id != desk.customer_id


def test_further_numbers_of_a_profile_are_read_alike() -> None:
    identity = Identity(b"0" * 32, OwnSide(), "CN")
    at = datetime(2026, 11, 1, tzinfo=UTC)
    customer, _ = identity.find_customer([Party(id="C-1")], "main", "shop")
    customer, flags = identity.with_contacts(
        customer, "main", "shop", ["Ann <ann@b.example>"], ["138****0021", "88886666"]
    )
    assert customer.contacts == ("id:C-1", "email:ann@b.example", "phone:shop/88886666")
    assert flags == ("contact_invalid", "contact_masked")
    record = identity.customer_id("main", "record")
    assert len(identity.links(customer, "main", record, at)) == 2

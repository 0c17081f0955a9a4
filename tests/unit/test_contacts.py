"""Contact points: one person's address in any spelling is one point; what identifies nobody gives
none.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity.contacts import (
    OwnSide,
    contact_points,
    normalise_email,
    normalise_handle,
    normalise_phone,
)
from schemas.types import Party


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Anna@Example.ORG", "anna@example.org"),
        (" <anna@example.org> ", "anna@example.org"),
        ("mailto:anna@example.org", "anna@example.org"),
        ("ａｎｎａ＠example．org", "anna@example.org"),
        ("用户@例子.公司", "用户@例子.公司"),
    ],
)
def test_spellings_of_an_address_are_normalised_alike(written: str, kept: str) -> None:
    assert str(normalise_email(written)) == f"email:{kept}"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "  ",
        "no-reply@shop.example.com",
        "DoNotReply@x.example",
        "MAILER-DAEMON@x.example",
        "anonymous",
    ],
)
def test_no_reply_addresses_are_not_contact_points(written: str) -> None:
    assert normalise_email(written) is None


def test_an_invalid_address_is_kept_and_marked() -> None:
    point = normalise_email("root")
    assert point is not None
    assert (point.value, point.valid) == ("root", False)


@pytest.mark.parametrize(
    ("written", "region", "kept"),
    [
        ("+86 138 0000 0001", None, "+8613800000001"),
        ("138 0000 0001", "CN", "+8613800000001"),
        ("008613800000001", None, "+8613800000001"),
        ("010-8888 6666", "CN", "+861088886666"),
        ("+1 (415) 555-0100", None, "+14155550100"),
        ("(415) 555-0100", "US", "+14155550100"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("＋８６１３８０００００００１", None, "+8613800000001"),
        ("tel:+14155550100", None, "+14155550100"),
        ("sip:+14155550100@pbx.example.com;user=phone", None, "+14155550100"),
        ("whatsapp:+14155550100", None, "+14155550100"),
        ("\u202a+40 521 028 61 88\u202c", None, "+405210286188"),
    ],
)
def test_spellings_of_a_number_are_normalised_alike(
    written: str, region: str | None, kept: str
) -> None:
    assert str(normalise_phone(written, region)) == f"phone:{kept}"


@pytest.mark.parametrize(
    "written",
    ["", "anonymous", "Anonymous", "Restricted", "unavailable", "匿名", "未知号码", "---"],
)
def test_a_withheld_number_gives_no_contact(written: str) -> None:
    assert normalise_phone(written, "CN") is None


@pytest.mark.parametrize(
    ("written", "region"), [("301", "CN"), ("89245555937", None), ("+999", None)]
)
def test_an_extension_is_kept_and_marked(written: str, region: str | None) -> None:
    point = normalise_phone(written, region)
    assert point is not None
    assert not point.valid


@given(st.text())
def test_normalisation_is_idempotent(text: str) -> None:
    for normalise in (
        normalise_email,
        lambda value: normalise_phone(value, "CN"),
        lambda value: normalise_handle(value, "s"),
    ):
        point = normalise(text)
        if point is not None and point.kind != "handle":
            assert normalise(point.value) == point


def test_a_party_gives_its_points_strongest_first() -> None:
    party = Party(
        id="C-1", email="A@example.org", phone="+8613800000001", handle="@Anna", name="Anna"
    )
    points = [str(point) for point in contact_points(party, "weibo", None)]
    assert points == ["id:C-1", "email:a@example.org", "phone:+8613800000001", "handle:weibo/anna"]


def test_a_nickname_on_two_platforms_is_two_people() -> None:
    assert normalise_handle("anna", "weibo") != normalise_handle("anna", "whatsapp")


def test_own_side_by_address_domain_number_and_name() -> None:
    own = OwnSide(
        (
            "service@gmail.com",
            "@shop.example.com",
            "shop.example",
            "+86 10 8888 6666",
            "301",
            "Shop Support",
            "小慧",
        ),
        "CN",
    )
    assert own.owns_email("Service@Gmail.com")
    assert own.owns_email("x@mail.shop.example.com")
    assert own.owns_email("x@shop.example")
    assert not own.owns_email("x@myshop.example")
    assert not own.owns_email("other@gmail.com")
    assert own.owns_phone("010 8888 6666")
    assert own.owns_phone("301")
    assert not own.owns_phone("302")
    assert own.owns_name("shop support")
    assert own.owns_name("小慧")
    assert own.owns(Party(handle="@小慧"))
    assert not own.owns(Party(name="小慧", email="x@example.org"))


def test_an_empty_own_side_owns_nobody() -> None:
    assert not OwnSide().owns(Party(email="a@example.org", phone="1", handle="h"))

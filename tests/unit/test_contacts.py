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
    read_email,
    read_phone,
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


@pytest.mark.parametrize(
    ("written", "region", "numbers", "extension"),
    [
        ("010-88886666 ext. 801", "CN", ["+861088886666"], "801"),
        ("010-88886666转801", "CN", ["+861088886666"], "801"),
        ("010-88886666 分机：801", "CN", ["+861088886666"], "801"),
        ("010-88886666-801", "CN", ["+861088886666"], "801"),
        ("010-88886666(801)", "CN", ["+861088886666"], "801"),
        ("(907) 486-4171 x101", "US", ["+19074864171"], "101"),
        ("907-486-4171#101", "US", ["+19074864171"], "101"),
        ("tel:+1-907-486-4171;ext=101", None, ["+19074864171"], "101"),
        ("+49 30 5550100-12", None, ["+4930555010012"], ""),
        ("13800000061/13900000062", "CN", ["+8613800000061", "+8613900000062"], ""),
        ("13800000061，13900000062", "CN", ["+8613800000061", "+8613900000062"], ""),
        ("13800000061 或 13900000062", "CN", ["+8613800000061", "+8613900000062"], ""),
        ("13800000061 or 13900000062", "CN", ["+8613800000061", "+8613900000062"], ""),
        ("13800000061\n13900000062", "CN", ["+8613800000061", "+8613900000062"], ""),
        ("13800000061 13900000062", "CN", ["+8613800000061", "+8613900000062"], ""),
        ("手机:13800000061 座机:010-88886666", "CN", ["+8613800000061", "+861088886666"], ""),
        ("010-88886666转801 / 13800000061", "CN", ["+861088886666", "+8613800000061"], "801"),
        ("010-88886666/7", "CN", ["+861088886666"], ""),
        ("030/5550100", "DE", ["+49305550100"], ""),
        ("+49/30/5550100", None, ["+49305550100"], ""),
        ("13800000041.0", "CN", ["+8613800000041"], ""),
        ("13,800,000,041", "CN", ["+8613800000041"], ""),
        ("1-800-FLOWERS", "US", ["+18003569377"], ""),
        ("8613800000041:12@s.whatsapp.net", None, ["+8613800000041"], ""),
        ("301/302", "CN", ["301"], ""),
        ("ext 301", "CN", ["301"], ""),
        ("555-0100", "US", ["5550100"], ""),
        ("8888 6666", "CN", ["88886666"], ""),
        ("5550100", "DE", ["5550100"], ""),
        ("+86 8888 6666", None, ["+8688886666"], ""),
        ("612345678", "FR", ["+33612345678"], ""),
    ],
)
def test_a_telephone_is_read_as_written(
    written: str, region: str | None, numbers: list[str], extension: str
) -> None:
    reading = read_phone(written, region)
    assert [point.value for point in reading.points] == numbers
    assert (reading.extension, reading.flags) == (extension, ())
    complete = {len(number) > 9 and number != "+8688886666" for number in numbers}
    assert {point.valid for point in reading.points} == complete


@pytest.mark.parametrize(
    ("forms", "region", "kept"),
    [
        (["+55 51 8123-4567", "+55 51 98123-4567", "(51) 8123-4567"], "BR", "+5551981234567"),
        (["+55 51 3123-4567", "51 3123-4567"], "BR", "+555131234567"),
        (["+52 1 55 1234 5678", "55 1234 5678", "044 55 1234 5678"], "MX", "+525512345678"),
        (["+54 9 11 2345-6789", "011 15 2345-6789", "11 2345-6789"], "AR", "+541123456789"),
    ],
)
def test_forms_of_one_number_are_one(forms: list[str], region: str, kept: str) -> None:
    assert {str(normalise_phone(form, region)) for form in forms} == {f"phone:{kept}"}


@pytest.mark.parametrize(
    ("written", "addresses"),
    [
        ("Ann Li <Ann@b.example>", ["ann@b.example"]),
        ('"Li, Ann" <ann@b.example>', ["ann@b.example"]),
        ("ann@b.example; bo@b.example", ["ann@b.example", "bo@b.example"]),
        ("ann@b.example、bo@b.example", ["ann@b.example", "bo@b.example"]),
        ("ann@b.example/bo@b.example", ["ann@b.example", "bo@b.example"]),
        ("ann@b.example bo@b.example", ["ann@b.example", "bo@b.example"]),
        ("ann@b.example\nbo@b.example", ["ann@b.example", "bo@b.example"]),
        ("'ann@b.example'", ["ann@b.example"]),
        ("\u200bann@b\u200b.example\ufeff", ["ann@b.example"]),
        ("mailto:ann@b.example?subject=Hi", ["ann@b.example"]),
        ("ann@b.example.", ["ann@b.example"]),
        ("ann@b.example, ann@b.example", ["ann@b.example"]),
        ("none@none.com, ann@b.example", ["ann@b.example"]),
    ],
)
def test_an_address_cell_is_read_as_a_header(written: str, addresses: list[str]) -> None:
    assert [point.value for point in read_email(written).points] == addresses


def test_further_contacts_come_after_the_first_of_each_kind() -> None:
    party = Party(email="a@b.example, c@b.example", phone="13800000061/13900000062", handle="ann")
    assert [str(point) for point in contact_points(party, "shop", "CN")] == [
        "email:a@b.example",
        "phone:+8613800000061",
        "handle:shop/ann",
        "email:c@b.example",
        "phone:+8613900000062",
    ]


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

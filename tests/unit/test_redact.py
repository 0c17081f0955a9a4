"""Redaction: personal numbers and addresses are masked by kind, other text is unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.processors.redact import redact_text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to anna.b+x@example.co.uk today", "write to <email> today"),
        ("我的邮箱是zhang@example.com，谢谢", "我的邮箱是<email>，谢谢"),
        ("call +1 (415) 555-0100 please", "call <phone> please"),
        ("请打13800000001联系我", "请打<phone>联系我"),
        ("电话：010-88886666。", "电话：<phone>。"),
        ("415-555-0100", "<phone>"),
        ("card 4111 1111 1111 1111 exp 12/30", "card <card> exp 12/30"),
        ("4111111111111111", "<card>"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN <iban>."),
        ("身份证 11010519491231002X", "身份证 <id>"),
        ("from 192.168.0.12 again", "from <ip> again"),
    ],
)
def test_personal_numbers_are_masked(text: str, masked: str) -> None:
    assert redact_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "order SO-20260801-0042 of 2026-08-01 10:30:00",
        "it costs 1,299.00 CNY or 10000 points",
        "订单号 202608010042 什么时候发货",
        "4111 1111 1111 1112",  # fails its checksum, is no card
        "version 1.2.3.999",
        "see chapter 12, pages 100-120",
        "1990-2026",
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert redact_text(text) == text


@given(st.text())
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@given(st.text(alphabet="0123456789+-(). x@", max_size=200))
def test_any_digits_are_accepted(text: str) -> None:
    assert isinstance(redact_text(text), str)

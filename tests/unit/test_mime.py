"""Parse raw mails: what mail programs write, and what real mails get wrong."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.mail.mime import MailAddress, NotAMailError, ParsedMail, ParseLimits, parse_mail
from schemas.records import QUALITY_FLAGS

HEADERS = (
    "From: Li Lei <lilei@example.cn>\nTo: support@shop.example\nSubject: Where is my order?\n"
    "Date: Mon, 04 Mar 2024 09:15:30 +0800\nMessage-ID: <1@example.cn>\n"
)


def mail(extra: str = "", body: str | bytes = "hello\n", headers: str = HEADERS) -> ParsedMail:
    return parse_mail(source(extra, body, headers))


def source(extra: str = "", body: str | bytes = "hello\n", headers: str = HEADERS) -> bytes:
    return (headers + extra + "\n").encode() + (body.encode() if isinstance(body, str) else body)


def multipart(kind: str, *parts: str, boundary: str = "=_b", end: bool = True) -> bytes:
    body = "".join(f"--{boundary}\n{part}\n" for part in parts) + (
        f"--{boundary}--\n" if end else ""
    )
    return source(
        f'MIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary="{boundary}"\n', body
    )


PLAIN = "Content-Type: text/plain; charset=utf-8\n\nplain words"
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>html <b>wo</b>rds</p>"
PICTURE = (
    "Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\nContent-ID:"
    " <pic1>\n\niVBORw0KGgo="
)


# --- a well-formed mail


def test_plain_mail_has_all_fields() -> None:
    read = mail(
        "In-Reply-To: <0@x>\nReferences: <r1@x>\n <0@x>\nCc: a@b.example\nList-Id: Our list"
        " <l.example>\n"
    )
    assert read.subject == "Where is my order?"
    assert read.from_ == (MailAddress("Li Lei", "lilei@example.cn"),)
    assert read.to == (MailAddress("", "support@shop.example"),)
    assert read.cc == (MailAddress("", "a@b.example"),)
    assert (read.message_id, read.in_reply_to, read.references) == (
        "1@example.cn",
        "0@x",
        ("r1@x", "0@x"),
    )
    assert (read.date, read.tz_offset_min) == (datetime(2024, 3, 4, 1, 15, 30, tzinfo=UTC), 480)
    assert (read.text, read.html, read.body_text) == ("hello", None, "hello")
    assert (read.list_id, read.is_auto, read.auto_kind, read.spam_flagged) == (
        "l.example",
        False,
        "",
        False,
    )
    assert read.flags == ()
    assert dict(read.headers)["References"] == "<r1@x> <0@x>"


def test_received_at_is_the_topmost_valid_date() -> None:
    read = mail(
        headers=(
            "Received: from a by b; no date\nReceived: from c by d;\n Mon, 4 Mar 2024 09:16:00"
            " +0800 (CST)\nReceived: from e by f; Mon, 4 Mar 2030 09:16:00 +0000\n"
        )
        + HEADERS
    )
    assert read.received_at == datetime(2024, 3, 4, 1, 16, tzinfo=UTC)


# --- Chinese in legacy encodings


@pytest.mark.parametrize(
    ("label", "codec"),
    [("gb2312", "gb18030"), ("gbk", "gbk"), ("big5", "big5"), ("utf-8", "utf-8")],
)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_chinese_in_subject_names_and_body(label: str, codec: str, encoding: str) -> None:
    subject, name, body = "回復：報價單", "王小明", "您好，請問什麼時候可以送到？\n謝謝！"
    if codec in ("gb18030", "gbk"):
        subject, name, body = "回复：报价单", "王小明", "您好，请问什么时候可以送到？\n谢谢！"
    word = base64.b64encode(subject.encode(codec)).decode()
    spelled = "".join(f"={byte:02X}" for byte in name.encode(codec))
    raw = body.encode(codec)
    coded = {
        "base64": base64.encodebytes(raw),
        "quoted-printable": binascii.b2a_qp(raw),
        "8bit": raw,
    }[encoding]
    read = mail(
        f"Content-Type: text/plain; charset={label}\nContent-Transfer-Encoding: {encoding}\n",
        coded,
        f"From: =?{label}?Q?{spelled}?= <w@example.cn>\nSubject: =?{label}?B?{word}?=\nDate: Mon, 4"
        " Mar 2024 09:15:30 +0800\nMessage-ID: <2@x>\n",
    )
    assert (read.subject, read.from_[0].name, read.text) == (subject, name, body)
    assert read.flags == ()


@pytest.mark.parametrize(
    ("label", "codec"),
    [("gb2312", "gb18030"), ("us-ascii", "gb18030"), ("iso-8859-1", "gb18030"), ("big5", "big5")],
)
def test_raw_eight_bit_headers_share_the_character_set_of_the_body(label: str, codec: str) -> None:
    subject, body = (
        ("關於合約", "您好，請問訂單什麼時候可以送到？")
        if codec == "big5"
        else ("关于合同", "您好，我的订单还没有收到。")
    )
    raw = b"From: a@b.example\nSubject: " + subject.encode(codec)
    raw += f"\nContent-Type: text/plain; charset={label}\n\n".encode() + body.encode(codec)
    read = parse_mail(raw)
    assert (read.subject, read.text) == (subject, body)


def test_encoded_words_split_inside_a_character_are_joined() -> None:
    raw = "关于订单的咨询".encode("gb2312")
    words = " ".join(
        f"=?gb2312?B?{base64.b64encode(raw[i : i + 5]).decode()}?=" for i in range(0, len(raw), 5)
    )
    assert mail(headers=f"From: a@b.c\nSubject: Re: {words}\n").subject == "Re: 关于订单的咨询"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c"),
        ("=?utf-8?q?a?= x =?iso-8859-1?q?=E9?=", "a x é"),
        ("=?UTF-8?B?5L2g5aW9?=\n =?UTF-8?B?77yM?=", "你好，"),
        ("=?utf-8*en?Q?caf=C3=A9?=", "café"),
        ("=?gb2312?B?xOO6ww", "你好"),  # cut before its end
        ("=?gb2312?B?xOO6ww?= =?gb2312?B?xOO6", "你好你\ufffd"),
        ("=?utf-8?Q?Hello World?=", "Hello World"),
        ("=?x-nobody?Q?abc?=", "abc"),
        ("=?utf-8?B?5L2g=5aW9?=", "你好"),
        ("plain =? not a word ?=", "plain =? not a word ?="),
        (
            "=?big5?Q?re:=A7=DA=AA=BE=B9=44=B0_=A8=D3?=",
            "re:我知道起來",
        ),  # "_" meant as itself, as a second byte
        ("=?utf-8?q?line=0Abreak?=", "line break"),
    ],
)
def test_encoded_words(written: str, shown: str) -> None:
    assert mail(headers=f"From: a@b.c\nSubject: {written}\n").subject == shown


# --- addresses


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a@b.example", [("", "a@b.example")]),
        ('"Doe, Jane" <j@x>, b@y', [("Doe, Jane", "j@x"), ("", "b@y")]),
        ("Doe, Jane <j@x>; Bob <b@y>", [("Doe, Jane", "j@x"), ("Bob", "b@y")]),
        ("j@x (Jane (J.) Doe)", [("Jane (J.) Doe", "j@x")]),
        ("Team: a@x, B <b@y>;", [("", "a@x"), ("B", "b@y")]),
        ("undisclosed-recipients:;", []),
        ("Support: Acme <a@x>", [("Support: Acme", "a@x")]),
        ('"=?utf-8?B?5byg5Lyf?=" <z@x>', [("张伟", "z@x")]),
        ("=?utf-8?Q?Doe,_Jane?= <j@x>", [("Doe, Jane", "j@x")]),
        ("<@relay,@b:j@x>", [("", "j@x")]),
        ("<<j@x>>", [("", "j@x")]),
        ("mailto:j@x", [("", "j@x")]),
        ('"j@x" <j@x>', [("", "j@x")]),
        ('Jane "JJ" Doe <j@x>', [("Jane JJ Doe", "j@x")]),
        ('Jane" Doe <j@x>, b@y', [("Jane Doe", "j@x"), ("", "b@y")]),
        ("Jane <j@x> Bob <b@y>", [("Jane", "j@x"), ("Bob", "b@y")]),
        ("a@x b@y", [("", "a@x"), ("", "b@y")]),
        ("a@x,,b@y,", [("", "a@x"), ("", "b@y")]),
        ("Jane Doe", [("Jane Doe", "")]),
        ("王小明 <w@例子.中国>", [("王小明", "w@例子.中国")]),
        ("", []),
        ("<>", []),
    ],
)
def test_addresses(written: str, read: list[tuple[str, str]]) -> None:
    assert mail(headers=f"Subject: x\nTo: {written}\n").to == tuple(
        MailAddress(*pair) for pair in read
    )


# --- dates


@pytest.mark.parametrize(
    ("written", "at", "offset"),
    [
        ("Mon, 04 Mar 2024 09:15:30 +0800 (CST)", datetime(2024, 3, 4, 1, 15, 30, tzinfo=UTC), 480),
        ("4 Mar 2024 09:15 GMT", datetime(2024, 3, 4, 9, 15, tzinfo=UTC), 0),
        ("Mon, 4 Mar 24 09:15:60 -0500", datetime(2024, 3, 4, 14, 15, 59, tzinfo=UTC), -300),
        ("Mon, 4 Mar 2024 09:15:30 -0000", datetime(2024, 3, 4, 9, 15, 30, tzinfo=UTC), None),
        ("2024-03-04T09:15:30+08:00", datetime(2024, 3, 4, 1, 15, 30, tzinfo=UTC), 480),
        ("2024/03/04 Mon 09:15:30 EST", datetime(2024, 3, 4, 14, 15, 30, tzinfo=UTC), -300),
        ("星期一, 4 三月 2024 09:15:30 +0800", datetime(2024, 3, 4, 1, 15, 30, tzinfo=UTC), 480),
        ("Mo, 4 Mär 2024 09:15:30 +0100", datetime(2024, 3, 4, 8, 15, 30, tzinfo=UTC), 60),
        (
            "Mon, 4 Mar 2024 09(noon) : 15 : 30 +0000",
            datetime(2024, 3, 4, 9, 15, 30, tzinfo=UTC),
            0,
        ),
        ("Mon, 4 Mar 2024 09:15:30 +9999", datetime(2024, 3, 4, 9, 15, 30, tzinfo=UTC), None),
    ],
)
def test_dates(written: str, at: datetime, offset: int | None) -> None:
    read = mail(headers=f"From: a@b.c\nDate: {written}\n")
    assert (read.date, read.tz_offset_min, read.date_raw) == (at, offset, written)


@pytest.mark.parametrize(
    "written",
    ["yesterday", "Mon, 30 Feb 2024 09:15:30 +0000", "<HR>", "32 Mar 2024 99:99:99 +0000"],
)
def test_invalid_date_is_flagged(written: str) -> None:
    read = mail(headers=f"From: a@b.c\nMessage-ID: <1@x>\nDate: {written}\n")
    assert read.date is None
    assert read.flags == ("date_invalid",)


# --- body selection


def test_alternative_parts_form_one_segment() -> None:
    read = parse_mail(multipart("alternative", PLAIN, HTML))
    assert (read.text, read.html, read.body_text) == (
        "plain words",
        "<p>html <b>wo</b>rds</p>",
        "plain words",
    )


def test_html_alone_is_rendered() -> None:
    assert parse_mail(multipart("alternative", HTML)).body_text == "html words"


@pytest.mark.parametrize(
    "stub",
    [
        "",
        "   ",
        "This e-mail is HTML.",
        "您的邮件客户端不支持HTML格式",
        "Please view this email in a browser",
    ],
)
def test_html_replaces_a_plain_part_that_is_a_stub(stub: str) -> None:
    assert (
        parse_mail(
            multipart("alternative", f"Content-Type: text/plain; charset=utf-8\n\n{stub}", HTML)
        ).body_text
        == "html words"
    )


def test_consecutive_text_parts_are_joined_in_order() -> None:
    read = parse_mail(multipart("mixed", PLAIN, PICTURE, "\nfooter of the list"))
    assert read.text == "plain words\nfooter of the list"
    assert [(a.name, a.mime, a.bytes, a.content_id) for a in read.attachments] == [
        ("a.png", "image/png", 8, "pic1")
    ]


def test_plain_and_html_that_are_not_alternatives_are_both_read() -> None:
    assert parse_mail(multipart("mixed", PLAIN, HTML)).body_text == "plain words\nhtml words"


def test_named_text_files_are_attachments_but_a_named_first_text_is_the_body() -> None:
    read = parse_mail(
        multipart(
            "mixed",
            PLAIN.replace("utf-8", "utf-8; name=body.txt"),
            "Content-Type: text/plain; name=log.txt\n\nlog",
        )
    )
    assert (read.text, [a.name for a in read.attachments]) == ("plain words", ["log.txt"])


def test_text_marked_as_attachment_is_used_if_there_is_no_other() -> None:
    read = parse_mail(
        multipart("mixed", "Content-Disposition: attachment; filename=a.txt\n\nall I wrote")
    )
    assert (read.text, read.flags) == ("all I wrote", ("text_rescued",))


@pytest.mark.parametrize("kind", ["message/rfc822", "message/rfc822; x=1"])
def test_embedded_mail_provides_the_text_if_there_is_no_other(kind: str) -> None:
    inner = HEADERS + "\ninner words"
    assert mail(f"Content-Type: {kind}\n", inner).text == "inner words"
    assert parse_mail(multipart("mixed", f"Content-Type: {kind}\n\n{inner}")).text == "inner words"
    beside = parse_mail(multipart("mixed", PLAIN, f"Content-Type: {kind}\n\n{inner}"))
    assert (beside.text, [a.mime for a in beside.attachments]) == (
        "plain words",
        ["message/rfc822"],
    )


def test_mails_of_a_digest_are_body_text() -> None:
    assert (
        parse_mail(multipart("digest", f"\n{HEADERS}\none", f"\n{HEADERS}\ntwo")).text == "one\ntwo"
    )


@pytest.mark.parametrize("declared", ["", "; boundary=other", '; boundary=""'])
def test_undeclared_boundary_is_detected(declared: str) -> None:
    body = f"--real\n{PLAIN}\n--real\n{PICTURE}\n--real--\n"
    read = mail(f"Content-Type: multipart/mixed{declared}\n", body)
    assert (read.text, len(read.attachments), read.flags) == (
        "plain words",
        1,
        ("boundary_missing",),
    )


def test_truncated_mail_keeps_its_parts() -> None:
    read = parse_mail(multipart("mixed", PLAIN, PICTURE, end=False))
    assert (read.text, len(read.attachments), read.flags) == ("plain words", 1, ("mime_truncated",))


def test_longer_boundary_with_same_prefix_is_ignored() -> None:
    inner = (
        "Content-Type: multipart/alternative;"
        f' boundary="=_b_alt"\n\n--=_b_alt\n{PLAIN}\n--=_b_alt--\n'
    )
    assert parse_mail(multipart("mixed", inner, PICTURE)).text == "plain words"


def test_text_outside_parts_is_used_if_parts_have_none() -> None:
    body = f"Real words before the parts.\n--b\n{PICTURE}\n--b--\n"
    assert (
        mail("Content-Type: multipart/mixed; boundary=b\n", body).text
        == "Real words before the parts."
    )


def test_text_with_unknown_media_type_is_used() -> None:
    read = mail("Content-Type: application/x-unknown\n", "Dear support, 你好\n")
    assert (read.text, read.flags) == ("Dear support, 你好", ("text_rescued",))


@pytest.mark.parametrize(
    "kind",
    [
        "text",
        "text/plain charset=utf-8",
        "TEXT/PLAIN; charset",
        ";charset=utf-8",
        "text/x-notes",
        "",
    ],
)
def test_broken_content_types_are_plain_text(kind: str) -> None:
    assert mail(f"Content-Type: {kind}\n", "你好 words").text == "你好 words"


def test_html_labelled_as_plain_is_rendered() -> None:
    assert (
        mail("Content-Type: text/plain\n", "<html><body><p>words</p></body></html>").body_text
        == "words"
    )


def test_charset_declared_in_html_is_used() -> None:
    page = (
        '<html><head><meta http-equiv="Content-Type" content="text/html;'
        ' charset=gb2312"></head><p>朱镕基</p>'
    )
    assert mail("Content-Type: text/html\n", page.encode("gb18030")).body_text == "朱镕基"


# --- transfer encodings


@pytest.mark.parametrize(
    ("encoding", "coded", "text"),
    [
        ("base64", b"5L2g5aW9IHdvcmxk", "你好 world"),
        ("BASE64 ", b"5L2g5aW9IHdv\ncmxk\n", "你好 world"),
        ("base64", b"5L2g\n5a!W9\nIHdv\ncmxk\n", "你好 world"),
        ("base64", b"5L2g5aW9IHdvcmxkIQ", "你好 world!"),
        (
            "base64",
            b"5L2g5aW9\n\n_____\nlist footer, unsubscribe: here\n",
            "你好\n\n_____\nlist footer, unsubscribe: here",
        ),
        ("base64", b"aGVs\nbG8=\nd29ybGQ=\n", "helloworld"),
        ("base64", b"This is not base64 at all, is it?", "This is not base64 at all, is it?"),
        ("quoted-printable", b"=E4=BD=A0=E5=\n=A5=BD soft =\r\nbreak", "你好 soft break"),
        (
            "quoted-printable",
            b"broken soft = \nbreak=\r\r\n and=\rgo on =XY =",
            "broken soft break andgo on =XY",
        ),
        ("8bit; x", "你好".encode(), "你好"),
        ("spam", b"words", "words"),
        ("x-uuencode", b"begin 644 a.txt\n+:&5L;&\\@=V]R;&0 \n`\nend\n", "hello world"),
        (
            "",
            base64.encodebytes(b"words that nobody said were coded " * 4),
            ("words that nobody said were coded " * 4).strip(),
        ),
    ],
)
def test_transfer_encodings(encoding: str, coded: bytes, text: str) -> None:
    assert mail(body=text).text == text


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_of_all_systems(end: bytes) -> None:
    read = parse_mail(source("Content-Type: text/plain\n", "one\ntwo\n").replace(b"\n", end))
    assert (read.text, read.subject, read.flags) == ("one\ntwo", "Where is my order?", ())


def test_nul_bytes_and_utf_16_bodies() -> None:
    assert mail(body=b"he\0llo").text == "hello"
    assert (
        mail(
            "Content-Type: text/plain; charset=utf-16\n", "订单没有收到，谢谢".encode("utf_16")
        ).text
        == "订单没有收到，谢谢"
    )
    assert (
        mail(body="whole mail in two bytes").text
        == parse_mail(source(body="whole mail in two bytes").decode().encode("utf_16")).text
    )


@given(st.binary(max_size=400), st.sampled_from(["base64", "quoted-printable", "8bit"]))
@example(b"\n", "8bit")
@example(b"--=_b\n", "base64")
def test_attachments_are_hashed_by_their_decoded_bytes(content: bytes, encoding: str) -> None:
    if encoding == "8bit" and (b"--=_b" in content or content[-1:] in (b"\r", b"\n")):
        encoding = "base64"
    coded = {
        "base64": base64.encodebytes(content),
        "quoted-printable": binascii.b2a_qp(content, istext=False),
        "8bit": content,
    }[encoding]
    head = (
        "Content-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding:"
        f" {encoding}\n\n".encode()
    )
    raw = source(
        'Content-Type: multipart/mixed; boundary="=_b"\n',
        b"--=_b\n\nwords\n--=_b\n" + head + coded + b"\n--=_b--\n",
    )
    (attachment,) = parse_mail(raw).attachments
    assert (attachment.bytes, attachment.sha256) == (
        len(content),
        hashlib.sha256(content).hexdigest(),
    )


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("filename=a.pdf", "a.pdf"),
        ('filename="a b;c.pdf"', "a b;c.pdf"),
        ("filename=my file.pdf", "my file.pdf"),
        ('filename="=?gb2312?B?sai827WlLnBkZg==?="', "报价单.pdf"),
        ("filename*=utf-8''%E6%8A%A5%E4%BB%B7%E5%8D%95.pdf", "报价单.pdf"),
        (
            "filename*0*=utf-8''%E6%8A%A5%E4%BB;\n filename*1*=%B7%E5%8D%95;\n filename*2=.pdf",
            "报价单.pdf",
        ),
        ("filename=x.pdf; filename*=utf-8''y.pdf", "y.pdf"),
        ("filename=报价单.pdf", "报价单.pdf"),
        ('filename="a\\"b.pdf"', 'a"b.pdf'),
    ],
)
def test_file_names(parameters: str, name: str) -> None:
    part = f"Content-Type: application/pdf\nContent-Disposition: attachment; {parameters}\n\nx"
    assert [a.name for a in parse_mail(multipart("mixed", PLAIN, part)).attachments] == [name]


# --- malformed headers


def test_a_missing_blank_line_does_not_lose_the_body() -> None:
    read = parse_mail(HEADERS.encode() + b"Dear support,\nwhere is it?\n")
    assert (read.text, read.subject) == ("Dear support,\nwhere is it?", "Where is my order?")
    assert "header_malformed" in read.flags


def test_header_continuation_without_indent_is_kept() -> None:
    read = parse_mail(
        b"From: a@b.c\nSubject: a long\nsubject line\nDate: Mon, 4 Mar 2024 09:15:30 +0800\n\nbody"
    )
    assert (read.subject, read.text, read.date is None) == ("a long subject line", "body", False)


@pytest.mark.parametrize(
    "before",
    [
        "From li@x Mon Mar  4 09:15:30 2024\n",
        ">From li@x Mon Mar  4 09:15:30 2024\n",
        "\n\n \n",
        "\ufeff",
        "* 12 FETCH (BODY[]\n",
        "X-Export: 1\n\n",
    ],
)
def test_preamble_before_the_header_is_skipped(before: str) -> None:
    read = parse_mail(before.encode() + source())
    assert (read.subject, read.text) == ("Where is my order?", "hello")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  \n\n",
        b"just a letter\nwith lines\n",
        b"<html><p>To: you</p>",
        b'{"from": "a@b.c"}',
        b"\0\1\2" * 99,
        b"key: value\n\nbody",
        b"From nobody\n",
    ],
)
def test_bytes_without_a_header_are_rejected(raw: bytes) -> None:
    with pytest.raises(NotAMailError) as caught:
        parse_mail(raw)
    assert caught.value.detail


@pytest.mark.parametrize(
    ("headers", "flags"),
    [
        ("Subject: x\n", ("date_missing", "from_missing", "message_id_missing")),
        (
            "From: nobody\nDate: Mon, 4 Mar 2024 09:15:30\nMessage-ID: x@y\n",
            ("date_zone_missing", "from_missing"),
        ),
        (HEADERS + "Content-Type: text/plain; charset=x-nobody\n", ("charset_unknown",)),
        (HEADERS + "Content-Transfer-Encoding: x-nobody\n", ("encoding_invalid",)),
    ],
)
def test_quality_flags(headers: str, flags: tuple[str, ...]) -> None:
    assert mail(headers=headers).flags == flags


def test_charset_flags() -> None:
    repaired = mail("Content-Type: text/plain; charset=us-ascii\n", "订单".encode())
    assert (repaired.flags, repaired.charset_declared, repaired.charset_used) == (
        ("charset_repaired",),
        "us-ascii",
        "utf-8",
    )
    replaced = mail("Content-Type: text/plain; charset=utf-8\n", "订单还没有收到".encode()[:-1])
    assert replaced.flags == ("charset_replaced",)


def test_spam_flag() -> None:
    assert mail("X-Spam-Flag: YES\n").spam_flagged
    assert mail("X-Spam-Status: Yes, score=9\n").spam_flagged
    assert not mail("X-Spam-Flag: NO\nX-Spam-Status: No, score=-1\n").spam_flagged


# --- automatic mails


@pytest.mark.parametrize(
    ("extra", "subject", "body", "kind"),
    [
        ("Auto-Submitted: auto-replied\n", "Out of office: x", "back on Monday", "ooo"),
        ("Auto-Submitted: auto-replied (vacation)\n", "Re: x", "I am on vacation", "ooo"),
        ("", "自动回复：订单", "我正在休假，回来后回复您。", "ooo"),
        ("", "Automatic reply: order", "away", "ooo"),
        (
            "X-Autoreply: yes\n",
            "Re: order",
            "We have received your message and will answer soon.",
            "ack",
        ),
        ("Auto-Submitted: auto-generated\n", "[Ticket#123] received", "thanks", "ack"),
        ("Auto-Submitted: auto-generated\n", "Your weekly report", "numbers", "bot"),
        ("X-Auto-Response-Suppress: All\n", "Re: lamp", "Is Friday fine?", ""),
        ("Auto-Submitted: no\nX-Auto-Generated: yes\n", "Automatic reply: x", "I asked", ""),
        ("Precedence: list\nList-Post: <mailto:l@x>\n", "Lamp", "It is broken.", ""),
        ("Precedence: list\nList-Unsubscribe: <mailto:u@x>\n", "Sale", "buy", "bulk"),
        ("", "Automatic replies do not work", "how do I switch them on?", ""),
        ("", "Out of office hours: can I call?", "x", ""),
        ("", "Automatic reply", "how do I switch it on?", ""),
        ("", "自动回复怎么设置", "请问", ""),
        ("", "Out of Office AutoReply: Re: lamp", "away", "ooo"),
        ("", "Abwesenheitsnotiz: Lampe", "bis Montag", "ooo"),
        ("Return-Path: <>\nAuto-Submitted: no\n", "Undeliverable: x", "lost", "bounce"),
        ("X-Loop: yes\n", "x", "y", "bot"),
        ("Precedence: bulk\n", "Sale", "buy", "bulk"),
        ("Precedence: auto_reply\n", "Re: x", "abwesend bis Montag", "ooo"),
        ("List-Unsubscribe: <mailto:u@x>\n", "Sale", "buy", "bulk"),
        ("List-Unsubscribe: <mailto:u@x>\nList-Post: <mailto:l@x>\n", "Re: plan", "fine", ""),
        ("Auto-Submitted: no\n", "x", "y", ""),
        ("X-Auto-Response-Suppress: OOF, AutoReply\n", "x", "y", ""),
        ("", "Vacation rentals: question", "is it free in May?", ""),
        ("", "Re: Out of office", "welcome back!", ""),
        (
            "Return-Path: <>\n",
            "Undelivered Mail Returned to Sender",
            "could not be delivered",
            "bounce",
        ),
        ("X-Failed-Recipients: a@b.c\n", "x", "y", "bounce"),
    ],
)
def test_auto_kind(extra: str, subject: str, body: str, kind: str) -> None:
    read = mail(extra, body, HEADERS.replace("Where is my order?", subject))
    assert (read.auto_kind, read.is_auto) == (kind, kind != "")


DELIVERY_STATUS = (
    "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
    "Final-Recipient: rfc822; a@b.c\nAction: failed\nStatus: 5.1.1"
)


@pytest.mark.parametrize(
    "copy",
    [
        "Content-Type: message/rfc822\n\nFrom: us@x\nMessage-ID: <lost@x>\n\nhi",
        "Content-Type: text/rfc822-headers\n\nmessage-id:\n <lost@x>\nFrom: us@x",
    ],
)
def test_bounced_message_id_from_delivery_report(copy: str) -> None:
    raw = multipart(
        "report; report-type=delivery-status",
        "\nYour message could not be delivered.",
        DELIVERY_STATUS,
        copy,
    )
    read = parse_mail(raw)
    assert (read.auto_kind, read.bounced_message_id, read.text) == (
        "bounce",
        "lost@x",
        "Your message could not be delivered.",
    )


def test_a_bounce_is_in_the_thread_of_the_mail_that_failed() -> None:
    copy = (
        "Content-Type: text/rfc822-headers\n\nReferences: <root@y>\nIn-Reply-To: <ask@y>\n"
        "Message-ID: =?utf-8?q?=3Clost=40x=3E?=\n"
    )
    read = parse_mail(
        multipart("report; report-type=delivery-status", "\nNot delivered.", DELIVERY_STATUS, copy)
    )
    assert (read.bounced_references, read.bounced_message_id) == (("root@y", "ask@y"), "lost@x")


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("=?utf-8?q?=3Ca=2Eb?=\n =?utf-8?q?=40x=2Ey=3E?=", ("a.b@x.y",)),
        ("=?us-ascii?Q?=3Ca=40x.y=3E?=", ("a@x.y",)),
        ("<long-\n id@x.y>", ("long-id@x.y",)),
        ("(was: <old@x>) <new@x> (of Monday)", ("new@x",)),
        ("Your mail of Monday <a@x>", ("a@x",)),
        ("a@x b@x", ("a@x", "b@x")),
        ("<a(b)@x>", ("a(b)@x",)),
        ("(nothing)", ()),
    ],
)
def test_ids_are_decoded_unfolded_and_without_comments(written: str, ids: tuple[str, ...]) -> None:
    read = mail(f"References: {written}\nIn-Reply-To: {written}\n")
    assert (read.references, read.in_reply_to) == (ids, next(iter(ids), ""))


def test_bounced_message_id_from_plain_notice() -> None:
    body = (
        "Sorry it didn't work out.\n--- Below this line is a copy of the message.\n\nFrom:"
        " us@x\nMessage-Id: <lost@x>\n\nhi\n"
    )
    read = mail(
        body=body,
        headers=HEADERS.replace("lilei@", "MAILER-DAEMON@").replace(
            "Where is my order?", "failure notice"
        ),
    )
    assert (read.auto_kind, read.bounced_message_id) == ("bounce", "lost@x")


# --- limits


def test_limits_cut_and_set_flags() -> None:
    parts = multipart("mixed", *(f"\npart {i}" for i in range(30)))
    nested = (
        HEADERS
        + "".join(f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n" for i in range(40))
        + "\nhello\n"
    )
    assert "part_limited" in parse_mail(parts, ParseLimits(parts=10)).flags
    assert "depth_limited" in parse_mail(nested.encode()).flags
    assert "header_limited" in mail("X-A: b\n" * 2_000).flags
    assert "header_limited" in mail(f"X-A: {'b' * 300_000}\n").flags
    assert mail(body="words\n" * 100).flags == ()
    assert parse_mail(source(body="words\n" * 100), ParseLimits(text_bytes=60)).text == "\n".join(
        ["words"] * 10
    )
    assert (
        "size_limited" in parse_mail(source(body="x" * 1_000), ParseLimits(total_bytes=400)).flags
    )
    assert len(mail(headers="Subject: x\nTo: " + "a@b.c, " * 5_000 + "\n").to) == 1
    assert (
        len(
            mail(
                headers="Subject: x\nTo: " + ", ".join(f"a{i}@b.c" for i in range(5_000)) + "\n"
            ).to
        )
        == 2_000
    )


# Each grows by a factor of 100 between its two sizes; an algorithm of quadratic cost would not
# finish.
BOMBS: dict[str, Callable[[int], bytes]] = {
    "levels": lambda n: (
        HEADERS.encode()
        + b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i)
            for i in range(n // 10)
        )
    ),
    "mails in mails": lambda n: HEADERS.encode() + b"Content-Type: message/rfc822\n\n" * n,
    "headers": lambda n: b"".join(b"X-%d: y\n" % i for i in range(n)) + b"\nx",
    "parts": lambda n: source("Content-Type: multipart/mixed; boundary=b\n", b"--b\n\nx\n" * n),
    "false boundaries": lambda n: source(
        "Content-Type: multipart/mixed; boundary=b\n", b"--bx\n" * n * 5
    ),
    "open encoded words": lambda n: b"Subject: " + b"=?utf-8?q?a" * n + b"\n\nx",
    "open comments": lambda n: b"From: " + b"(" * n * 2 + b"\n\nx",
    "open quotes": lambda n: b'From: "' + b'\\"' * n + b"\n\nx",
    "open brackets": lambda n: b"From: " + b"<" * n * 2 + b"\n\nx",
    "blanks in parameters": lambda n: (
        b"Subject: x\nContent-Type: text/plain;" + b" " * n * 2 + b"\n\nx"
    ),
    "one line": lambda n: source(body=b"x" * n * 100),
    "files in text": lambda n: source(body=b"begin 644 a\n#86)C\n" * n),
    "bad base64": lambda n: source("Content-Transfer-Encoding: base64\n", b"YW!J\n" * n),
    "padding": lambda n: source("Content-Transfer-Encoding: base64\n", b"YQ==" * n),
    "soft breaks": lambda n: source("Content-Transfer-Encoding: quoted-printable\n", b"= " * n),
    "stray header lines": lambda n: HEADERS.encode() + b"stray\nX-A: b\n" * n,
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_mails_take_linear_time(name: str) -> None:
    for size in (1_000, 100_000):
        assert parse_mail(BOMBS[name](size)).body_text is not None


# --- invariants

WHOLE = [
    source("Content-Type: text/plain; charset=gb2312\n", "您好，请查收。".encode("gb18030")),
    multipart("mixed", PLAIN, HTML, PICTURE),
    multipart("alternative", PLAIN, HTML),
    multipart(
        "report; report-type=delivery-status",
        "\nfailed",
        DELIVERY_STATUS,
        "Content-Type: message/rfc822\n\nMessage-ID: <l@x>\n\nhi",
    ),
    source(body="see\nbegin 644 n\n+:&5L;&\\@=V]R;&0 \n`\nend\n"),
    (
        b'Subject: =?gb2312?B?xOO6ww==?= =?utf-8?q?=E4=BD?=\nFrom: "a, b" <c@d> (e)\nContent-Type:'
        b" text/html\n\n<div class=gmail_quote>x"
    ),
]


def check_invariants(raw: bytes) -> None:
    try:
        read = parse_mail(raw)
    except NotAMailError:
        return
    shown = [
        read.subject,
        read.text,
        read.html or "",
        read.body_text,
        read.message_id,
        read.date_raw,
        read.list_id,
    ]
    shown += [part for pair in read.headers for part in pair] + [a.name for a in read.attachments]
    shown += [
        part
        for address in (*read.from_, *read.to, *read.cc)
        for part in (address.name, address.email)
    ]
    "".join(shown).encode("utf-8")  # no surrogate survives
    assert parse_mail(raw) == read
    assert set(read.flags) <= set(QUALITY_FLAGS)
    assert read.date is None or read.date.tzinfo is not None
    assert read.auto_kind in ("", "ooo", "bounce", "bot", "bulk", "ack")
    assert all(len(a.sha256) == 64 and a.bytes >= 0 for a in read.attachments)


@given(st.binary(max_size=400))
@example(b"From: a\r")
@example(b"Subject: \x1b$B\xff\n\n\xff")
def test_any_bytes_are_parsed_or_rejected(raw: bytes) -> None:
    check_invariants(raw)
    check_invariants(b"Subject: x\n" + raw)


@given(st.sampled_from(WHOLE), st.data())
def test_damaged_mails_are_parsed_or_rejected(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check_invariants(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@given(
    st.lists(
        st.sampled_from(
            [
                "From",
                "To",
                "Content-Type",
                "Date",
                "X-A",
                ":",
                "\n",
                " ",
                '"',
                "<",
                ">",
                "@",
                "=?",
                "?=",
                "multipart/mixed; boundary=a",
                "--a",
                "\n\n",
                "message/rfc822",
            ]
        ),
        max_size=60,
    )
)
def test_mail_fragments_in_any_order(pieces: list[str]) -> None:
    check_invariants("".join(["Subject: x\n", *pieces]).encode())


# --- real mails


@pytest.mark.data
def test_real_broken_mails_have_text(shared_data: Path) -> None:
    folder = shared_data / "email_raw"
    files = sorted(folder.glob("mikel_mail/*/*.eml")) + sorted(
        folder.glob("mime4j_mimetools/*.msg")
    )
    files += sorted(folder.glob("espocrm_mail/*.eml"))
    assert len(files) > 140
    for file in files:
        check_invariants(file.read_bytes())
        parse_mail(file.read_bytes())


@pytest.mark.data
def test_real_bounces_are_detected(shared_data: Path) -> None:
    files = sorted((shared_data / "email_raw" / "espocrm_mail").glob("bounced_*.eml"))
    assert (
        [parse_mail(file.read_bytes()).auto_kind for file in files] == ["bounce"] * len(files) != []
    )

"""Decode bytes: declared charsets, detected ones, and mojibake."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.mail.charset import DecodedText, decode_text, lookup_charset

SIMPLIFIED = (
    "您好，我的订单还没有收到，请帮忙查一下物流。",
    "价格–咨询：这款产品多少钱？",
    "报价单",
    "张伟",
    "翻译李淼",
    "退款申请（第2次）",
    "发票抬头：北京某某科技有限公司",
    "很快，好吃，味道足，量大",
)
TRADITIONAL = ("您好，請問訂單什麼時候可以送到？", "關於合約", "報價單", "發票已經收到，謝謝！")
JAPANESE = (
    "お世話になっております。見積書を送付いたします。",
    "ご注文の確認",
    "納期について教えてください。",
)
KOREAN = (
    "안녕하세요. 주문한 상품이 아직 도착하지 않았습니다.",
    "견적서 요청드립니다",
    "회의 일정 변경",
)
OTHERS = (
    ("cp1252", "Größe passt nicht, à bientôt à l’été"),
    ("cp1252", "¿Cuándo llegará mi pedido? Todavía no he recibido nada, señor Muñoz."),
    ("cp1250", "Dzień dobry, proszę o fakturę. Paczka nie dotarła, a płatność została pobrana."),
    ("iso8859_2", "Dzień dobry, proszę o fakturę. Paczka nie dotarła, a płatność została pobrana."),
    (
        "cp1254",
        "Siparişim hâlâ ulaşmadı, lütfen en kısa sürede dönüş yapın. Teşekkürler, Ayşe Yılmaz",
    ),
    ("koi8_r", "Здравствуйте, я до сих пор не получил заказ. Проверьте, пожалуйста."),
    ("cp1251", "Здравствуйте, я до сих пор не получил заказ. Проверьте, пожалуйста."),
    ("cp1253", "Καλημέρα σας, δεν έχω λάβει ακόμα την παραγγελία μου. Ευχαριστώ"),
    ("cp1255", "שלום, עדיין לא קיבלתי את ההזמנה שלי. אנא בדקו"),
    ("cp1256", "مرحبا، لم أستلم طلبي حتى الآن. يرجى التحقق من الشحنة وشكرا"),
    ("cp874", "สวัสดีครับ ผมยังไม่ได้รับสินค้าที่สั่งซื้อ กรุณาตรวจสอบให้ด้วย"),
)
UNDECLARED = (
    [("gb18030", text) for text in SIMPLIFIED]
    + [("big5", text) for text in TRADITIONAL]
    + [(codec, text) for codec in ("cp932", "euc_jp", "iso2022_jp") for text in JAPANESE]
    + [("cp949", text) for text in KOREAN]
    + [("iso2022_kr", KOREAN[0]), *OTHERS]
)


@pytest.mark.parametrize(("codec", "text"), UNDECLARED)
@pytest.mark.parametrize("label", [None, "us-ascii", "x-unknown"])
def test_charset_is_detected_without_a_correct_label(
    codec: str, text: str, label: str | None
) -> None:
    assert decode_text(text.encode(codec), label).text == text


@pytest.mark.parametrize("codec", ["gb18030", "utf-8"])
@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "us-ascii"])
@pytest.mark.parametrize("text", SIMPLIFIED)
def test_chinese_with_a_western_label_is_detected(codec: str, label: str, text: str) -> None:
    assert decode_text(text.encode(codec), label) == DecodedText(text, codec, True, 0)


@pytest.mark.parametrize(
    ("label", "codec", "name", "text"),
    [
        ("gb2312", "gb18030", "gb18030", "价格–咨询"),
        ("x-gbk", "gb18030", "gb18030", "朱镕基"),
        ("GB2312_CHARSET", "gb18030", "gb18030", "订单"),
        ("big5", "big5hkscs", "big5", "你喺邊度"),
        ("ks_c_5601-1987", "cp949", "euc-kr", "똠방각하"),
        ("iso-8859-1", "cp1252", "windows-1252", "“quoted” – €5"),
        ("latin1", "cp1252", "windows-1252", "naïve café"),
        ("iso-8859-9", "cp1254", "windows-1254", "Yılmaz Şahin"),
        ("tis-620", "cp874", "windows-874", "สวัสดี"),
        ("shift_jis", "cp932", "shift_jis", "①髙橋㈱"),
        ("unicode-1-1-utf-7", "utf_7", "utf-7", "价格 & 咨询"),
        ("hz-gb-2312", "hz", "hz-gb-2312", "订单 ok"),
        ("'utf8'; format=flowed", "utf_8", "utf-8", "订单"),
        ("utf-16le", "utf_16_le", "utf-16le", "订单还没有收到"),
    ],
)
def test_labels_mean_the_widest_charset(label: str, codec: str, name: str, text: str) -> None:
    assert decode_text(text.encode(codec), label) == DecodedText(text, name, False, 0)


@pytest.mark.parametrize(("label", "codec"), [("gb2312", "gbk"), ("euc-kr", "cp949")])
@pytest.mark.parametrize(
    "text",
    [
        "カバンの注文です。",
        "カタログをください。",
        "返品したいのですが、どうすればいいですか。",
    ],
)
def test_japanese_in_the_charset_of_another_country(label: str, codec: str, text: str) -> None:
    decoded = decode_text(text.encode(codec), label)
    assert (decoded.text, decoded.replaced) == (text, 0)


@pytest.mark.parametrize("text", ["返品したいのですが。", "注文した商品がまだ届きません。"])
def test_euc_jp_under_a_chinese_label_is_still_detected(text: str) -> None:
    assert decode_text(text.encode("euc_jp"), "gb2312").text == text


def test_iso_2022_jp_with_windows_symbols() -> None:
    row_13 = b"\x1b$B-!\x1b(B 1"  # NEC's circled 1, which the standard set lacks
    assert decode_text(row_13, "iso-2022-jp").text == "① 1"


def test_euc_jp_with_windows_symbols() -> None:
    assert (
        decode_text(
            "注文は".encode("euc_jp") + b"\xad\xa1" + "です".encode("euc_jp"), "euc-jp"
        ).text
        == "注文は①です"
    )


@pytest.mark.parametrize(
    "label",
    ["utf-7", "iso-2022-jp", "hz-gb-2312", "utf-16", "utf-32", "no-such-set", "rot13", "cp500"],
)
def test_ascii_is_unchanged_under_any_label(label: str) -> None:
    text = "Price 3+4=7, see C:\\temp & {a} ~b~"
    assert decode_text(text.encode(), label).text == text


@pytest.mark.parametrize("text", ["订单还没有收到", "naïve café, Zürich", "ok"])
@pytest.mark.parametrize("codec", ["utf_8_sig", "utf_16", "utf_32"])
def test_byte_order_mark_overrides_label_and_is_removed(codec: str, text: str) -> None:
    assert decode_text(text.encode(codec), "iso-8859-1").text == text


def test_utf_16_without_label_or_signature() -> None:
    assert decode_text("Dear customer".encode("utf_16_le"), None) == DecodedText(
        "Dear customer", "utf-16le", False, 0
    )


@pytest.mark.parametrize(
    ("raw", "label", "text"),
    [
        ("订单收到".encode()[:-1], "utf-8", "订单收\ufffd"),
        ("订单收到".encode("gb18030")[:-1], "gb2312", "订单收\ufffd"),
        ("订单收到".encode("gb18030")[:-1], None, "订单收\ufffd"),
        ("訂單收到".encode("big5")[:-1], "big5", "訂單收\ufffd"),
    ],
)
def test_truncated_last_character_becomes_one_replacement(
    raw: bytes, label: str | None, text: str
) -> None:
    decoded = decode_text(raw, label)
    assert (decoded.text, decoded.replaced) == (text, 1)


def test_bad_byte_becomes_one_replacement() -> None:
    raw = "订单还没有收到，".encode() * 3 + b"\xff" + "请帮忙查一下。".encode()
    decoded = decode_text(raw, "utf-8")
    assert (decoded.text, decoded.replaced) == (
        "订单还没有收到，" * 3 + "\ufffd" + "请帮忙查一下。",
        1,
    )


def test_lines_in_different_charsets() -> None:
    raw = (
        "订单还没有收到。\n".encode() * 3
        + "请查一下物流。\n".encode("gb18030")
        + "Grüße aus Köln\n".encode("latin-1")
    )
    decoded = decode_text(raw, "utf-8")
    assert decoded == DecodedText(
        "订单还没有收到。\n" * 3 + "请查一下物流。\nGrüße aus Köln\n", "utf-8", True, 0
    )


def test_cesu_8_is_decoded() -> None:
    raw = (
        "谢谢".encode()
        + "\U0001f600".encode("utf_16_be").decode("utf_16_be").encode()
        + b"\xed\xa0\xbd\xed\xb8\x80"
    )
    assert decode_text(raw, "utf-8").text == "谢谢\U0001f600\U0001f600"


# --- mojibake

BROKEN_BEFORE = [
    *((text.encode().decode("latin_1"), text) for text in SIMPLIFIED),
    *(
        (text.encode("gb18030").decode("latin_1"), text)
        for text in SIMPLIFIED[:1] + SIMPLIFIED[3:4]
    ),
    ("您好，请问什么时候发货？".encode().decode("gb18030"), "您好，请问什么时候发货？"),
    ("CafÃ© at 5â€™oclock", "Café at 5’oclock"),
    ("First line\nGrÃ¼ÃŸe\n你好", "First line\nGrüße\n你好"),
]


@pytest.mark.parametrize(("broken", "text"), BROKEN_BEFORE)
def test_mojibake_is_undone(broken: str, text: str) -> None:
    decoded = decode_text(broken.encode(), "utf-8")
    assert (decoded.text, decoded.repaired) == (text, True)


@pytest.mark.parametrize(
    "text",
    [
        *SIMPLIFIED,
        *TRADITIONAL,
        *JAPANESE,
        *KOREAN,
        *(text for _, text in OTHERS),
        "（全角）ＡＢＣ！～“引号”…——",
        "¿Qué? Ça va, Ångström, ÀÉÎ",
        "😀👍🏽",
    ],
)
def test_correct_text_is_unchanged(text: str) -> None:
    assert decode_text(text.encode(), "utf-8") == DecodedText(text, "utf-8", False, 0)


# --- invariants


@given(
    st.binary(max_size=300),
    st.none()
    | st.sampled_from(["utf-8", "gb2312", "big5", "iso-2022-jp", "utf-16", "utf-7", "euc-jp"])
    | st.text(max_size=20),
)
@example(b"+2AA-", "utf-7")
@example(b"\xff\xfe\x00\xd8", None)
@example(b"\xed\xa0\x80", "utf-8")
@example(b"\x1b$B\x7f\x7f", "iso-2022-jp")
def test_any_bytes_under_any_label_become_text_without_surrogates(
    raw: bytes, label: str | None
) -> None:
    decoded = decode_text(raw, label)
    decoded.text.encode("utf-8")
    assert decode_text(raw, label) == decoded
    assert 0 <= decoded.replaced <= len(raw) * 2
    lookup_charset(label)


# The first level of GB 2312: 3,755 common Chinese characters.
_EVERYDAY = "".join(
    bytes((lead, trail)).decode("gb18030")
    for lead in range(0xB0, 0xD8)
    for trail in range(0xA1, 0xFF if lead < 0xD7 else 0xFA)
)


@pytest.mark.parametrize(
    "text",
    ["啊啊啊啊", "哈哈哈哈哈", "呵呵", "嗯", "丁丁", "好的好的", "在吗在吗在吗", "詹趾", "王伟"],
)
def test_short_and_repeated_words_keep_their_label(text: str) -> None:
    assert decode_text(text.encode("gb18030"), "gb2312").text == text


def test_fitting_label_is_trusted_for_random_characters() -> None:
    # Random characters are not text, and in one case of a thousand their bytes look better in
    # another charset.
    chance = random.Random(20261122)
    texts = ["".join(chance.choices(_EVERYDAY, k=chance.randint(1, 30))) for _ in range(4_000)]
    survived = sum(decode_text(text.encode("gb18030"), "gb2312").text == text for text in texts)
    assert survived >= len(texts) * 0.998


# --- real data

CODECS = (
    "big5 big5hkscs cp949 euc_jisx0213 euc_jp euc_kr gb18030 gb2312 gbk hz iso2022_jp iso2022_kr"
    " johab shift_jis shift_jisx0213"
)


@pytest.mark.data
@pytest.mark.parametrize("codec", CODECS.split())
def test_cjk_reference_texts_are_read_as_declared(shared_data: Path, codec: str) -> None:
    folder = shared_data / "email_raw" / "cpython_email" / "cjkencodings"
    expected = (folder / f"{codec}-utf8.txt").read_bytes().decode()
    assert decode_text((folder / f"{codec}.txt").read_bytes(), codec).text == expected

"""The language of short business texts, and no answer without evidence."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.processors.clean import language
from pipeline.processors.clean.language import NO_LANGUAGE, Language, detect_language

TEXTS = {
    "zh": [
        "我想查询一下订单的物流状态",
        "請問什麼時候可以送到？",
        "收到",
        "退款",
        "“七折”优惠券怎么用？？",
        "优の良品很好",
        "ok的，谢谢",
    ],
    "en": [
        "Where is my order? It should have arrived last week.",
        "hello",
        "thanks!",
        "order status",
        "Please cancel my subscription.",
    ],
    "ja": [
        "注文した商品がまだ届いておりません。",
        "お世話になっております",
        "注文番号の確認",
        "カタログ",
    ],
    "ko": ["주문한 상품이 아직 도착하지 않았습니다", "감사합니다"],
    "de": ["Ich habe meine Bestellung noch nicht erhalten, bitte prüfen Sie das.", "Danke"],
    "fr": ["Je n’ai toujours pas reçu ma commande, pouvez-vous vérifier ?", "merci"],
    "es": ["Todavía no he recibido mi pedido, ¿pueden comprobarlo?"],
    "pt": ["Ainda não recebi a minha encomenda, podem verificar?"],
    "it": ["Non ho ancora ricevuto il mio ordine, potete controllare?"],
    "nl": ["Ik heb mijn bestelling nog niet ontvangen, kunt u dat nakijken?"],
    "pl": ["Nie otrzymałem jeszcze mojego zamówienia, proszę o sprawdzenie."],
    "tr": ["Siparişim hâlâ ulaşmadı, lütfen kontrol eder misiniz?"],
    "vi": ["Tôi vẫn chưa nhận được đơn hàng, vui lòng kiểm tra giúp."],
    "id": ["Saya belum menerima pesanan saya, mohon diperiksa segera."],
    "sv": ["Jag har fortfarande inte fått min beställning, kan ni kontrollera?"],
    "fi": ["En ole vieläkään saanut tilaustani, voitteko tarkistaa?"],
    "cs": ["Dosud jsem neobdržel svou objednávku, můžete to prosím ověřit?"],
    "hu": ["Még nem kaptam meg a rendelésemet, kérem ellenőrizzék."],
    "ro": ["Încă nu am primit comanda mea, puteți verifica vă rog?"],
    "ru": ["Я до сих пор не получил свой заказ, проверьте, пожалуйста.", "спасибо вам большое"],
    "uk": ["Я ще не отримав своє замовлення, перевірте, будь ласка, її статус."],
    "bg": ["Все още не съм получил поръчката си, моля проверете."],
    "el": ["Δεν έχω λάβει ακόμα την παραγγελία μου."],
    "he": ["עדיין לא קיבלתי את ההזמנה שלי"],
    "ar": ["لم أستلم طلبي حتى الآن"],
    "fa": ["هنوز سفارش خود را دریافت نکرده‌ام، لطفاً پیگیری کنید"],
    "ur": ["مجھے ابھی تک میرا آرڈر نہیں ملا ہے"],
    "hi": ["मुझे अभी तक मेरा ऑर्डर नहीं मिला है"],
    "th": ["ผมยังไม่ได้รับสินค้าที่สั่งซื้อ"],
}


@pytest.mark.parametrize(
    ("code", "text"), [(code, text) for code, texts in TEXTS.items() for text in texts]
)
def test_languages(code: str, text: str) -> None:
    assert detect_language(text).code == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "好",
        "?",
        "123 456",
        "2024-03-04 09:15",
        "😀😀👍🏽",
        "https://shop.example.cn/order?id=1",
        "a@b.example",
        "A1-B2/77",
        "ok",
        "---",
        "\u200b\ufeff",
        "`SELECT a FROM b`",
    ],
)
def test_no_language_without_evidence(text: str) -> None:
    assert detect_language(text) == NO_LANGUAGE == Language("", 0.0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("请问 iPhone 14 Pro Max 256GB 有货吗", "zh"),
        ("Hi 张伟, please find attached the invoice for last month", "en"),
        ("登录 https://www.example.com/account/login 时报错 ERROR_CODE_500", "zh"),
        ("我的邮箱是 customer.service@example.com", "zh"),
        ("The word 订单 means order in Chinese", "en"),
        ("Meine Bestellung 订单 ist noch nicht angekommen", "de"),
        ("お客様の订单", "ja"),
    ],
)
def test_mixed_text_has_the_predominant_language(text: str, code: str) -> None:
    assert detect_language(text).code == code


def test_mixed_text_has_lower_confidence() -> None:
    assert (
        detect_language("请问 Where is my order 订单号").confidence
        < detect_language("请问我的订单在哪里").confidence
        == 1.0
    )


def test_only_the_beginning_is_used() -> None:
    assert detect_language("我想查询订单。" * 400 + "Where is my order? " * 4000).code == "zh"


@given(st.text(max_size=300))
@example("\ud800\udfff ab")
@example("İ" * 50)
@example("<" * 2_000)
@example("`" * 2_000 + "@" * 500)
def test_any_text_gives_one_answer(text: str) -> None:
    found = detect_language(text)
    assert found == detect_language(text)
    assert 0 <= found.confidence <= 1
    assert (found.code == "") == (found.confidence == 0)


@given(st.text(alphabet="0123456789 .,-+()/:%€$#@!?\n", max_size=100))
def test_numbers_and_symbols_have_no_language(text: str) -> None:
    assert detect_language(text) == NO_LANGUAGE


@pytest.mark.data
def test_real_requests_in_english_and_chinese(shared_data: Path) -> None:
    with (shared_data / "text_en" / "banking77" / "train.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        english = [row["text"] for row in csv.DictReader(file)][::20]
    with (shared_data / "text_zh" / "waimai_10k" / "waimai_10k.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        chinese = [row["review"] for row in csv.DictReader(file)][::20]
    assert sum(detect_language(text).code == "en" for text in english) / len(english) >= 0.985
    assert sum(detect_language(text).code == "zh" for text in chinese) / len(chinese) >= 0.998


def test_chinese_only_pattern_excludes_other_scripts() -> None:
    allowed = "".join(c for c in map(chr, range(0x110000)) if not language._NOT_ONLY_HAN.search(c))
    assert "".join(c for c in "汉字，。！？ＡＢabc123" if c in allowed) == "汉字，。！？ＡＢabc123"
    others = {name: pattern for name, (pattern, _) in language._SCRIPTS.items() if name != "han"}
    assert {name for name, pattern in others.items() if pattern.search(allowed)} == set()

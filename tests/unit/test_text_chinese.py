"""Traditional and simplified Chinese: conversion, aligned excerpts, and equal results for twins."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.models.replica import Replica
from pipeline.processors.converse.followups import FollowUpMatch, promises_in, requests_in
from pipeline.processors.converse.sentences import normalize, original_sentences, sentences
from pipeline.text.aligned_text import AlignedText
from pipeline.text.chinese import convertible_characters, simplification_table, to_simplified
from pipeline.text.normal_form import READ_CHARACTERS, normalise
from tests.unit import test_converse_followups as labelled

NOW = datetime(2026, 11, 19, 10, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
# The first traditional character of each simplified one.
TRADITIONAL = {
    simplified: traditional
    for traditional, simplified in reversed(simplification_table().characters.items())
}
CHINESE = st.text(alphabet=st.sampled_from(sorted(convertible_characters())), max_size=20)


def twin_of(text: str) -> str:
    """Return a text in traditional characters that means the same."""
    return "".join(TRADITIONAL.get(character, character) for character in text)


def without_phrases(matches: tuple[FollowUpMatch, ...]) -> list[tuple[object, ...]]:
    return [(match.way, match.due_at, match.due_stated) for match in matches]


@given(st.one_of(st.text(max_size=60), CHINESE))
@example("\ud800電")
def test_conversion_keeps_the_length_and_is_idempotent(text: str) -> None:
    simplified = to_simplified(text)
    assert len(simplified) == len(text)
    assert to_simplified(simplified) == simplified


@given(CHINESE)
def test_normal_form_of_chinese_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_no_simplified_character_is_converted_again() -> None:
    characters = simplification_table().characters
    assert not set(characters.values()) & set(convertible_characters())


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [
        ("快遞員會提前給您打電話。", "快递员会提前给您打电话。"),
        ("請儘快回覆，謝謝", "请尽快回复，谢谢"),
        ("他説會衞生局覈查帳單", "他说会卫生局核查账单"),
        ("等著你，這本書很著名，作者著有多本著作", "等着你，这本书很著名，作者著有多本著作"),
        (
            "顯著、原著、名著、專著、巨著、鉅著、編著、著作權",
            "显著、原著、名著、专著、巨著、巨著、编著、著作权",
        ),
        ("看著名單，拿著作業，跟著作者走", "看着名单，拿着作业，跟着作者走"),
        ("高原著火，名著想看；討論著，討論著作權", "高原着火，名著想看；讨论着，讨论著作权"),
        ("凸顯著價值，湊合著用，兩人合著", "凸显着价值，凑合着用，两人合著"),
        (
            "吃著有點辣，他著有三本書；隨著書頁，著書立說",
            "吃着有点辣，他著有三本书；随着书页，著书立说",
        ),
        (
            "著急，執著，沉著，衣著，穿著，附著，睡不著",
            "着急，执着，沉着，衣着，穿着，附着，睡不着",
        ),
        (
            "魯迅 著；曹雪芹著《紅樓夢》，看著《紅樓夢》",
            "鲁迅 著；曹雪芹著《红楼梦》，看着《红楼梦》",
        ),
        ("文學著作，傳記著作，最著名的，和著名的人", "文学著作，传记著作，最著名的，和著名的人"),
        ("藉口很多，一片狼藉；慰藉", "借口很多，一片狼藉；慰藉"),
        ("屋頂被雪覆蓋", "屋顶被雪覆盖"),
        ("回\u200b覆", "回复"),
    ],
)
def test_known_texts_are_converted(traditional: str, simplified: str) -> None:
    assert normalise(traditional) == normalise(simplified)


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [
        ("快遞員會提前給您打電話。", "快递员会提前给您打电话。"),
        ("我明天下午三點給妳回電話。", "我明天下午三点给你回电话。"),
        ("我們會儘快回覆您。", "我们会尽快回复您。"),
    ],
)
def test_twins_have_the_same_promises(traditional: str, simplified: str) -> None:
    hours = labelled.HOURS
    promises = promises_in(simplified, NOW, hours)
    assert without_phrases(promises_in(traditional, NOW, hours)) == without_phrases(promises)


def test_twins_of_all_labelled_sentences_have_the_same_result() -> None:
    blocks = (
        (promises_in, labelled.ZH_PROMISES + labelled.ZH_NO_PROMISES),
        (requests_in, labelled.ZH_REQUESTS + labelled.ZH_NO_REQUESTS),
    )
    twins = 0
    for find, block in blocks:
        for line in filter(None, map(to_simplified, map(str.strip, block.splitlines()))):
            twin = twin_of(line)
            twins += twin != line
            matches = find(twin, NOW, labelled.HOURS)
            assert without_phrases(matches) == without_phrases(find(line, NOW, labelled.HOURS))
            assert all(match.phrase in twin for match in matches)
    assert twins > 90


def test_phrase_of_a_promise_has_the_own_characters() -> None:
    (promise,) = promises_in("您好！我明天下午３點給您回電話，“好嗎”", NOW, labelled.HOURS)
    assert promise.phrase == "我明天下午３點給您回電話，“好嗎”"
    (promise,) = promises_in("OK. I’ll call you at 3 P.M. tomorrow!", NOW, labelled.HOURS)
    assert promise.phrase == "I’ll call you at 3 P.M. tomorrow!"


@given(st.text(max_size=80))
@example("가\n각 e\u0301\u0323 ﷺ ½；")
@example("\u09c7\u09be")
def test_alignment_gives_the_nfkc_form_and_covers_the_original(text: str) -> None:
    aligned = AlignedText.nfkc(text)
    assert aligned.text == unicodedata.normalize("NFKC", text)
    assert aligned.casefold().text == aligned.text.casefold()
    assert aligned.original_of(0, len(aligned.text)) == (text if aligned.text else "")
    pattern = re.compile(r"\w\s?")
    assert aligned.sub(pattern, r"<\g<0>>").text == pattern.sub(r"<\g<0>>", aligned.text)


@given(st.text(alphabet=st.one_of(st.sampled_from('ap.m !?。；\n“”"1電ß'), st.characters())))
def test_original_sentences_correspond_to_normalized_ones(text: str) -> None:
    originals = list(original_sentences(text))
    assert len(originals) == len(list(sentences(normalize(text))))
    assert all(original in text for original in originals)


def test_rules_answer_twins_alike() -> None:
    classifier = Replica().classifier()
    texts = [
        "麻烦帮我开发票，谢谢",
        "物流太慢了，非常不满意",
        "这个多少钱，能优惠吗",
        "帐户登录不了",
    ]
    for text in texts:
        answers = classifier.classify([text, twin_of(text)], ["inbound"] * 2)
        assert answers[0] == answers[1]


def test_only_the_first_characters_are_converted() -> None:
    assert normalise("電" * (READ_CHARACTERS + 5)) == "电" * READ_CHARACTERS

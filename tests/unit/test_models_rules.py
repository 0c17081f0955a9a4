"""What the word lists and rules answer before anything is learnt, in both languages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.heads import HEADS, Head
from pipeline.models.lexicon_files import lexicon
from pipeline.models.lexicon_reading import LexiconReading, read_texts
from pipeline.text.normal_form import normalise

TABLE = {head.name: head for head in HEADS}
WORDS = sorted({entry.term for entry in lexicon().entries})


def read(text: str) -> LexiconReading:
    return read_texts([text], [normalise(text)])[0]


def label(head: str, text: str) -> str:
    rule = TABLE[head].rule
    assert rule is not None
    return rule(read(text)).label


def polarity(text: str) -> str:
    return label("sentiment", text).removeprefix("very_")


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=120))
def test_every_head_answers_any_text(text: str) -> None:
    reading = read(text)
    for head in HEADS:
        assert head.rule is not None
        answer = head.rule(reading)
        assert answer.label == "" or answer.label in head.labels
        assert 0.0 <= answer.confidence <= 1.0
        assert answer == head.rule(read(text))


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_lexicon_terms_in_any_order_never_break_a_rule(words: list[str]) -> None:
    reading = read(" ".join(words))
    for head in HEADS:
        assert head.rule is not None
        assert 0.0 <= head.rule(reading).confidence <= 1.0


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("我需要了解您的产品价格和交易方式", "price_inquiry"),
        ("我需要瞭解您的產品價格和交易方式", "price_inquiry"),
        ("How much is the annual plan?", "price_inquiry"),
        ("这款冰箱有哪些颜色，和去年的型号有什么区别？", "product_info"),
        ("What is the difference between the two models?", "product_info"),
        ("请问怎么下单？", "purchase_process"),
        ("I would like to place an order for 200 units", "purchase_process"),
        ("這款還有現貨嗎", "availability"),
        ("Is the blue kettle back in stock?", "availability"),
        ("帮我查一下订单状态", "order_status"),
        ("Could you check the status of my order 5521?", "order_status"),
        ("还没有收到货", "logistics"),
        ("My parcel has not arrived yet", "logistics"),
        ("支付失败，但是钱被扣款了", "payment"),
        ("I was charged twice on my credit card", "payment"),
        ("麻烦给我开一张增值税专票", "invoice"),
        ("Please send me the invoice for March", "invoice"),
        ("我要退货", "refund_return"),
        ("I want a refund, this is terrible!!", "refund_return"),
        ("忘記密碼了，收不到驗證碼", "account"),
        ("I can't log in, I forgot my password", "account"),
        ("软件一打开就闪退", "technical_support"),
        ("The app keeps crashing with an error message", "technical_support"),
        ("这个净水器怎么使用？有没有教程", "usage_howto"),
        ("How do I set up the thermostat? Is there a user manual?", "usage_howto"),
        ("洗衣机坏了，还在保修期内，能上门维修吗", "warranty_repair"),
        ("Is the repair covered by the warranty?", "warranty_repair"),
        ("我想预约明天下午上门", "appointment"),
        ("Can I reschedule my appointment?", "appointment"),
        ("请帮我取消会员自动续费", "cancellation"),
        ("Please cancel my subscription", "cancellation"),
        ("我们想做你们在广东的代理商，谈谈合作", "cooperation"),
        ("We are a distributor and would like to discuss a partnership", "cooperation"),
        ("建议增加夜间模式", "suggestion"),
        ("It would be nice if you could add a dark mode", "suggestion"),
        ("我要投诉你们的快递员，态度恶劣", "complaint"),
        ("I want to file a complaint about your driver", "complaint"),
        ("服务态度很好，非常满意，给五星好评", "praise"),
        ("Excellent service, thank you so much!", "praise"),
        ("你好", "greeting"),
        ("Hello there", "greeting"),
        ("帮我转人工客服", "other"),
        ("恭喜您获得大奖，点击链接免费领取现金红包", "spam"),
        ("qwertz 4711", ""),
    ],
)
def test_needs(text: str, need: str) -> None:
    assert label("need", text) == need


@pytest.mark.parametrize(
    ("text", "feeling"),
    [
        ("很满意", "positive"),
        ("不满意", "negative"),
        ("不是很满意", "negative"),
        ("一点也不好吃", "negative"),
        ("没有问题", "positive"),
        ("味道不错，送餐也快", "positive"),
        ("太慢了，等了两个小时，饭都凉了", "negative"),
        ("服務態度很差，再也不來了", "negative"),
        ("超讚，強烈推薦！", "positive"),
        ("东西不错，但是客服态度太差了", "negative"),
        ("请问你们几点关门", "neutral"),
        ("this is not good", "negative"),
        ("good", "positive"),
        ("no problem at all", "positive"),
        ("not bad", "positive"),
        ("I am not very happy with this", "negative"),
        ("The worst service ever!!!", "negative"),
        ("Love it, works perfectly", "positive"),
        ("Can’t wait to get it 😍", "positive"),
        ("still waiting on hold 😡", "negative"),
        ("The food was nice but the waiter was rude and slow", "negative"),
        ("Do you have any good offers?", "neutral"),
        ("The meeting is on Tuesday.", "neutral"),
        ("The shoes are too small", "negative"),
        ("", ""),
    ],
)
def test_sentiment(text: str, feeling: str) -> None:
    assert polarity(text) == feeling


def test_strong_sentiment_gets_a_strong_label() -> None:
    assert label("sentiment", "Terrible! Worst company ever, never again!!") == "very_negative"
    assert label("sentiment", "非常满意，完美，强烈推荐！") == "very_positive"
    assert label("sentiment", "still a bit slow") == "negative"


@pytest.mark.parametrize(
    ("text", "urgency"),
    [
        ("紧急！系统全部瘫痪，请马上处理", "urgent"),
        ("Please fix this ASAP, production is down", "urgent"),
        ("麻烦尽快回复", "high"),
        ("I have been waiting for a week and still no reply", "high"),
        ("不急，有空再看", "low"),
        ("No rush, whenever you have time", "low"),
        ("This is not urgent", "low"),
        ("请问有蓝色的吗", "normal"),
        ("What colours are there?", "normal"),
    ],
)
def test_urgency(text: str, urgency: str) -> None:
    assert label("urgency", text) == urgency


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("我需要了解您的产品价格和交易方式", {"exploring", "considering"}),
        ("能介绍一下这款产品有哪些功能吗", {"exploring"}),
        ("Could you tell me more about the features?", {"exploring"}),
        ("多少钱？能打折吗", {"considering"}),
        ("Could I get a quote for 50 seats?", {"considering"}),
        ("我要下单，怎么付款", {"ready"}),
        ("I'd like to order two of them, how do I pay?", {"ready"}),
        ("已经付款了，什么时候发货", {"bought"}),
        ("I bought it last week", {"bought"}),
        ("太贵了，不买了", {"none"}),
        ("Not interested, thanks", {"none"}),
        ("今天天气很好", {"none"}),
    ],
)
def test_purchase_intent(text: str, stages: set[str]) -> None:
    assert label("purchase_intent", text) in stages


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            (
                "WINNER! You have been selected for a £500 cash prize. Call 0900 555 0100 now,"
                " reply STOP to opt out"
            ),
            "spam",
        ),
        ("Make money from home!!! No obligation, act now http://money.example.com", "spam"),
        ("【某某金融】无抵押贷款，当天放款，额度5万，加微信 abc，退订回T", "spam"),
        ("【某樓盤】盛大開盤，首付20萬，熱線400-000-0000", "spam"),
        ("Could you send me the invoice for order 5521?", "ham"),
        ("I'd like to return the shoes, can I get a refund?", "ham"),
        ("你们的快递什么时候到？", "ham"),
        ("味道不错，下次还来", "ham"),
    ],
)
def test_spam(text: str, kind: str) -> None:
    assert label("spam", text) == kind


def test_answers_name_their_terms() -> None:
    rule = TABLE["need"].rule
    assert rule is not None
    assert rule(read("麻烦开一张电子发票")).terms == ("电子发票",)
    assert rule(read("Please cancel my subscription")).terms == ("cancel",)
    assert read("not bad, but slow").sentiment_terms == ("not bad", "slow")


def test_longest_of_overlapping_terms_matches() -> None:
    assert [entry.term for entry in read("没有问题").entries_of("sentiment")] == ["没有问题"]


def test_spaced_scripts_match_whole_words() -> None:
    assert label("need", "The billboard is invoiceless") == ""


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_every_head_is_complete(head: Head) -> None:
    assert head.name.isidentifier()
    assert head.name.islower()
    assert len(head.labels) >= head.minimum_classes
    assert 0.0 < head.threshold < 1.0
    for name, meaning in [(head.name, head.meaning), *head.labels.items()]:
        assert name.isidentifier()
        assert meaning.en.isascii()
        assert not meaning.zh.isascii()


def test_lexicons_have_many_terms_in_both_languages() -> None:
    sizes = Counter(
        "en" if entry.term.isascii() else "zh"
        for entry in lexicon().entries
        if entry.head == "sentiment"
    )
    assert sizes["zh"] > 800
    assert sizes["en"] > 800


@pytest.mark.data
def test_polarity_of_real_reviews_and_tweets_without_any_label(shared_data: Path) -> None:
    import csv

    with (shared_data / "text_zh/waimai_10k/waimai_10k.csv").open(encoding="utf-8") as file:
        reviews = [
            ("positive" if row["label"] == "1" else "negative", row["review"])
            for row in csv.DictReader(file)
        ]
    with (shared_data / "text_en/airline_tweets/tweets.csv").open(encoding="utf-8") as file:
        tweets = [(row["airline_sentiment"], row["text"]) for row in csv.DictReader(file)]
    for rows, least in ((reviews[::3], 0.75), (tweets[::3], 0.60)):
        assert sum(polarity(text) == truth for truth, text in rows) / len(rows) >= least


@pytest.mark.data
def test_spam_among_real_messages_without_any_label(shared_data: Path) -> None:
    import csv

    with (shared_data / "text_en/sms_spam/sms_spam.csv").open(encoding="utf-8") as file:
        rows = [(row["label"], row["text"]) for row in csv.DictReader(file)]
    assert sum(label("spam", text) == truth for truth, text in rows) / len(rows) >= 0.92

"""Texts that are built to make a scanner slow: long repetitions, unclosed pairs, near-matches.

`FAMILIES` are written by hand, by what mails, chats, calls and tables consist of. `pattern_attacks`
derives more from a regular expression: it repeats what each of its quantifiers accepts, after what
precedes it, and ends with a mismatch. All texts of a family grow by repetition, so that the times
of two sizes can be compared (`tests/support/growth.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Family:
    """A text of any size: `start`, then `unit` as often as it fits, then `end`."""

    name: str
    unit: str
    start: str = ""
    end: str = ""

    def text(self, size: int) -> str:
        """Return the text with about `size` characters, at least one unit.

        >>> Family("commas", "a,", "<", "!").text(6)
        '<a,a,!'
        """
        count = max(1, (size - len(self.start) - len(self.end)) // len(self.unit))
        return self.start + self.unit * count + self.end


@dataclass(frozen=True, slots=True)
class Nested:
    """A text of any size that opens as many levels as it closes."""

    name: str
    opening: str
    closing: str

    def text(self, size: int) -> str:
        """Return the text with about `size` characters, at least one level.

        >>> Nested("brackets", "(", ")").text(6)
        '((()))'
        """
        count = max(1, size // (len(self.opening) + len(self.closing)))
        return self.opening * count + self.closing * count


@dataclass(frozen=True, slots=True)
class Shuffled:
    """A text of any size of words in a random order that is the same in every run."""

    name: str
    words: tuple[str, ...]

    def text(self, size: int) -> str:
        """Return the text with about `size` characters, at least one word."""
        rng = random.Random(self.name)
        mean = sum(map(len, self.words)) / len(self.words)
        return "".join(rng.choices(self.words, k=max(1, int(size / mean))))


@dataclass(frozen=True, slots=True)
class Numbered:
    """A text of any size of units that are all different: `unit` has `{}` for the number."""

    name: str
    unit: str

    def text(self, size: int) -> str:
        """Return the text with about `size` characters, at least one unit.

        >>> Numbered("addresses", "a{}@b,").text(12)
        'a0@b,a1@b,'
        """
        pieces: list[str] = []
        length = number = 0
        while not pieces or length < size - len(pieces[-1]) // 2:
            pieces.append(self.unit.format(number))
            length += len(pieces[-1])
            number += 1
        return "".join(pieces)


class AnyFamily(Protocol):
    """A text of any size, and its name."""

    @property
    def name(self) -> str: ...

    def text(self, size: int) -> str: ...


# One of each class of characters: what separates, quotes, encodes, counts, is invisible, is wide,
# goes from right to left, or is half a character.
_CHARACTERS = {
    "space": " ",
    "tab": "\t",
    "newline": "\n",
    "carriage return": "\r",
    "nul": "\0",
    "no-break space": "\xa0",
    "ideographic space": "\u3000",
    "line separator": "\u2028",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "byte order mark": "\ufeff",
    "private use": "\ue000",
    "letter": "a",
    "capital": "A",
    "long s": "ſ",
    "accented letter": "é",
    "digit": "1",
    "zero": "0",
    "nine": "9",
    "wide digit": "１",
    "arabic digit": "٢",
    "han": "我",
    "han digit": "一",
    "kana": "か",
    "hangul": "한",
    "cyrillic": "я",
    "arabic": "ع",
    "hebrew": "ש",
    "thai": "ก",
    "combining mark": "\u0301",
    # Python's normalize sorts them by insertion.
    "marks in the wrong order": "\u0301\u0327",
    "voiced mark": "\u3099",
    "surrogate": "\ud83d",
    "low surrogate": "\ude00",
    "emoji": "😀",
    "right-to-left override": "\u202e",
    "replacement": "\ufffd",
    "mojibake": "Ã",
    **{f"character {char}": char for char in ",;:.!?'\"`()[]{}<>&=-_+*/\\|@#$%^~"},
    "wide comma": "，",
    "full stop": "。",
    "wide colon": "：",
    "wide quote": "“",
    "wide bracket": "【",
    "dash": "—",
    "bullet": "•",
    "ellipsis": "…",
    "yen": "￥",
}
# Short tokens that some scanner treats as the begin of something.
_TOKENS = (
    *("a,", "a;", ",a ", ", ", "a ", "a\n", "a\r\n", "\r\n", " \n", "\n ", "\n\t", "a.", ". "),
    *("a. ", "a-", "- ", "-\n", "--\n", "-- \n", "---\n", "___\n", "===", "= ", "=\n", "=\r"),
    *("=20", "=3D", "a@", "@a", "a@b", "a@b ", "a@b.", "a@b.c,", "a@b.co ", "<a@b>", "<a@b>,"),
    *("<a@b> ", "a <", '"<', '",', '"a', '" ', '"a",', '"\\"', "\\", '\\"', "'a", "''", "(a"),
    *("()", ")(", "a:", ":;", "=?utf-8?q?", "=?utf-8?q?a?=", "=?utf-8?q?a?= "),
    *("=?utf-8?b?YQ==?=", "=?", "?=", "=?a?b?", "=?utf-8?q?a", "=?gbk?b?xOM=?=\n ", "<a "),
    *("<a", "<a>", "<a>b", "</a>", "</", "<b><i>", "<p>", "<p>a", "<br>", "<div>", "<div>a"),
    *("<!--", "<!-- a", "-->", "<!--a-->", "<![CDATA[", "<!", "<?", "<style>", "<script>"),
    *("<title>", "<table><tr><td>", "<tr>", "<td>a", "<li>a", "<ul><li>", "<pre>"),
    *("<blockquote>", "<span>", "<blockquote>a", '<div class="gmail_quote">'),
    *('<div style="display:none">', "<textarea>", '<a href="x', "<a href='x", '<a href="x">'),
    *("<a href=x ", '<a b="', "<a b=c ", "<img alt=", "<font size=1>", "<p style='", "<x y=z>"),
    *("< a", "<a/", "&#", "&#1", "&#x", "&amp", "&amp;", "&nbsp;", "&lt;", "&gt;", "&gt; "),
    *("&a", "&#x110000;", "](", "[a](", "[](", "![", "**", "*a*", "`a`", "```\n", "http://"),
    *("http://a", "http://a ", "https://a.b/", "www.", "www.a", "mailto:", "a/", "a/b", "//"),
    *("<http://a", "(http://a", "> ", ">", ">a\n", "> a\n", ">> ", "> > ", "| ", "|a|\n"),
    *("A> a\n", ">\n", "\n>", "＞a\n", "From: ", "From: a\n", "From: a@b\nTo: c\n"),
    *("Subject: a\n", "From a\n", ">From a\n", "a: b\n", "发件人：", "发件人: a\n"),
    *("主题：a\n", "On ", "On 1 ", "On Mon, ", "Am 1 ", "Le 1 ", "El 1 ", "On 1 May 2024 "),
    *("On 1 May 2024 at 10:00, A ", "On 1 May 2024, A wrote\n", "wrote:", " wrote: "),
    *("a@b wrote:\n", "On a wrote:\n", "在 2024年1月1日", "在2024年1月1日，A 写道：\n"),
    *("写道：", "于", "2024年", "Le 1 mai 2024 à 10:00, A a écrit :\n"),
    *("Am 1.1.2024 schrieb A:\n", "schrieb ", "a écrit ", "-----Original Message-----\n"),
    *("-----", "--- On ", "____\n", "Begin forwarded message:\n", "begin 644 a\n", "end\n"),
    *("=ybegin line=1 name=a\n", "=yend\n", "--b\n", "--b--\n", "Content-Type: ", "boundary="),
    *(";a=b", '; a="', "; a*0*=b", "charset=", "name*=utf-8''%41", "1 ", "1-", "1.", "1,"),
    *("1:", "1/", "(1", "1)", "+1 ", "+1", "0 ", "00", "1 1", "12 34 ", "-1", "555-"),
    *("555 1234 ", "+1 (415) 555-01", "1.1.1.", "1.1.1.1 ", "0 0-", "4111 1111 1111 1111 "),
    *("AB12 ", "AB12 CDEF ", "DE89 3704 ", "A1", "a1", "1a", "1.2.3", "11010519491231002X"),
    *("138 0013 ", "2024-01-01", "2024-01-01 ", "2024-1-", "2024/", "1/1/24 ", "1 Jan "),
    *("Jan 1, ", "Jan ", "一月", "Mon, 1 Jan 2024 10:00:00 +0000 ", "10:00 ", "10:00:00"),
    *("10:", "10.00 ", "10am ", "10 am, ", "上午10点", "10点", "三点半", "下午", "明天"),
    *("后天", "周一", "下周", "两天内", "3天", "3个工作日内", "tomorrow ", "next week "),
    *("by Monday ", "in 2 days ", "within 2 days ", "at 3 ", "end of ", "the ", "$1,", "$1"),
    *("$", "1,000,", "€1.", "¥1", "1元", "1万", "USD 1 ", "1%", "百", "一千", "一二三"),
    *("I will ", "I'll ", "we will ", "We will get back to you ", "I ", "will ", "please "),
    *("let me ", "I will call you ", "can you ", "not ", "don't ", "if ", "call me "),
    *("get back ", "send you the ", "我会", "我们会", "我会尽快", "请", "请您", "麻烦", "不"),
    *("没有", "不是", "您好", "谢谢", "尽快回复您", "会给您", "could you please "),
    *("promise to ", "as soon as possible ", "I will, if ", "This email is confidential "),
    *("This message ", "confidential ", "intended ", "disclaimer "),
    *("If you are not the intended recipient ", "本邮件", "本邮件及其附件", "保密"),
    *("如果您不是", "unsubscribe ", "CONFIDENTIALITY NOTICE: ", "To unsubscribe "),
    *("You received this message because ", "Thanks", "Thanks,\n", "Best regards,\n", "Best "),
    *("Regards\n", "此致\n", "祝好\n", "Sent from my ", "发自我的", "Sent from my iPhone\n"),
    *("Tel: 1\n", "Tel: ", "T: ", "Fax ", "省市路", "省", "Street ", "12 A Street ", "p.s. "),
    *("PS: ", "Dear A,\n", "Hi ", "a b ", "a\nb\n", "word ", "refund ", "order ", "free "),
    *("FREE!!! ", "very ", "so ", "I want a refund ", "我要退款", "退款", "投诉", "差评"),
    *("and ", "but ", "或者", "但是", "，但", '{"a":', "[[", "{", "{}", "[]", ",,", ';"', '""'),
    *('""",', "a\tb\t", "a|b|", "NaN ", "1e9", "null ", "1/1/24, 10:00 - A: a\n"),
    *("[1/1/24, 10:00:00] A: a\n", "1/1/24, 10:00 - ", "2024/1/1 10:00 - 甲: 你\n"),
    *("\u200eimage omitted", "<Media omitted>\n", "a: a: ", "A: B: ", "e\u0301", "か\u3099"),
    *("👩‍👩‍", "🇨🇳", "#1 ", "#A1-", "ORD-1 ", "ABC-123 ", "订单号", "订单1", "No. 1 ", "[#1]"),
    *("Re: ", "RE: Fwd: ", "回复：", "[a] ", "Ã©", "é ", "ï»¿", "â‚¬", "ä½ ", "\x1b$B"),
    *("\x1b(B", "$B", "~{", "+AGE-", "%41", "\\u0041", "x" * 75 + "\n", "x" * 76 + "=\n"),
    *("QUJD" * 19 + "\n", "QUJD=", "a=", "#" * 30 + "\n", "lorem ipsum dolor sit amet, "),
    *("我们的订单什么时候发货？", "Wann kommt das? "),
)


def _unclosed() -> Iterator[Family]:
    """Yield texts that open something once, fill it, and end without closing it or with noise."""
    fillings = {"letters": "a", "spaces": " ", "lines": "a\n", "commas": "a,", "tags": "<b>"}
    fillings["digits"] = "1 "
    openers = (
        *(
            '"',
            "(",
            "<",
            "<a ",
            '<a href="',
            "<!--",
            "<style>",
            "<script>",
            "<title>",
            "<textarea>",
        ),
        *("=?utf-8?q?", "[", "`", "```", "http://", "a@", "On 1 May 2024", "> ", "begin 644 a\n#"),
        *("=ybegin line=1 name=a\n", "From: ", "Sent from my ", "This message is confidential "),
        *("I will ", "我会", "$", "+", "“", "「", "&#", "*", "\x1b$B", '<div style="', "<table>"),
    )
    for opener in openers:
        for name, filling in fillings.items():
            yield Family(f"{opener.strip()!a} and {name}", filling, opener)
    for name, filling in fillings.items():
        yield Family(f"{name}, then a mismatch", filling, end="\x01@!")
        yield Family(f"{name}, then a letter", filling, end="x")


_NESTED = (
    Nested("parentheses", "(", ")"),
    Nested("brackets", "[", "]"),
    Nested("braces", '{"a":', "}"),
    Nested("angles", "<", ">"),
    Nested("wide brackets", "（", "）"),
    Nested("open and closed div", "<div>", "</div>"),
    Nested("open and closed blockquote", "<blockquote>a", "</blockquote>"),
    Nested("open and closed span", "<span>a", "</span>"),
    Nested("open and closed font", "<font size=1><b>", "</b></font>"),
    Nested("tables in tables", "<table><tr><td>a", "</td></tr></table>"),
    Nested("lists in lists", "<ul><li>a", "</li></ul>"),
    Nested("wrongly closed", "<b><i>a", "</b></i>"),
    Nested("hidden in hidden", '<div style="display:none">a', "</div>"),
    Nested("quotes in quotes", '<div class="gmail_quote">a', "</div>"),
    Nested("quoted pairs", '\\"', '"'),
)
_NUMBERED = (
    Numbered("different words", "w{} "),
    Numbered("different addresses", "a{0}@b{0}.com, "),
    Numbered("different named addresses", '"A {0}" <a{0}@b.com>, '),
    Numbered("different ids", "<{}@b>\n "),
    Numbered("different tags", "<t{}>a"),
    Numbered("different attributes", "<p a{}=1>"),
    Numbered("different classes", '<p class="c{}">a'),
    Numbered("different fonts", "<p><font size={}>x"),
    Numbered("different headers", "X-{}: a\n"),
    Numbered("different parameters", "; a{}=b"),
    Numbered("different sections", "; a*{}*=b"),
    Numbered("different dates", "On {} May 2024 at 10:00, A wrote:\n> a\n"),
    Numbered("different quotes", "> line {}\n\nanswer\n\n"),
    Numbered("different lines", "line {} of a text\n"),
    Numbered("different numbers", "{}\n"),
    Numbered("different entities", "&#{};"),
    Numbered("different sentences", "I will send you {} tomorrow. "),
    Numbered("different names", "A{}: hello\n"),
    Numbered("different keys", '"k{}": 1, '),
)
_SHUFFLED = (
    Shuffled("shuffled marks", tuple(",;:.\"'()[]<>@=?&-/\\ \n a1")),
    Shuffled(
        "shuffled markup",
        (
            "<b>",
            "</b>",
            "<i>",
            "</i>",
            "<p>",
            "</p>",
            "<div>",
            "</div>",
            "<td>",
            "a",
            "<!--",
            "-->",
            '"',
        ),
    ),
    Shuffled(
        "shuffled quotes",
        (
            "> a\n",
            ">> b\n",
            "c\n",
            "\n",
            "On 1 May 2024, A wrote:\n",
            "From: a\n",
            "-- \n",
            "Thanks,\n",
        ),
    ),
    Shuffled("shuffled digits", tuple("0123456789 -().+")),
    Shuffled(
        "shuffled promises",
        (
            "I ",
            "will ",
            "not ",
            "call ",
            "you ",
            "tomorrow ",
            "if ",
            "please ",
            "? ",
            ". ",
            ", ",
            "by ",
            "5pm ",
        ),
    ),
    Shuffled("shuffled promises in Chinese", tuple("我会您给不请明天周一三点回电，。？")),
    Shuffled("shuffled scripts", tuple("aя我か한عש1 \n")),
)
FAMILIES: tuple[AnyFamily, ...] = (
    *(Family(name, unit) for name, unit in _CHARACTERS.items()),
    *(Family(f"token {unit[:40]!a}", unit) for unit in _TOKENS),
    *_unclosed(),
    *_NESTED,
    *_NUMBERED,
    *_SHUFFLED,
)
PLAIN = Family(
    "plain text",
    "Hello Ann,\n\nthe order 4711 has arrived, but one of the cups is broken. Could you please send"
    " a new one?\n您好，订单什么时候发货？\n\nThanks,\nBob\n\n",
)
OTHER_LANGUAGES = (
    Family("plain text in German", "Guten Tag, wann kommt die Bestellung endlich an?\n"),
    Family("plain text in Russian", "Здравствуйте, когда придёт мой заказ?\n"),
)


def some_families(every: int) -> Iterator[AnyFamily]:
    """Yield one family in so many, spread over all kinds."""
    return islice(FAMILIES, 0, None, every)

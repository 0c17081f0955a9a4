"""Render HTML to visible text in linear time, with marks for the reply splitter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.mail.html_text import html_to_text
from pipeline.mail.quote_marks import QUOTE_END, QUOTE_MARK, QUOTE_SELECTORS
from pipeline.processors.clean.reply import split_reply


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>wo</b>rld</p><p>Second</p>", "Hello world\n\nSecond"),
        ("你<font color=red>好</font>，<span>世</span>界", "你好，世界"),
        ("<div>A<br></div><div>B</div>", "A\nB"),
        ("<div>A</div><div><br></div><div>B</div>", "A\n\nB"),
        ("A<br><br><br><br>B", "A\n\nB"),
        ("<p class=MsoNormal>A</p><p class=MsoNormal>&nbsp;</p><p class=MsoNormal>B</p>", "A\n\nB"),
        ('<p style="margin:0">A</p><p style="margin:0">B</p>', "A\nB"),
        ("<h1>Title</h1>text<hr>more", "Title\n\ntext\nmore"),
        (
            "<table><tr><td>Tea</td><td>3 €</td></tr><tr><td>Rice<td>2 €</table>end",
            "Tea\t3 €\nRice\t2 €\nend",
        ),
        (
            "<table><tr><td><table><tr><td>a</td><td>b</td></tr></table></td><td>c</td></tr></table>",
            "a\tb\nc",
        ),
        ("<ul><li>one</li><li><p>two</p></li></ul>end", "- one\n- two\nend"),
        ("a&nbsp;b &amp; &lt;c&gt; &#20320;&#x597d; &unknown; &copy", "a b & <c> 你好 &unknown; ©"),
        ("<pre>  two\n    four</pre>", "  two\n    four"),
        ("one\n   two\t three", "one\n   two\t three"),
        ("<div>one\n   two\t three</div>", "one two three"),
        ("<blockquote>said before</blockquote>", "said before"),
        ('<a href="https://x.example/a">text</a>', "text"),
        ('<a href="https://x.example/a?b=1&amp;c=2"></a>', "https://x.example/a?b=1&c=2"),
        ('<a href="https://x.example/"><img src=a.png></a>', "https://x.example/"),
        ('<a href="https://x.example/"><img src=a.png alt="Shop"></a>', "Shop"),
        ('<a name="top"></a>x', "x"),
        ('ok<img src=e.png alt="👍">', "ok👍"),
        ('see<img alt="our logo &amp; name">here', "see our logo & name here"),
        ("<b>unclosed <i>tags<p>are fine", "unclosed tags\n\nare fine"),
        ('<a href="foo>bar</a> and <b>"x"</b>', 'bar and "x"'),
        ("1 < 2 and a <3 b, x > y", "1 < 2 and a <3 b, x > y"),
        ("<<b>>", "<>"),
        ("cut <a href=", "cut"),
        ("", ""),
        ("   ", ""),
        ("zero\u200bwidth soft\u00adhyphen", "zerowidth softhyphen"),
        ("<p>می\u200cخواهم &zwnj; &zwnj; x</p>", "می\u200cخواهم x"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("<P>UPPER</P><BR>CASE", "UPPER\n\nCASE"),
        ("<o:p>Office</o:p><unknown-tag>kept</unknown-tag>", "Officekept"),
        ("<textarea>typed\nlines</textarea>", "typed\nlines"),
        ("<select><option>one<option>two</select>", "one\ntwo"),
    ],
)
def test_visible_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    "hidden",
    [
        '<div style="display:none">H</div>',
        "<span style='DISPLAY : NONE !important'>H</span>",
        '<div style="visibility:hidden">H</div>',
        '<div style="mso-hide:all">H</div>',
        '<div style="font-size:0px;line-height:0">H</div>',
        '<div style="max-height:0;overflow:hidden">H</div>',
        '<div style="opacity:0">H</div>',
        "<div hidden>H</div>",
        '<div class="preheader">H</div>',
        '<td class="preview-text">H</td>',
        '<div style="display:none"><div>H</div><b>H</b><div>H<br></div>H</div>',
        "<div style='display:none'>H<p>H</div>",
        "<script>var H = '<b>H</b>';</script>",
        "<style>.H > b { x: y }</style>",
        "<title>H</title>",
        "<template>H</template>",
        "<!-- H --><!-- H > <b>H</b> -->",
        "<!--[if mso]><p>H</p><![endif]-->",
        "<!-->",
        "<!DOCTYPE html><?xml version='1.0'?>",
        "<svg><text>H</text></svg>",
        '<img alt="" src="H.png">',
        '<input type="hidden" value="H">',
    ],
)
def test_hidden_text_is_removed(hidden: str) -> None:
    assert html_to_text(f"<body>before {hidden}after</body>").split() == ["before", "after"]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<td style="font-size:0px"><div style="font-size:13px">shown</div></td>', "shown"),
        ('<p style="display:none">hidden<p>shown', "shown"),
        ('<table><tr><td style="display:none">hidden<td>shown</table>', "shown"),
        ('<table><tr><td><div style="display:none">hidden</td><td>shown</td></table>', "shown"),
        ('<div style="text-decoration:none;border:0;margin:0">shown</div>', "shown"),
        ('<div style="display:none">all that there is</div>', "all that there is"),
        ("<!--[if !mso]><!-->shown<!--<![endif]-->", "shown"),
        ("<noscript>shown</noscript>", "shown"),
        ("shown<!-- never ended", "shown never ended"),
        ("shown <style>never ended", "shown never ended"),
    ],
)
def test_text_after_a_hidden_element_is_kept(html: str, text: str) -> None:
    assert html_to_text(html) == text


# --- quotes


def test_gmail_reply() -> None:
    html = (
        '<div dir="ltr">Yes, please.</div><br><div class="gmail_quote"><div dir="ltr"'
        ' class="gmail_attr">On Mon wrote:<br></div><blockquote class="gmail_quote"'
        ' style="margin:0">Ten?<div>Or <b>nine</b>?</div></blockquote></div>'
    )
    lines = [line for line in html_to_text(html).splitlines() if line]
    assert lines == [
        "Yes, please.",
        QUOTE_MARK + "gmail_attr",
        "On Mon wrote:",
        QUOTE_END,
        QUOTE_MARK + "gmail_quote",
        "Ten?",
        "Or nine?",
        QUOTE_END,
    ]
    assert split_reply(html_to_text(html)).reply == "Yes, please."


def test_a_gmail_div_without_a_blockquote_is_the_quote_itself() -> None:
    assert html_to_text(
        '<div>new</div><div class="gmail_quote">old<div>old</div></div>end'
    ).splitlines() == [
        "new",
        QUOTE_MARK + "gmail_quote",
        "old",
        "old",
        QUOTE_END,
        "end",
    ]


def test_outlook_and_qq_replies() -> None:
    outlook = (
        '<div><p class=MsoNormal>Fine.</p><div style="border:none;border-top:solid #E1E1E1'
        ' 1.0pt;padding:3.0pt 0cm 0cm 0cm"><p class=MsoNormal><b>From:</b> Ann<br><b>Sent:</b>'
        " Monday</p></div><p class=MsoNormal>old</p></div>"
    )
    assert html_to_text(outlook).startswith(
        f"Fine.\n{QUOTE_MARK}outlook_border\nFrom: Ann\nSent: Monday\n{QUOTE_END}"
    )
    assert split_reply(html_to_text(outlook)).reply == "Fine."
    assert html_to_text("好的<includetail><div>原始邮件</div></includetail>").splitlines() == [
        "好的",
        QUOTE_MARK + "qq_original",
        "原始邮件",
        QUOTE_END,
    ]


def test_empty_element_marks_following_text_as_quote() -> None:
    assert html_to_text('new<hr id="stopSpelling">old').splitlines() == [
        "new",
        QUOTE_MARK + "stopSpelling",
        "old",
    ]


def test_every_quote_selector_matches() -> None:
    assert QUOTE_SELECTORS
    assert (
        html_to_text('a<blockquote type="cite">b</blockquote>').splitlines()[1]
        == QUOTE_MARK + "blockquote_cite"
    )
    assert QUOTE_MARK not in html_to_text(
        "a<blockquote>the word cite is in here, and 'quote'</blockquote>"
    )


@pytest.mark.parametrize(
    "typed", [QUOTE_MARK, "&#xE000;quote&#xE000;", f'<img alt="{QUOTE_MARK}x">', "\x04" + "0\x04"]
)
def test_a_sender_cannot_write_a_mark(typed: str) -> None:
    text = html_to_text(f'<p>{typed}gmail_quote</p><blockquote type="cite">old</blockquote>')
    assert text.count("\ue000") == 4
    assert split_reply(text).reply.endswith("gmail_quote")


# --- invariants

BOMBS: dict[str, Callable[[int], str]] = {
    "divs": lambda n: "<div>" * n + "x",
    "fonts and paragraphs": lambda n: "<font color=1>" * n + "<p>" * n + "x",
    "open quotes": lambda n: "<a '\"" * n,
    "signs": lambda n: "<" * n + "&" * n,
    "comments": lambda n: "<!--" * n,
    "styles": lambda n: "<style>" * n,
    "hidden": lambda n: "<div hidden>" * n,
    "faded": lambda n: "<p style='font-size:0'>" * n,
    "quotes": lambda n: "<div class=gmail_quote>" * n,
    "cited": lambda n: "<blockquote type=cite>" * n + "</blockquote>" * n,
    "links": lambda n: "<a href=http://x>" * n + "</a>" * n,
    "attributes": lambda n: "<a hidden " + "x=y " * n + ">",
    "cells": lambda n: "<td> " * n,
    "items": lambda n: "<li>" * n,
    "preformatted": lambda n: "<pre>" * n,
    "blanks": lambda n: " " * n + "<b>" + "&nbsp;" * n + "\u200c" * n,
    "cut": lambda n: "<a href=" + "x" * n,
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_pages_take_linear_time(name: str) -> None:
    # An algorithm of quadratic cost would need hours for this size.
    text = html_to_text(BOMBS[name](50_000) + "<p>the end</p>")
    assert "the end" in text or name in ("hidden", "attributes", "cut")


PIECES = [
    *(
        "<div>",
        "</div>",
        "<p>",
        "</p>",
        "<br>",
        "<td>",
        "<tr>",
        "<table>",
        "</table>",
        "<pre>",
        "</pre>",
        "<li>",
    ),
    *(
        "<!--",
        "-->",
        "<style>",
        "</style>",
        "<div style='display:none'>",
        "<span hidden>",
        "</span>",
        "<a href=x>",
        "</a>",
    ),
    *(
        "<div class=gmail_quote>",
        "<blockquote type=cite>",
        "</blockquote>",
        "<img alt='x y'>",
        "text",
        "好",
        " ",
        "\n",
    ),
    *("&nbsp;", "&lt;", "&#xD800;", "<", ">", '"', "\ue000", "\x04", "\ud800"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=200))
@example("<pre>\x04")
@example("<p\x00>x")
def test_any_source_renders_to_normalised_text(html: str) -> None:
    text = html_to_text(html)
    text.encode("utf-8")
    assert text == html_to_text(html)
    assert not any(
        sign in text for sign in "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0e\x0f\x10\x11"
    )
    assert text == text.strip() or "<pre>" in html or "<textarea>" in html
    assert "<pre>" in html or "<" not in html or "\n\n\n" not in text


WORDS = st.text(alphabet="abc你好äé", min_size=1, max_size=6)


@given(
    st.lists(WORDS, min_size=1, max_size=20),
    st.sampled_from(["p", "div", "li", "td", "h2", "center", "font", "x-y"]),
)
def test_no_visible_word_is_lost_or_added(words: list[str], tag: str) -> None:
    html = "".join(f"<{tag} class='c'>{word} </{tag}>\n" for word in words)
    assert html_to_text(html).replace("- ", " ").split() == words

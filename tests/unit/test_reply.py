"""Invariants of the reply splitter: nothing lost, no exception, linear cost, idempotent."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from pipeline.mail.quote_marks import QUOTE_END, QUOTE_MARK, QUOTE_SELECTORS
from pipeline.processors.clean.reply import ReplyPart, ReplySplit, split_reply

# Lines that start, end, imitate or interrupt quotes and signatures.
_LINES = st.sampled_from(
    [
        "",
        " ",
        "Hello,",
        "I would like to know when my order of last week will arrive at our office.",
        "订单什么时候到？",
        "> quoted",
        ">> deeper",
        ">",
        "> long quoted line that was wrapped by some server on its way because it has too many",
        "rest of it",
        "On Mon, Mar 4, 2024 at 9:15 AM Ann Lee <ann@example.com> wrote:",
        "On Mon, Mar 4, 2024 at 9:15 AM Ann Lee",
        "<ann@example.com> wrote:",
        "wrote:",
        ">:",
        "On Mar 4, 2024 Ann wrote:",
        "Ann Lee wrote:",
        "text On Wed, Apr 4, 2012 at 3:59 PM, bob@example.com wrote:",
        "李安 <an@example.com> 于2024年3月4日周一 09:15写道：",
        "From: Ann <ann@example.com>",
        "Sent: Monday, March 4, 2024 9:15 AM",
        "To: Bob",
        "Subject: Contract",
        "发件人：李安",
        "主题：合同",
        "-----Original Message-----",
        "------------------ 原始邮件 ------------------",
        "---------- Forwarded message ---------",
        "________________________________",
        "-- ",
        "--",
        "—",
        "----",
        "Sent from my iPhone",
        "发自我的iPhone",
        "Best regards,",
        "Thanks,",
        "此致",
        "Ann Lee",
        "-Ann",
        "Sales Manager",
        "Tel: +1 555 0100 200",
        "This e-mail is confidential and intended only for the recipient.",
        "You received this message because you are subscribed to the list.",
        "| piped",
        "| a | b |",
        "AB> said",
        "AB> again",
        "```",
        ">>> import this",
        ">From here",
        QUOTE_MARK + "gmail_quote",
        QUOTE_MARK + "appendonsend",
        QUOTE_END,
        QUOTE_MARK,
        "P.S. one more thing",
        "Ann Lee:",
        "# signed otherwise",
        "Code:",
        "> code();",
        "> {",
        "Am 5.5.2024 um 10:00 schrieb",
        "schrieb Ann:",
        "| From | Ann<ann@example.com> |",
        "-----BEGIN PGP SIGNATURE-----",
        "-----END PGP SIGNATURE-----",
    ]
)
_ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\x0b", "\u2028", "\x85"])
_MAILS = st.lists(st.tuples(_LINES, _ENDS), max_size=24).map(
    lambda lines: "".join(a + b for a, b in lines)
)
_TEXTS = st.text(alphabet=st.characters(), max_size=300)
_ANY = st.one_of(_MAILS, _TEXTS, st.lists(st.one_of(_MAILS, _TEXTS), max_size=4).map("\n".join))


def _joined(text: str, split: ReplySplit, kind: str) -> str:
    return "".join(text[part.start : part.end] for part in split.parts if part.kind == kind)


def _blank_free(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_ANY)
@example("")
@example("\n\n")
@example(QUOTE_MARK)
@example(f"{QUOTE_MARK}gmail_quote\n{QUOTE_END}\n")
def test_parts_tile_the_text(text: str) -> None:
    split = split_reply(text)
    assert "".join(text[part.start : part.end] for part in split.parts) == text
    assert all(part.start < part.end for part in split.parts)
    assert all(bool(part.rule) == (part.kind != "reply") for part in split.parts)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_ANY)
def test_texts_are_the_joined_parts(text: str) -> None:
    split = split_reply(text)
    for kind, shown in (
        ("reply", split.reply),
        ("quoted", split.quoted),
        ("signature", split.signature),
    ):
        assert QUOTE_MARK not in shown
        assert QUOTE_END not in shown
        if "\ue000" not in text:
            assert _blank_free(shown) == _blank_free(_joined(text, split, kind))
            assert shown in _joined(text, split, kind)
        assert shown == shown.rstrip()
        assert not shown or shown.splitlines()[0].strip()
    assert set(split.rules) == {part.rule for part in split.parts if part.rule}
    assert ("empty_reply" in split.flags) == (
        not split.reply and bool(split.quoted or split.signature)
    )


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_ANY)
@example("On Mon, Mar 4, 2024 at 9:15 AM Ann Lee\n> quoted\n<ann@example.com> wrote:\nold\n")
@example("```\n> a\nOn Mon, Mar 4, 2024 at 9:15 AM Ann Lee <ann@example.com> wrote:\n```\n> b\n")
@example(f"Am 5.5.2024 um 10:00 schrieb\n{QUOTE_END}\nschrieb Ann:\n\nold\n")
@example(f"On Mar 4, 2024 Ann wrote:\n{QUOTE_MARK}\nAnn <ann@example.com>:\nold\n")
@example("Ann Lee wrote:\n# y\n-----Original Message-----\nold\n")
@example(
    "Hi\n\nSent from my iPhone\n> quoted\n\nanother sentence that is certainly prose and long.\n"
)
def test_splitting_a_reply_again_changes_nothing(text: str) -> None:
    reply = split_reply(text).reply
    again = split_reply(reply)
    assert again.quoted == ""
    assert all(part.kind != "quoted" for part in again.parts)


@given(_MAILS)
@settings(max_examples=50, deadline=None)
def test_splitting_is_deterministic(text: str) -> None:
    assert split_reply(text) == split_reply(text)


def _calls_of(work: Callable[[], Any]) -> int:
    """Count the function calls and lines run in the splitter: independent of the load."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return (
            trace
            if "clean/reply" in frame.f_code.co_filename or frame.f_code.co_name == "<genexpr>"
            else None
        )

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


_HOSTILE: dict[str, Callable[[int], str]] = {
    "angle lines": lambda n: ">\n" * n,
    "one angle line": lambda n: ">" * n,
    "one line": lambda n: "x" * n,
    "one line of words": lambda n: "On 1 Jan 2024 " * n,
    "on lines": lambda n: "On 1 Jan 2024 at 9:15\n" * n,
    "wrote lines": lambda n: "wrote:\n" * n,
    "name wrote": lambda n: "Ann Lee wrote:\n" * n,
    "dated": lambda n: "On Mar 4, 2024 Ann wrote:\n" * n,
    "colons": lambda n: ":\n" * n,
    "from lines": lambda n: "From: a\n" * n,
    "header then blank": lambda n: "From: a\n\n\n\n" * n,
    "pipes": lambda n: "| a\n" * n + "| a |\n",
    "initials": lambda n: "AB> x\n\n" * n,
    "prompts": lambda n: ">>> x\n" * n + "end",
    "blank": lambda n: "\n" * n,
    "blank after wrote": lambda n: "Ann Lee wrote:" + "\n" * n + "x",
    "alternating": lambda n: "> a\nb\n" * n,
    "alternating far": lambda n: "> a\n\nb\n\n" * n,
    "fences": lambda n: "```\n> a\n" * n,
    "marks": lambda n: f"{QUOTE_MARK}a\n" * n + f"{QUOTE_END}\n" * n,
    "open marks": lambda n: f"{QUOTE_MARK}a\n" * n,
    "devices": lambda n: "a\n\nSent from my iPhone\n\n" * n,
    "delimiters": lambda n: "--\n" * n,
    "rules": lambda n: "________\n" * n,
    "closings": lambda n: "Thanks,\n" * n,
    "names": lambda n: "Ann Lee\n" * n,
    "contacts": lambda n: "Tel: 555 0100 200\n" * n,
    "footers": lambda n: "This e-mail is for you.\n\n" * n,
    "shared": lambda n: "x On Wed, Apr 4, 2012 at 3:59 PM, a@example.com wrote:\n> q\n" * n,
    "overflow": lambda n: ("> " + "quoted " * 12 + "\nrest\n") * n,
    "split apart": lambda n: (
        "On Mon, Mar 4, 2024 at 9:15 AM Ann Lee\n> q\n<ann@example.com> wrote:\n" * n
    ),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_work_is_linear(name: str) -> None:
    make = _HOSTILE[name]
    small, large = make(300), make(1200)
    few = _calls_of(lambda: split_reply(small))
    many = _calls_of(lambda: split_reply(large))
    # Four times the text costs four times the work plus a constant; quadratic work would cost
    # sixteen times.
    assert many <= 5 * few + 2000


def test_inline_reply_keeps_the_authors_lines() -> None:
    mail = "Hi Ann,\n\n> Is ten fine?\n\nYes, ten is fine.\n\n> And the place?\n\nYour office.\n"
    split = split_reply(mail)
    assert split.reply == "Hi Ann,\n\nYes, ten is fine.\n\nYour office."
    assert split.quoted == "> Is ten fine?\n\n> And the place?"
    assert split.flags == ("inline_reply",)
    assert [part.kind for part in split.parts] == ["reply", "quoted", "reply", "quoted", "reply"]


def test_bottom_reply() -> None:
    split = split_reply("Ann Lee wrote:\n> Is ten fine?\n\nYes, ten is fine.\n")
    assert split.reply == "Yes, ten is fine."
    assert split.flags == ("inline_reply", "bottom_reply")
    assert split.rules == ("attribution:en",)


def test_inline_reply_with_a_signature_below_and_text_above() -> None:
    mail = (
        "See my answers below.\n\nOn 4 Mar 2024, at 09:15, Ann Lee <ann@example.com> wrote:\n>"
        " Ten?\n\nYes.\n\n> Place?\n\nHere.\n\nBest regards,\nBob\n"
    )
    split = split_reply(mail)
    assert split.reply == "See my answers below.\n\nYes.\n\nHere."
    assert split.signature == "Best regards,\nBob"


def test_top_reply_with_a_signature_below_the_quote_is_no_inline_reply() -> None:
    split = split_reply("Yes.\n\nAnn wrote to us:\n> Ten?\n\n-- \nBob Roe\n")
    assert split.signature == "-- \nBob Roe"
    assert "bottom_reply" not in split.flags
    assert split_reply("Yes.\n\nAnn Lee wrote:\n> Ten?\n\n-- \nBob Roe\n").flags == ()


def test_wrapped_rest_of_a_quoted_line_is_quoted() -> None:
    mail = (
        "Fine.\n\nAnn Lee wrote:\n> We would like to move the meeting to Thursday at ten because"
        " the room is\ntaken.\n> Is that fine?\n"
    )
    assert split_reply(mail).reply == "Fine."


def test_answer_directly_below_a_quoted_line_is_kept() -> None:
    mail = (
        "> We would like to move the meeting to Thursday at ten because of the room, ok?\nyes\n>"
        " And the place?\nyour office\n"
    )
    assert split_reply(mail).reply == "yes\nyour office"


def test_answers_without_blank_lines_stay_separate() -> None:
    split = split_reply("First.\nAnn Lee wrote:\n> Ten?\n\nSecond.\n")
    assert split.reply == "First.\n\nSecond."


def test_code_of_the_author_is_not_a_quote() -> None:
    mail = (
        'Here is the code:\n\n> log("A");\n> log("B");\n> {\n>   "n": 0\n> }\n\nBob\n\n'
        "On 4 Mar 2024, at 9:15, Ann <a@example.com> wrote:\n> x\n"
    )
    split = split_reply(mail)
    assert split.reply.startswith("Here is the code:")
    assert '> log("B");' in split.reply
    assert split.quoted.endswith("> x")


@pytest.mark.parametrize("sign", ["|", "#", "--]", "=>", ":"])
def test_other_prefixes_below_an_attribution_are_quotes(sign: str) -> None:
    mail = (
        f"On Mon, 4 Mar 2024, Ann Lee wrote:\n\n{sign}Is ten fine?\n{sign}Or"
        f" eleven?\n\nTen.\n\n{sign} And where?\n\nHere.\n"
    )
    split = split_reply(mail)
    assert split.reply == "Ten.\n\nHere."
    assert split.flags == ("inline_reply", "bottom_reply")


def test_initials_are_quote_prefixes() -> None:
    split = split_reply("Hello,\n\nAL> Is ten fine?\nAL> Or eleven?\n\nTen.\n")
    assert split.reply == "Hello,\n\nTen."
    assert split.rules == ("sign_quote",)


@pytest.mark.parametrize(
    "line",
    [
        "Quoting Ann Lee (ann@example.com):",
        "Ann Lee stated the following on Thu, Mar 4, 2024 at 03:31:11PM +0100 :",
        "Ann Lee asked:",
        "Ann Lee:",
        "So then, Ann Lee <ann@example.com> is all like:",
        "On Tue, Mar 4, 2024 at 11:38:00PM +0100, Ann Lee mentioned:",
    ],
)
def test_any_introduction_counts_only_above_quoted_lines(line: str) -> None:
    assert split_reply(f"Fine.\n\n{line}\n> Ten?\n").reply == "Fine."
    assert split_reply(f"Fine.\n\n{line}\nTen o'clock is what he said to me.\n").rules == ()


def test_empty_reply_is_flagged() -> None:
    split = split_reply("-----Original Message-----\nFrom: a@example.com\nSubject: x\n\nold\n")
    assert split.reply == ""
    assert split.flags == ("empty_reply",)
    assert split_reply("").flags == ()
    assert split_reply(" \n").flags == ()


def test_forward_is_flagged() -> None:
    split = split_reply(
        "FYI\n\n---------- Forwarded message ---------\nFrom: Ann <a@example.com>\nSubject:"
        " x\n\nold\n"
    )
    assert split.reply == "FYI"
    assert split.flags == ("forwarded",)


def test_text_without_quotes_is_unchanged() -> None:
    split = split_reply("  Just a question:\nwhen do you open?\n")
    assert split == ReplySplit(
        "  Just a question:\nwhen do you open?", "", "", (ReplyPart("reply", 0, 37, ""),), (), ()
    )


def test_html_mark_without_end_quotes_the_rest() -> None:
    split = split_reply(f"Yes.\n{QUOTE_MARK}appendonsend\nold text\nmore\n")
    assert split.reply == "Yes."
    assert split.quoted == "old text\nmore"
    assert split.rules == ("html:appendonsend",)


def test_html_mark_with_end_keeps_the_text_after_it() -> None:
    mark = f"{QUOTE_MARK}blockquote_cite"
    mail = f"Hi,\n{mark}\nTen?\n{QUOTE_END}\nYes.\n{mark}\nPlace?\n{QUOTE_END}\nHere.\n"
    split = split_reply(mail)
    assert split.reply == "Hi,\nYes.\nHere."
    assert split.quoted == "Ten?\nPlace?"
    assert split.flags == ("inline_reply",)


def test_html_mark_after_its_attribution() -> None:
    mail = (
        f"Yes.\n{QUOTE_MARK}gmail_attr\nOn Mon, Mar 4, 2024 at 9:15 AM Ann <ann@example.com>"
        f" wrote:\n{QUOTE_MARK}gmail_quote\nTen?\n{QUOTE_END}\n-- \nBob\n"
    )
    split = split_reply(mail)
    assert split.reply == "Yes."
    assert split.signature == "-- \nBob"
    assert split.rules == ("html:gmail_attr", "signature:delimiter")


def test_html_marks_nest() -> None:
    mail = f"Yes.\n{QUOTE_MARK}a\none\n{QUOTE_MARK}b\ntwo\n{QUOTE_END}\nthree\n{QUOTE_END}\nBye.\n"
    assert split_reply(mail).reply == "Yes.\nBye."


def test_html_header_container_quotes_what_follows_its_end() -> None:
    mail = (
        f"Yes.\n{QUOTE_MARK}divRplyFwdMsg\nVon: Ann\n{QUOTE_END}\nold text that Outlook leaves"
        " outside\n"
    )
    assert split_reply(mail).reply == "Yes."


def test_stray_marks_are_removed_without_a_cut() -> None:
    split = split_reply(f"One {QUOTE_MARK}x two\n{QUOTE_END}\nthree\n")
    assert split.reply == "One quotex two\nthree"
    assert split.rules == ()


@pytest.mark.parametrize(("name", "selector"), QUOTE_SELECTORS)
def test_selectors_are_valid_css(name: str, selector: str) -> None:
    assert LexborHTMLParser("<p>none</p>").css(selector) == []
    assert split_reply(f"a\n{QUOTE_MARK}{name}\nb\n").rules == (f"html:{name}",)


_QUOTES_IN_HTML = {
    "gmail_quote": (
        '<div class="gmail_quote"><div class="gmail_attr">On …</div><blockquote '
        'class="gmail_quote">x</blockquote></div>'
    ),
    "outlook_border": (
        '<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm">x</div>'
    ),
    "blockquote_cite": '<blockquote type="cite">x</blockquote>',
    "divRplyFwdMsg": '<div id="divRplyFwdMsg">x</div>',
    "netease_master": '<div class="J-reply ntes-mailmaster-quote">x</div>',
    "yahoo_quoted": '<div id="yahoo_quoted_123" class="yahoo_quoted">x</div>',
}


@pytest.mark.parametrize("name", _QUOTES_IN_HTML)
def test_selectors_find_the_quote_once(name: str) -> None:
    found = [
        node
        for own, css in QUOTE_SELECTORS
        if own == name
        for node in LexborHTMLParser(_QUOTES_IN_HTML[name]).css(css)
    ]
    assert len(found) == 1


def test_bare_blockquote_is_no_quote() -> None:
    html = LexborHTMLParser("<blockquote>indented by its author</blockquote>")
    assert not any(html.css(selector) for _, selector in QUOTE_SELECTORS)

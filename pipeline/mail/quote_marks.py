"""Marks that keep the quote containers of an HTML mail visible in its rendered text.

The renderer writes a line ``QUOTE_MARK + name`` before a container that a selector below matches
and, where the container has an end of its own (a blockquote, a div around the quote), a line
``QUOTE_END`` after it. Without an end, everything below the mark is quoted unless its lines begin
with ``>``. A mark counts only on a line of its own. A renderer must drop U+E000 from what the
sender typed; otherwise a sender could hide text as a quote.
"""

import re

# U+E000 is a private-use character: no mail program writes it, and no text normalisation changes
# it.
QUOTE_MARK = "\ue000quote\ue000"
QUOTE_END = "\ue000/quote\ue000"

# (name, CSS selector). An element without content (hr, #appendonsend) marks everything after it.
# Gmail puts answers between quoted paragraphs inside its outer div, so the inner blockquote is the
# quote, and the div only where it has no blockquote. Lotus, Roundcube and simple web mailers have
# no container: their quotes are recognised in the text.
QUOTE_SELECTORS: tuple[tuple[str, str], ...] = (
    ("gmail_quote", "blockquote.gmail_quote, div.gmail_quote:not(:has(blockquote))"),
    ("gmail_attr", "div.gmail_attr"),
    ("protonmail_quote", "blockquote.protonmail_quote, div.protonmail_quote:not(:has(blockquote))"),
    (
        "yahoo_quoted",
        "div.yahoo_quoted, div[id^='yahoo_quoted']:not(.yahoo_quoted), blockquote.iosymail",
    ),
    ("appendonsend", "#appendonsend, #x_appendonsend"),
    ("divRplyFwdMsg", "#divRplyFwdMsg, #x_divRplyFwdMsg"),
    ("stopSpelling", "hr#stopSpelling, hr#replySplit"),
    ("outlook_reference", "#mail-editor-reference-message-container"),
    ("outlook_mac", "#OLK_SRC_BODY_SECTION"),
    (
        "outlook_border",
        (
            "div[style*='border-top:solid #E1E1E1'], div[style*='border-top:solid #B5C4DF'],"
            " div[style*='border-top: solid #E1E1E1'], div[style*='border-top: 1pt solid rgb(225,"
            " 225, 225)']"
        ),
    ),
    ("moz-cite-prefix", "div.moz-cite-prefix"),
    ("moz-forward-container", "div.moz-forward-container"),
    ("blockquote_cite", "blockquote[type='cite']"),
    ("tutanota_quote", "blockquote.tutanota_quote"),
    ("zmail_extra", ".zmail_extra, #zmail_extra"),
    ("gmx_quote", "[name='quote']"),
    ("netease_reply", "#isReplyContent, #isForwardContent"),
    ("netease_master", "div.ntes-mailmaster-quote"),
    ("qq_original", "includetail"),
    ("mail139_reply", "#reply139content"),
    ("alimail_quote", "div.alimail-quote"),
    ("lark_quote", "div.history-quote-wrapper"),
)

# After these containers the quote continues: they contain only the header lines, or nothing.
OPEN_ENDED = frozenset({"appendonsend", "divRplyFwdMsg", "stopSpelling", "outlook_border"})

# The length of the name is bounded so that a forged mark cannot hide a paragraph of text.
_MARK_LINE = re.compile(r"[ \t]*\ue000(/?)quote\ue000([\w-]{0,40})\s*")


def parse_quote_mark(line: str) -> str | None:
    """Return the name in a mark line, "" for an end mark, None where the line is not a mark.

    >>> lines = (QUOTE_MARK + "gmail_quote", QUOTE_END, "Hi")
    >>> [parse_quote_mark(line) for line in lines]
    ['gmail_quote', '', None]
    """
    match = _MARK_LINE.fullmatch(line)
    if match is None or (not match[1] and not match[2]):
        return None
    return "" if match[1] else match[2]


def remove_quote_marks(text: str) -> str:
    """Return the text without mark lines and without the private-use character of stray marks."""
    if "\ue000" not in text:
        return text
    lines = [line for line in text.splitlines(keepends=True) if parse_quote_mark(line) is None]
    return "".join(lines).replace("\ue000", "")

"""Marks that carry the quote containers of an HTML mail through its rendering to text.

The renderer writes a line ``QUOTE_MARK + name`` before a container that a selector below finds and,
where the container has an end of its own (a blockquote, a div around the quote), a line
``QUOTE_END`` after it. Without an end everything below the mark is quoted, unless its lines carry
``>``. A mark counts only on a line of its own; anywhere else it cuts nothing. A renderer must drop
U+E000 from what the sender typed, or he could hide his words as a quote.
"""

import re

# U+E000 is a private-use character: no client writes it, and no text normalisation changes it.
QUOTE_MARK = "\ue000quote\ue000"
QUOTE_END = "\ue000/quote\ue000"

# (name, CSS selector). An element without content (hr, #appendonsend) marks all that follows it.
# Gmail puts answers between quoted paragraphs inside its outer div, so the inner blockquote is the
# quote, and the div only where it has none. Lotus, Roundcube and plain web mailers leave no
# container: their quotes are found in the text.
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

# Below these the quote goes on after their container has ended: it holds the header lines only, or
# nothing.
OPEN_ENDED = frozenset({"appendonsend", "divRplyFwdMsg", "stopSpelling", "outlook_border"})

# The name is bounded so that a hostile "mark" cannot hide a paragraph of text.
_MARK_LINE = re.compile(r"[ \t]*\ue000(/?)quote\ue000([\w-]{0,40})\s*")


def read_mark(line: str) -> str | None:
    """Return the name a mark line carries, "" for an end mark, None where the line is no mark."""
    found = _MARK_LINE.fullmatch(line)
    if found is None or (not found[1] and not found[2]):
        return None
    return "" if found[1] else found[2]


def drop_marks(text: str) -> str:
    """Return the text without mark lines and without the private-use character of stray marks."""
    if "\ue000" not in text:
        return text
    lines = [line for line in text.splitlines(keepends=True) if read_mark(line) is None]
    return "".join(lines).replace("\ue000", "")

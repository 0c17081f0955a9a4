"""The source of an HTML mail: its tags, their attributes, and what of it is never shown.

It is read tag by tag, without a tree: time and memory stay linear in the source whatever it nests.
(A tree that follows the HTML standard does not: lexbor needs more than a minute for 100,000 open
divs, and every unclosed font tag is copied into every paragraph after it.)
"""

from __future__ import annotations

import re
from html import unescape


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARAGRAPHS = _names("p h1 h2 h3 h4 h5 h6 blockquote pre dl figure fieldset xmp listing plaintext")
BLOCKS = _names(
    "address article aside body caption center dd details dialog dir div dt figcaption footer form"
    " frameset header hgroup hr html legend li main menu nav ol optgroup option section select"
    " summary table tbody textarea tfoot thead tr ul includetail"
)
INLINE = _names(
    "a abbr acronym area b base bdi bdo big cite code del dfn em font head i ins kbd label map mark"
    " nobr o:p param q s samp small span strike strong sub sup tt u var wbr meta link input button"
)
VOID = _names(
    "area base basefont bgsound br col embed frame hr img input link meta param source track wbr"
)

# Elements whose content is no text to read.
UNREAD = _names("script style title template xml iframe noembed object svg math")

# Neither inside quotes nor outside does a tag hold a "<" here, so no attempt reads further than to
# the next one and the scan is linear; of comments that holds because `tags_and_texts` has seen to
# it that each has an end. A tag whose quotes do not pair ends at the next ">".
_NAME, _COMMENT = r"(/?[a-zA-Z][^\s/<>]*)", r"!--(?:-?>|[^-]*+(?:-(?!->)[^-]*+)*+-->)|[!?/][^<>]*>"
_TAG = re.compile(
    rf"<(?:{_NAME}([^<>\"']*+(?:\"[^\"<]*+\"[^<>\"']*+|'[^'<]*+'[^<>\"']*+)*+(?=>)|[^<>]*)>|{_COMMENT})"
)
# The same where no quoted value holds a ">": half again as fast, and right for nearly every page.
_SIMPLE_TAG = re.compile(rf"<(?:{_NAME}([^<>]*)>|{_COMMENT})")

_UNENDED_TAG = re.compile(r"<[a-zA-Z][\w:-]*\s+[\w:-]+\s*=[^<>]*\Z")
_ATTRIBUTE = re.compile(r"([^\s=\"'/<>]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?")
# A hundred attributes are no tag that a mail program writes, nor is one of 20,000 characters that
# holds no data.
_MAX_ATTRIBUTES, _LONGEST_TAG = 100, 20_000


def tags_and_texts(html: str) -> list[str | None]:
    """Split a page in text, tag, attributes, text, …: one text more than there are tags.

    A tag is its name as written, with "/" before it if it ends an element, or None for a comment or
    a declaration; the attributes are source. A comment that never ends is none: nothing is lost to
    it.
    """
    last = html.rfind("-->") + 1
    if html.find("<!--", last) >= 0:
        html = html[:last] + html[last:].replace("<!--", "")
    cut = html.rfind("<")
    # A tag that was cut with the mail would show its attributes.
    html = html[:cut] if cut >= 0 and _UNENDED_TAG.match(html, cut) else html
    simple: list[str | None] = _SIMPLE_TAG.split(html)
    if any(own.count('"') & 1 or own.count("'") & 1 for own in simple[2::3] if own):
        return list(_TAG.split(html))
    return simple


def parse_attributes(source: str) -> dict[str, str]:
    """Read the attributes of a start tag; names in lower case, the first of a name counts, as
    browsers do.
    """
    found: dict[str, str] = {}
    for number, match in enumerate(_ATTRIBUTE.finditer(source[:_LONGEST_TAG])):
        if number >= _MAX_ATTRIBUTES:
            break
        name, double, single, bare = match.groups()
        value = double or single or bare or ""
        found.setdefault(name.lower(), unescape(value) if "&" in value else value)
    return found

"""Split the source of an HTML mail into tags and text, and parse attributes.

It reads tag by tag, without a tree: time and memory are linear in the source however it is nested.
A parser that follows the HTML standard is not linear: lexbor takes quadratic time for open divs,
and copies every unclosed font tag into each paragraph after it (docs/adr/0021-html-to-text.md).
"""

from __future__ import annotations

import re
from html import unescape


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARAGRAPH_TAGS = _names(
    "p h1 h2 h3 h4 h5 h6 blockquote pre dl figure fieldset xmp listing plaintext"
)
BLOCK_TAGS = _names(
    "address article aside body caption center dd details dialog dir div dt figcaption footer form"
    " frameset header hgroup hr html legend li main menu nav ol optgroup option section select"
    " summary table tbody textarea tfoot thead tr ul includetail"
)
INLINE_TAGS = _names(
    "a abbr acronym area b base bdi bdo big cite code del dfn em font head i ins kbd label map mark"
    " nobr o:p param q s samp small span strike strong sub sup tt u var wbr meta link input button"
)
VOID_TAGS = _names(
    "area base basefont bgsound br col embed frame hr img input link meta param source track wbr"
)

# Elements whose content is not text to read.
UNRENDERED_TAGS = _names("script style title template xml iframe noembed object svg math")

# A tag may contain no "<", inside quotes or outside, so that no match attempt reads beyond the next
# one and the scan is linear. For comments the same holds because `split_tags` makes sure that each
# has an end. A tag with unpaired quotes ends at the next ">".
_NAME, _COMMENT = r"(/?[a-zA-Z][^\s/<>]*+)", r"!--(?:-?>|[^-]*+(?:-(?!->)[^-]*+)*+-->)|[!?/][^<>]*>"
_TAG = re.compile(
    rf"<(?:{_NAME}([^<>\"']*+(?:\"[^\"<]*+\"[^<>\"']*+|'[^'<]*+'[^<>\"']*+)*+(?=>)|[^<>]*)>|{_COMMENT})"
)
# The same for pages where no quoted value contains ">": half again as fast, and right for nearly
# every page.
_SIMPLE_TAG = re.compile(rf"<(?:{_NAME}([^<>]*)>|{_COMMENT})")

_UNENDED_TAG = re.compile(r"<[a-zA-Z][\w:-]*\s+[\w:-]+\s*=[^<>]*\Z")
_ATTRIBUTE = re.compile(r"([^\s=\"'/<>]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?")
# Mail programs write no tag with a hundred attributes, nor one of 20,000 characters without
# embedded data.
_MAX_ATTRIBUTES, _LONGEST_TAG = 100, 20_000


def split_tags(html: str) -> list[str | None]:
    """Split a page into text, tag, attributes, text, …: one text more than there are tags.

    A tag is its name as written, with "/" in front if it ends an element, or None for a comment or
    a declaration. Attributes are unparsed source. The opening of a comment that never ends is
    dropped, so that no text is lost to it.

    >>> split_tags('Hi <b class="x">Ann</b>')
    ['Hi ', 'b', ' class="x"', 'Ann', '/b', '', '']
    """
    last = html.rfind("-->") + 1
    if html.find("<!--", last) >= 0:
        html = html[:last] + html[last:].replace("<!--", "")
    cut = html.rfind("<")
    # A tag that was cut with the mail would show its attributes as text.
    html = html[:cut] if cut >= 0 and _UNENDED_TAG.match(html, cut) else html
    simple: list[str | None] = _SIMPLE_TAG.split(html)
    if any(
        attributes.count('"') & 1 or attributes.count("'") & 1
        for attributes in simple[2::3]
        if attributes
    ):
        return list(_TAG.split(html))
    return simple


def parse_attributes(source: str) -> dict[str, str]:
    """Parse the attributes of a start tag; names in lower case, the first of a name counts.

    >>> parse_attributes('HREF="a?b&amp;c" id=x')
    {'href': 'a?b&c', 'id': 'x'}
    """
    attributes: dict[str, str] = {}
    for number, match in enumerate(_ATTRIBUTE.finditer(source[:_LONGEST_TAG])):
        if number >= _MAX_ATTRIBUTES:
            break
        name, double, single, bare = match.groups()
        value = double or single or bare or ""
        attributes.setdefault(name.lower(), unescape(value) if "&" in value else value)
    return attributes

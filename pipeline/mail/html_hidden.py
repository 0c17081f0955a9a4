"""Find elements of an HTML mail that a reader does not see: hidden ones and preview lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.mail.html_source import BLOCK_TAGS, PARAGRAPH_TAGS, VOID_TAGS, parse_attributes

# An element that was not closed ends where one of these ends around it.
_CONTAINERS = frozenset(
    [
        "body",
        "table",
        "tbody",
        "thead",
        "tfoot",
        "tr",
        "td",
        "th",
        "div",
        "ul",
        "ol",
        "li",
        "blockquote",
        "center",
        "form",
    ]
)
_CELLS = frozenset({"td", "th", "tr"})
_TERMS = frozenset({"dt", "dd"})
_CLOSED_BY_SIBLING = {
    "td": _CELLS,
    "th": _CELLS,
    "tr": frozenset({"tr"}),
    "li": frozenset({"li"}),
    "dt": _TERMS,
    "dd": _TERMS,
    "option": frozenset({"option"}),
    "p": BLOCK_TAGS | PARAGRAPH_TAGS,
}

# No quantifier of these gives back what it took: a style of blanks would be read once for each.
_HIDES = re.compile(
    r"display\s*+:\s*+none|mso-hide\s*+:\s*+all|opacity\s*+:\s*+0?+\.?+0*+\s*+(?:;|!|$)"
    r"|max-height\s*+:\s*+0(?:px|pt|em|%)?+\s*+(?:;|!|$)",
    re.IGNORECASE,
)
_FADES = re.compile(
    r"visibility\s*+:\s*+hidden"
    r"|font-size\s*+:\s*+0*+\.?+0*+(?:px|pt|em|rem|%)?+\s*+(?:;|!|$)",
    re.IGNORECASE,
)
_SHOWS = re.compile(
    r"visibility\s*+:\s*+visible|font(?:-size)?+\s*+:[^;1-9a-z]*+[1-9a-z]", re.IGNORECASE
)
_PREHEADER = re.compile(r"pre-?header|preview-?text", re.IGNORECASE)
# A page without any of these words matches none of the patterns above.
_HIDING_WORDS = (
    "hidden",
    "visibility",
    "mso-hide",
    "opacity",
    "max-height",
    "preheader",
    "pre-header",
    "preview",
)


@dataclass(slots=True)
class HiddenElement:
    """The open tags inside a hidden element, which is the first of them.

    `may_reappear` says that an inner element can be visible again (visibility, font size).
    """

    may_reappear: bool
    open_tags: list[str]
    counts: dict[str, int] = field(default_factory=dict)

    def advance(self, tag: str, attributes: str) -> bool:
        """Process the next tag; return False where the text after it is visible again."""
        if tag in VOID_TAGS:
            return True
        if tag.startswith("/"):
            return self._close(tag[1:])
        if (
            self.may_reappear
            and attributes
            and _shows(parse_attributes(attributes).get("style", ""))
        ):
            return False
        if len(self.open_tags) == 1 and tag in _CLOSED_BY_SIBLING.get(self.open_tags[0], ()):
            return False
        self.open_tags.append(tag)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        return True

    def _close(self, tag: str) -> bool:
        if not self.counts.get(tag):
            return tag not in _CONTAINERS
        while self.open_tags:
            top = self.open_tags.pop()
            self.counts[top] -= 1
            if top == tag:
                break
        return bool(self.open_tags)


def page_may_hide_text(attributes: str) -> bool:
    """Return whether any element of a page may be hidden, by the attributes of all its tags.

    A cheap test; most pages answer no.
    """
    lower = attributes.lower()
    if "display" in lower and "none" in lower:
        return True
    if "font-size" in lower and (":0" in lower or ": 0" in lower):
        return True
    return any(word in lower for word in _HIDING_WORDS)


def attributes_may_hide(attributes: str) -> bool:
    """Return whether attributes contain anything that can hide an element; cheap, may be wrong."""
    lower = attributes.lower()
    return (
        "none" in lower
        or "hid" in lower
        or ":0" in lower
        or ": 0" in lower
        or ":." in lower
        or "header" in lower
        or "preview" in lower
    )


def open_hidden_element(tag: str, source: str) -> HiddenElement | None:
    """Return the state of the hidden element that a start tag opens; None if it is visible."""
    attributes = parse_attributes(source)
    style = attributes.get("style", "")
    names = f"{attributes.get('class', '')} {attributes.get('id', '')}"
    may_reappear = False
    if "hidden" not in attributes and not _HIDES.search(style) and not _PREHEADER.search(names):
        may_reappear = _FADES.search(style) is not None and not _shows(style)
        if not may_reappear:
            return None
    return HiddenElement(may_reappear, [tag], {tag: 1})


def _shows(style: str) -> bool:
    return _SHOWS.search(_FADES.sub(";", style)) is not None

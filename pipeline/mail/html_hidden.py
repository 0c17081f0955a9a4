"""Which elements of an HTML mail a reader does not see: hidden by style or attribute, or the
preview line of a newsletter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.mail.html_source import BLOCKS, PARAGRAPHS, VOID, parse_attributes

# An element that is left open ends where one of these ends around it.
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
    "td": _CELLS, "th": _CELLS, "tr": frozenset({"tr"}), "li": frozenset({"li"}), "dt": _TERMS, "dd": _TERMS,
    "option": frozenset({"option"}), "p": BLOCKS | PARAGRAPHS,
}  # fmt: skip

_HIDES = re.compile(
    r"display\s*:\s*none|mso-hide\s*:\s*all|opacity\s*:\s*0?\.?0*\s*(?:;|!|$)|max-height\s*:\s*0(?:px|pt|em|%)?\s*(?:;|!|$)",
    re.IGNORECASE,
)
_FADES = re.compile(
    r"visibility\s*:\s*hidden|font-size\s*:\s*0*\.?0*(?:px|pt|em|rem|%)?\s*(?:;|!|$)", re.IGNORECASE
)
_SHOWS = re.compile(r"visibility\s*:\s*visible|font(?:-size)?\s*:\s*[^;]*[1-9a-z]", re.IGNORECASE)
_PREHEADER = re.compile(r"pre-?header|preview-?text", re.IGNORECASE)
# Words that one of the patterns above needs.
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
class Hidden:
    """The open elements inside a hidden one, which is the first; `faded` if an inner element may be
    visible again.
    """

    faded: bool
    stack: list[str]
    counts: dict[str, int] = field(default_factory=dict)

    def stays(self, tag: str, attributes: str) -> bool:
        """Follow a tag inside the hidden element; return False where the reader sees again what
        comes next.
        """
        if tag in VOID:
            return True
        if tag.startswith("/"):
            return self._closed(tag[1:])
        if self.faded and attributes and _shows(parse_attributes(attributes).get("style", "")):
            return False
        if len(self.stack) == 1 and tag in _CLOSED_BY_SIBLING.get(self.stack[0], ()):
            return False
        self.stack.append(tag)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        return True

    def _closed(self, tag: str) -> bool:
        if not self.counts.get(tag):
            return tag not in _CONTAINERS
        while self.stack:
            top = self.stack.pop()
            self.counts[top] -= 1
            if top == tag:
                break
        return bool(self.stack)


def page_may_hide(attributes: str) -> bool:
    """Tell by the attributes of all its tags whether any element of a page may be hidden; most
    pages answer no.
    """
    lower = attributes.lower()
    if "display" in lower and "none" in lower:
        return True
    if "font-size" in lower and (":0" in lower or ": 0" in lower):
        return True
    return any(word in lower for word in _HIDING_WORDS)


def may_hide(attributes: str) -> bool:
    """Tell whether attributes hold anything that can hide an element: cheap and generous."""
    own = attributes.lower()
    return (
        "none" in own
        or "hid" in own
        or ":0" in own
        or ": 0" in own
        or ":." in own
        or "header" in own
        or "preview" in own
    )


def hidden_element(tag: str, source: str) -> Hidden | None:
    """Return the state of a hidden element that a start tag opens, or None where it is visible."""
    attributes = parse_attributes(source)
    style = attributes.get("style", "")
    named = f"{attributes.get('class', '')} {attributes.get('id', '')}"
    faded = False
    if "hidden" not in attributes and not _HIDES.search(style) and not _PREHEADER.search(named):
        faded = _FADES.search(style) is not None and not _shows(style)
        if not faded:
            return None
    return Hidden(faded, [tag], {tag: 1})


def _shows(style: str) -> bool:
    return _SHOWS.search(_FADES.sub(";", style)) is not None

"""Find the quote containers of an HTML mail by their start tags, with simple CSS selectors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.mail.html_source import VOID_TAGS, parse_attributes
from pipeline.mail.quote_marks import QUOTE_SELECTORS

_COMPOUND = re.compile(
    r"\s*+([a-zA-Z][\w-]*+)?((?:#[\w-]+|\.[\w-]+|\[[\w-]+[\^*]?='[^']*'\]|:not\(:has\([a-z]+\)\)|:not\(\.[\w-]+\))*+)\s*+(?:,|$)"
)
_CONDITION = re.compile(
    r"#(?P<id>[\w-]+)|:not\(:has\((?P<excluded_tag>[a-z]+)\)\)|:not\(\.(?P<no_class>[\w-]+)\)|\.(?P<cls>[\w-]+)"
    r"|\[(?P<attr>[\w-]+)(?P<op>[\^*]?)='(?P<value>[^']*)'\]"
)


@dataclass(frozen=True, slots=True)
class _CssSelector:
    """A compound selector; `excluded_tag` is a tag that the container must not contain, or ""."""

    name: str
    tag: str
    conditions: tuple[tuple[str, str, str], ...]
    excluded_tag: str

    def matches(self, tag: str, attributes: dict[str, str]) -> bool:
        if self.tag and self.tag != tag:
            return False
        return all(
            _condition_holds(kind, key, value, attributes) for kind, key, value in self.conditions
        )


def _condition_holds(kind: str, key: str, value: str, attributes: dict[str, str]) -> bool:
    if kind == "cls":
        return value in attributes.get("class", "").split()
    if kind == "no_class":
        return value not in attributes.get("class", "").split()
    actual = attributes.get(key)
    if actual is None:
        return False
    if kind == "*":
        return value in actual
    return actual.startswith(value) if kind == "^" else actual == value


def _compile_selectors(name: str, css: str) -> list[_CssSelector]:
    selectors: list[_CssSelector] = []
    position = 0
    while position < len(css):
        compound = _COMPOUND.match(css, position)
        if compound is None or compound.end() == position or not (compound[1] or compound[2]):
            raise ValueError(
                f"quote selector {name!r}: cannot parse {css[position:]!r}; add this kind of CSS"
                " to pipeline/mail/html_quotes.py"
            )
        position = compound.end()
        conditions: list[tuple[str, str, str]] = []
        excluded_tag = ""
        for condition in _CONDITION.finditer(compound[2]):
            if condition["id"]:
                conditions.append(("=", "id", condition["id"]))
            elif condition["cls"]:
                conditions.append(("cls", "class", condition["cls"]))
            elif condition["no_class"]:
                conditions.append(("no_class", "class", condition["no_class"]))
            elif condition["excluded_tag"]:
                excluded_tag = condition["excluded_tag"]
            else:
                conditions.append((condition["op"] or "=", condition["attr"], condition["value"]))
        selectors.append(
            _CssSelector(name, (compound[1] or "").lower(), tuple(conditions), excluded_tag)
        )
    return selectors


_SELECTORS = tuple(
    selector for name, css in QUOTE_SELECTORS for selector in _compile_selectors(name, css)
)
# Tags that are quote containers by their name alone.
_BARE_TAGS = frozenset(selector.tag for selector in _SELECTORS if not selector.conditions)


def _shortest(values: set[str]) -> tuple[str, ...]:
    return tuple(
        sorted(v for v in values if not any(other != v and other in v for other in values))
    )


def _source_forms(value: str) -> set[str]:
    """Return the strings of which the source must contain one for an attribute value to match.

    A plain word is searched with the quote or equals sign around it.
    """
    for common in ("_quote", "-quote", "border-top", "moz-"):
        if common in value:
            return {common}
    return {value} if len(value) >= _DISTINCT else {f'"{value}"', f"'{value}'", f"={value}"}


# Names of this length or more do not occur in prose ("cite" and "quote" do).
_DISTINCT = 6

# The source of a start tag must contain one of these for any selector to match; nearly all tags and
# most pages contain none.
_HINTS = _shortest(
    {
        text
        for selector in _SELECTORS
        for kind, _, value in selector.conditions
        if kind != "no_class"
        for text in _source_forms(value)
    }
)


# Tags that mail programs use as containers, where a selector names none.
_CONTAINER_TAGS = frozenset(
    {"div", "blockquote", "span", "p", "section", "article", "table", "hr", "font"}
) | frozenset(selector.tag for selector in _SELECTORS if selector.tag)

# The hints grouped by a word that all of a group contain: one search for each word, not one for
# each hint.
_PROBES = tuple(
    (probe, tuple(hint for hint in _HINTS if hint.strip("=\"'") == probe))
    for probe in sorted({hint.strip("=\"'") for hint in _HINTS})
)

MARK_DELIMITER = "\x04"
"""Encloses the number of a mark in rendered text, and "/" where a quote ends."""

# A newsletter has no quotes, a long thread some dozens. More are noise or an attack, and the first
# one decides where a mail is cut.
_MAX_MARKS, _MAX_OPEN = 100, 12


@dataclass(slots=True)
class _QuoteContainer:
    """An open quote container: the number of its mark, and how many of its tag are open in it."""

    tag: str
    name: str
    number: int
    excluded_tag: str
    has_excluded_tag: bool = False
    open_count: int = 1


@dataclass(slots=True)
class QuoteMarks:
    """The quote marks of a page by the index of the tag that they precede.

    `names` are the container names by number, "" where it turned out to be no quote; `marks_at_end`
    closes what the page left open.
    """

    marks_by_tag: dict[int, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    marks_at_end: str = ""
    open_containers: list[_QuoteContainer] = field(default_factory=list)

    def open_container(self, index: int, tag: str, name: str, excluded_tag: str) -> None:
        """Record a container; one with an excluded tag gets its name only when it ends."""
        self.names.append("" if excluded_tag else name)
        number = len(self.names) - 1
        self.marks_by_tag[index] = _mark(str(number))
        if tag not in VOID_TAGS:
            self.open_containers.append(_QuoteContainer(tag, name, number, excluded_tag))

    def close_tag(self, tag: str) -> str:
        """Return the end marks of the containers that an end tag closes."""
        for index, container in enumerate(self.open_containers):
            container.open_count -= container.tag == tag
            if container.open_count == 0:
                ends = "".join(map(self._end_mark, reversed(self.open_containers[index:])))
                del self.open_containers[index:]
                return ends
        return ""

    def close_all(self) -> None:
        """Close the containers that the page left open."""
        self.marks_at_end = "".join(map(self._end_mark, reversed(self.open_containers)))

    def _end_mark(self, container: _QuoteContainer) -> str:
        if container.excluded_tag:
            if container.has_excluded_tag:
                return ""
            self.names[container.number] = container.name
        return _mark("/")


def _mark(content: str) -> str:
    return f"\x01{MARK_DELIMITER}{content}{MARK_DELIMITER}\x01"


def find_quote_containers(tags: list[str], attributes: list[str]) -> QuoteMarks:
    """Find the quote containers among the tags ("div", "/div") of a page."""
    marks = QuoteMarks()
    source = " ".join(
        [own for tag, own in zip(tags, attributes, strict=True) if own and tag in _CONTAINER_TAGS]
    )
    hints = tuple(
        hint for probe, group in _PROBES if probe in source for hint in group if hint in source
    )
    bare = _BARE_TAGS.intersection(tags)
    if not hints and not bare:
        return marks
    for index, (tag, own) in enumerate(zip(tags, attributes, strict=True)):
        if marks.open_containers:
            _update_open_containers(marks, index, tag)
        may_begin = tag in bare or (own and tag in _CONTAINER_TAGS)
        if may_begin and len(marks.names) < _MAX_MARKS and len(marks.open_containers) < _MAX_OPEN:
            container = _match_container(tag, own, hints)
            if container is not None:
                marks.open_container(index, tag, *container)
    marks.close_all()
    return marks


def _update_open_containers(marks: QuoteMarks, index: int, tag: str) -> None:
    if tag.startswith("/"):
        ends = marks.close_tag(tag[1:])
        if ends:
            marks.marks_by_tag[index] = ends
        return
    for container in marks.open_containers:
        container.has_excluded_tag = container.has_excluded_tag or container.excluded_tag == tag
        container.open_count += container.tag == tag


def _match_container(tag: str, attributes: str, hints: tuple[str, ...]) -> tuple[str, str] | None:
    """Return name and excluded tag of the quote container that a start tag opens, or None."""
    if tag not in _BARE_TAGS and not any(hint in attributes for hint in hints):
        return None
    own = parse_attributes(attributes)
    for selector in _SELECTORS:
        if selector.matches(tag, own):
            return selector.name, selector.excluded_tag
    return None

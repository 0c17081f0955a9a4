"""Finds the quote containers of an HTML mail by their start tags: a few kinds of CSS selector,
matched without a tree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.mail.html_source import VOID, parse_attributes
from pipeline.mail.quote_marks import QUOTE_SELECTORS

_COMPOUND = re.compile(
    r"\s*([a-zA-Z][\w-]*)?((?:#[\w-]+|\.[\w-]+|\[[\w-]+[\^*]?='[^']*'\]|:not\(:has\([a-z]+\)\)|:not\(\.[\w-]+\))*)\s*(?:,|$)"
)
_CONDITION = re.compile(
    r"#(?P<id>[\w-]+)|:not\(:has\((?P<no_inner>[a-z]+)\)\)|:not\(\.(?P<no_class>[\w-]+)\)|\.(?P<cls>[\w-]+)"
    r"|\[(?P<attr>[\w-]+)(?P<op>[\^*]?)='(?P<value>[^']*)'\]"
)


@dataclass(frozen=True, slots=True)
class _Selector:
    """One compound selector; `no_inner` is an element that the container must not hold, "" for
    none.
    """

    name: str
    tag: str
    conditions: tuple[tuple[str, str, str], ...]
    no_inner: str

    def matches(self, tag: str, attributes: dict[str, str]) -> bool:
        if self.tag and self.tag != tag:
            return False
        return all(_holds(kind, key, value, attributes) for kind, key, value in self.conditions)


def _holds(kind: str, key: str, value: str, attributes: dict[str, str]) -> bool:
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


def _compiled(name: str, css: str) -> list[_Selector]:
    selectors: list[_Selector] = []
    position = 0
    while position < len(css):
        compound = _COMPOUND.match(css, position)
        if compound is None or compound.end() == position or not (compound[1] or compound[2]):
            raise ValueError(
                f"quote selector {name!r}: cannot read {css[position:]!r}; teach htmlquotes this"
                " kind of CSS"
            )
        position = compound.end()
        conditions: list[tuple[str, str, str]] = []
        no_inner = ""
        for condition in _CONDITION.finditer(compound[2]):
            if condition["id"]:
                conditions.append(("=", "id", condition["id"]))
            elif condition["cls"]:
                conditions.append(("cls", "class", condition["cls"]))
            elif condition["no_class"]:
                conditions.append(("no_class", "class", condition["no_class"]))
            elif condition["no_inner"]:
                no_inner = condition["no_inner"]
            else:
                conditions.append((condition["op"] or "=", condition["attr"], condition["value"]))
        selectors.append(_Selector(name, (compound[1] or "").lower(), tuple(conditions), no_inner))
    return selectors


_SELECTORS = tuple(selector for name, css in QUOTE_SELECTORS for selector in _compiled(name, css))
# Elements that are containers by their name alone.
_BARE_TAGS = frozenset(selector.tag for selector in _SELECTORS if not selector.conditions)


def _shortest(values: set[str]) -> tuple[str, ...]:
    return tuple(
        sorted(v for v in values if not any(other != v and other in v for other in values))
    )


def _written(value: str) -> set[str]:
    """Return what source must hold for a value to stand in it; a plain word is sought with the sign
    before or around it.
    """
    for common in ("_quote", "-quote", "border-top", "moz-"):
        if common in value:
            return {common}
    return {value} if len(value) >= _DISTINCT else {f'"{value}"', f"'{value}'", f"={value}"}


# Longer names do not turn up in prose ("cite" and "quote" do).
_DISTINCT = 6

# What the source of a start tag must hold for any selector to match it; nearly all tags and most
# pages hold none of these.
_HINTS = _shortest(
    {
        text
        for selector in _SELECTORS
        for kind, _, value in selector.conditions
        if kind != "no_class"
        for text in _written(value)
    }
)


# Elements that mailers make containers of, where a selector names none.
_CONTAINER_TAGS = frozenset(
    {"div", "blockquote", "span", "p", "section", "article", "table", "hr", "font"}
) | frozenset(selector.tag for selector in _SELECTORS if selector.tag)

# The hints by a word that all of a group hold: one search for each word, not for each hint.
_PROBES = tuple(
    (probe, tuple(hint for hint in _HINTS if hint.strip("=\"'") == probe))
    for probe in sorted({hint.strip("=\"'") for hint in _HINTS})
)

MARK = "\x04"
"""Stands around a mark's number in rendered text, and around "/" where a quote ends."""

# A newsletter has no quotes, a long thread some dozen; more are noise or an attack, and the first
# is where a mail is cut.
_MAX_MARKS, _MAX_OPEN = 100, 12


@dataclass(slots=True)
class _Container:
    """An open quote container: the number of its mark, and how many of its tag are open in it,
    itself included.
    """

    tag: str
    name: str
    number: int
    no_inner: str
    spoilt: bool = False
    level: int = 1


@dataclass(slots=True)
class QuoteMarks:
    """Marks by the tag before which they stand, what closes the page, and the names by number ("":
    no quote after all).
    """

    signs: dict[int, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    closing: str = ""
    open: list[_Container] = field(default_factory=list)

    def begin(self, index: int, tag: str, name: str, no_inner: str) -> None:
        """Note a container; if it must not hold some element, its name waits for its end."""
        self.names.append("" if no_inner else name)
        number = len(self.names) - 1
        self.signs[index] = _mark(str(number))
        if tag not in VOID:
            self.open.append(_Container(tag, name, number, no_inner))

    def end(self, tag: str) -> str:
        """Return the marks of the containers that an end tag closes."""
        for index, container in enumerate(self.open):
            container.level -= container.tag == tag
            if container.level == 0:
                ends = "".join(map(self._ended, reversed(self.open[index:])))
                del self.open[index:]
                return ends
        return ""

    def finish(self) -> None:
        """Close what the page left open."""
        self.closing = "".join(map(self._ended, reversed(self.open)))

    def _ended(self, container: _Container) -> str:
        if container.no_inner:
            if container.spoilt:
                return ""
            self.names[container.number] = container.name
        return _mark("/")


def _mark(content: str) -> str:
    return f"\x01{MARK}{content}{MARK}\x01"


def mark_quotes(tags: list[str], attributes: list[str]) -> QuoteMarks:
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
        if marks.open:
            _follow(marks, index, tag)
        may_begin = tag in bare or (own and tag in _CONTAINER_TAGS)
        if may_begin and len(marks.names) < _MAX_MARKS and len(marks.open) < _MAX_OPEN:
            found = _container(tag, own, hints)
            if found is not None:
                marks.begin(index, tag, *found)
    marks.finish()
    return marks


def _follow(marks: QuoteMarks, index: int, tag: str) -> None:
    if tag.startswith("/"):
        ends = marks.end(tag[1:])
        if ends:
            marks.signs[index] = ends
        return
    for container in marks.open:
        container.spoilt = container.spoilt or container.no_inner == tag
        container.level += container.tag == tag


def _container(tag: str, attributes: str, hints: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the name of the quote container that a start tag opens, and the element it must not
    hold ("" for none).
    """
    if tag not in _BARE_TAGS and not any(hint in attributes for hint in hints):
        return None
    own = parse_attributes(attributes)
    for selector in _SELECTORS:
        if selector.matches(tag, own):
            return selector.name, selector.no_inner
    return None

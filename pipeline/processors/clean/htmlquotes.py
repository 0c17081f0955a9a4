"""Finds the quote containers of an HTML mail by their start tags: a few kinds of CSS selector, matched without a tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

from pipeline.processors.clean.reply import QUOTE_SELECTORS

_ATTRIBUTE = re.compile(r"([^\s=\"'/<>]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?")
_COMPOUND = re.compile(
    r"\s*([a-zA-Z][\w-]*)?((?:#[\w-]+|\.[\w-]+|\[[\w-]+[\^*]?='[^']*'\]|:not\(:has\([a-z]+\)\)|:not\(\.[\w-]+\))*)\s*(?:,|$)"
)
_CONDITION = re.compile(
    r"#(?P<id>[\w-]+)|:not\(:has\((?P<no_inner>[a-z]+)\)\)|:not\(\.(?P<no_class>[\w-]+)\)|\.(?P<cls>[\w-]+)"
    r"|\[(?P<attr>[\w-]+)(?P<op>[\^*]?)='(?P<value>[^']*)'\]"
)
# A hundred attributes are no tag that a mail program writes.
_MAX_ATTRIBUTES = 100


def parse_attributes(source: str) -> dict[str, str]:
    """Read the attributes of a start tag; names in lower case, the first of a name counts, as browsers do."""
    found: dict[str, str] = {}
    for number, match in enumerate(_ATTRIBUTE.finditer(source)):
        if number >= _MAX_ATTRIBUTES:
            break
        name, double, single, bare = match.groups()
        value = double or single or bare or ""
        found.setdefault(name.lower(), unescape(value) if "&" in value else value)
    return found


@dataclass(frozen=True, slots=True)
class _Selector:
    """One compound selector; `no_inner` is an element that the container must not hold, "" for none."""

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
                f"quote selector {name!r}: cannot read {css[position:]!r}; teach htmlquotes this kind of CSS"
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
_BARE_TAGS = frozenset(selector.tag for selector in _SELECTORS if not selector.conditions)
# What the source of a page must hold for any selector to match; nearly all start tags are passed over by it.
_HINT = re.compile(
    "|".join(
        sorted(
            {
                re.escape(value)
                for selector in _SELECTORS
                for kind, _, value in selector.conditions
                if kind != "no_class"
            }
            | {f"<{tag}" for tag in _BARE_TAGS},
            key=lambda value: (-len(value), value),
        )
    )
)


def may_hold_quotes(html: str) -> bool:
    """Tell whether a page holds anything that the selectors look for."""
    return _HINT.search(html) is not None


def quote_container(tag: str, source: str) -> tuple[str, str] | None:
    """Return the name of the quote container that a start tag opens, and the element it must not hold ("" for none)."""
    if tag not in _BARE_TAGS and _HINT.search(source) is None:
        return None
    attributes = parse_attributes(source)
    for selector in _SELECTORS:
        if selector.matches(tag, attributes):
            return selector.name, selector.no_inner
    return None

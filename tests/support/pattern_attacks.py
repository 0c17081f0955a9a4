"""Find every compiled regular expression of a package, and derive texts that may make it slow."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import FunctionType, ModuleType
from typing import Any

from tests.support.hostile_texts import Family

# A quantifier with a smaller maximum cannot be repeated long enough to matter.
_MIN_REPEATS = 16
# Characters that are tried where a class accepts several.
_PROBES = "a 0-.,@\n<>\"'=:;\t()/\\A_我+%?!\xa0é"
# Units of one quantifier, and texts of one pattern: the first are the shortest and most general.
_MOST_UNITS = 6
# What ends a text: a character of no class, nothing, and what negated classes often exclude.
_ENDS = ("\x01", "", ".", "<\n@")
# Deep enough for tables of tables of patterns.
_MOST_CONTAINERS = 4

_SCANS: Mapping[str, Callable[[re.Pattern[Any], Any], object]] = {
    "search": lambda pattern, text: pattern.search(text),
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "finditer": lambda pattern, text: sum(1 for _ in pattern.finditer(text)),
}
_SAME_SCAN = {"findall": "finditer", "sub": "finditer", "subn": "finditer", "split": "finditer"}


@dataclass(frozen=True)
class FoundPattern:
    """A pattern of the tree: where it is, and the scans that its module does with it.

    `scans` are all of them where the module does not show which.
    """

    name: str
    pattern: re.Pattern[Any]
    scans: tuple[str, ...]

    def run(self, text: str) -> None:
        """Scan a text in every way that the module does."""
        source: Any = text
        if isinstance(self.pattern.pattern, bytes):
            source = text.encode("utf-8", "surrogatepass")
        for scan in self.scans:
            _SCANS[scan](self.pattern, source)


def find_patterns(package: str) -> list[FoundPattern]:
    """Import every module of a package and return its patterns, each once."""
    root = importlib.import_module(package)
    names = [package]
    names += [
        module.name
        for module in pkgutil.walk_packages(root.__path__, f"{package}.")
        if not module.name.endswith("__main__")
    ]
    found: dict[tuple[object, int], FoundPattern] = {}
    for name in names:
        module = importlib.import_module(name)
        used = _used_scans(module)
        for variable, value in vars(module).items():
            if variable == "__builtins__" or _is_imported(value, name):
                continue
            for pattern in _patterns_in(value, _MOST_CONTAINERS):
                found.setdefault(
                    (pattern.pattern, pattern.flags),
                    FoundPattern(
                        f"{name}.{variable}", pattern, tuple(used.get(variable) or _SCANS)
                    ),
                )
        for line, scan, pattern in _inline_patterns(module):
            if any(pattern.pattern == text for text, _flags in found):
                continue
            found.setdefault(
                (pattern.pattern, pattern.flags),
                FoundPattern(
                    f"{name}:{line}", pattern, (scan,) if scan in _SCANS else tuple(_SCANS)
                ),
            )
    return list(found.values())


def _is_imported(value: object, name: str) -> bool:
    return isinstance(value, (type, FunctionType)) and value.__module__ != name


def _patterns_in(value: object, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _patterns_in(key, depth - 1)
            yield from _patterns_in(item, depth - 1)
    elif depth and isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from _patterns_in(item, depth - 1)
    elif depth and is_dataclass(value) and not isinstance(value, type):
        for field in getattr(value, "__dataclass_fields__", {}):
            yield from _patterns_in(getattr(value, field, None), depth - 1)
    elif depth and isinstance(value, type):
        yield from _patterns_in(dict(vars(value)), depth - 1)
    elif depth and isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                yield from _patterns_in(cell.cell_contents, depth - 1)
            except ValueError:
                continue
    elif (
        depth
        and hasattr(value, "cache_info")
        and callable(value)
        and not inspect.signature(value).parameters
    ):
        # A cached function without parameters may build a pattern or a table of them.
        yield from _patterns_in(value(), depth - 1)


def _source_tree(module: ModuleType) -> ast.AST | None:
    path = getattr(module, "__file__", None)
    return ast.parse(Path(path).read_text(encoding="utf-8")) if path else None


def _used_scans(module: ModuleType) -> Mapping[str, Sequence[str]]:
    """Return the scans of each variable, if all its uses are calls of scans."""
    tree = _source_tree(module)
    if tree is None:
        return {}
    calls: dict[str, dict[str, None]] = defaultdict(dict)
    loads: dict[str, int] = defaultdict(int)
    known: dict[str, int] = defaultdict(int)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            loads[node.id] += 1
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            scan = _SAME_SCAN.get(node.attr, node.attr)
            if scan in _SCANS:
                calls[node.value.id][scan] = None
                known[node.value.id] += 1
    return {name: tuple(scans) for name, scans in calls.items() if known[name] == loads[name]}


def _inline_patterns(module: ModuleType) -> Iterator[tuple[int, str, re.Pattern[Any]]]:
    """Yield patterns of calls such as `re.sub("…", …)` with a literal."""
    tree = _source_tree(module)
    for node in ast.walk(tree) if tree is not None else ():
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, (str, bytes))
        ):
            scan = _SAME_SCAN.get(node.func.attr, node.func.attr)
            yield node.lineno, scan, re.compile(node.args[0].value)


# ---- texts from a pattern


def pattern_attacks(pattern: re.Pattern[Any]) -> list[Family]:
    """Return texts that repeat what the quantifiers of a pattern accept, each once.

    >>> texts = pattern_attacks(re.compile("x[ab]*c"))
    >>> sorted({(text.start, text.unit, text.end) for text in texts})[:3]
    [('', 'a', ''), ('', 'a', '\\x01'), ('', 'a', '.')]
    """
    source = pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    flags = pattern.flags & ~re.UNICODE if isinstance(source, bytes) else pattern.flags
    tree = parser.parse(text, flags & ~re.DEBUG)
    attacks: dict[tuple[str, str, str], None] = {}
    for start, unit in _attacks(list(tree), "", True):
        if unit:
            for end in _ENDS:
                attacks.setdefault((start, unit, end))
    return [
        Family(f"{start[-30:]!a}+{unit[:30]!a}*+{end!a}", unit, start, end)
        for start, unit, end in attacks
    ]


def _attacks(nodes: list[Any], before: str, top: bool) -> Iterator[tuple[str, str]]:
    for index, (op, value) in enumerate(nodes):
        prefix = _example(nodes[:index], 0)
        here = before + prefix
        if top and prefix:
            yield "", prefix
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            _, most, inner = value
            if most >= _MIN_REPEATS:
                units = dict.fromkeys(_example(inner, variant) for variant in range(_MOST_UNITS))
                for unit in units:
                    yield here, unit
                    yield "", unit
                    if here:
                        yield "", here + unit
            yield from _attacks(list(inner), here, False)
        elif op is ops.SUBPATTERN:
            yield from _attacks(list(value[-1]), here, top)
        elif op is ops.BRANCH:
            for branch in value[1]:
                yield from _attacks(list(branch), here, top)
        elif op is ops.ATOMIC_GROUP:
            yield from _attacks(list(value), here, top)
        elif op in (ops.ASSERT, ops.ASSERT_NOT):
            yield from _attacks(list(value[1]), here, False)
    if top:
        yield "", _example(nodes, 0)


def _example(nodes: Any, variant: int) -> str:
    """Return a text that the nodes accept; the variant chooses characters and branches."""
    text = ""
    for op, value in nodes:
        if op is ops.LITERAL:
            text += chr(value)
        elif op is ops.NOT_LITERAL:
            text += next(char for char in _PROBES[variant:] + _PROBES if ord(char) != value)
        elif op is ops.ANY:
            text += _PROBES[variant]
        elif op is ops.IN:
            text += _member(value, variant)
        elif op is ops.BRANCH:
            text += _example(value[1][variant % len(value[1])], variant)
        elif op is ops.SUBPATTERN:
            text += _example(value[-1], variant)
        elif op is ops.ATOMIC_GROUP:
            text += _example(value, variant)
        elif op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            least, most, inner = value
            text += _example(inner, variant) * min(max(least, 1 if variant % 2 == 0 else 0), most)
    return text


def _member(items: list[Any], variant: int) -> str:
    accepted = [char for char in _PROBES if _accepts(items, char)]
    for op, value in items:
        if op is ops.LITERAL:
            accepted.append(chr(value))
        elif op is ops.RANGE:
            accepted.append(chr(value[0]))
    return accepted[variant % len(accepted)] if accepted else "a"


def _accepts(items: list[Any], char: str) -> bool:
    negated = bool(items) and items[0][0] is ops.NEGATE
    code = ord(char)
    found = any(
        (op is ops.LITERAL and code == value)
        or (op is ops.RANGE and value[0] <= code <= value[1])
        or (op is ops.CATEGORY and _in_category(value, char))
        for op, value in items
    )
    return found != negated


def _in_category(category: Any, char: str) -> bool:
    name = str(category).removeprefix("CATEGORY_")
    kind = name.removeprefix("NOT_")
    inside = {
        "DIGIT": char.isdigit(),
        "SPACE": char.isspace(),
        "WORD": char.isalnum() or char == "_",
    }.get(kind, False)
    return inside != name.startswith("NOT_")

"""The files, modules and classes that the documentation names exist in this tree."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
PAGES = [
    *DECISIONS,
    *sorted((ROOT / "docs" / "guide").glob("*.md")),
    *(ROOT / name for name in ("CONTRIBUTING.md", "README.md", "docs/glossary.md")),
]
# Folders with sources, where a name in the documentation may come from.
SOURCES = ("pipeline", "schemas", "tests", "bench", "deploy", "checks")

PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join((*SOURCES, 'docs', 'samples'))})/[\w./*-]*[\w*/]")
MODULE = re.compile(rf"(?<![\w./-])(?:{'|'.join(SOURCES)})(?:\.[A-Za-z_]\w*)+(?!\.?[\w/])")
CLASS = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
DECISION_NUMBER = re.compile(r"(?:docs/adr/|ADR )(\d{4})")

# Files that a user creates and git ignores, and the pattern of the names of migrations.
NOT_IN_TREE = {"deploy/.env", "deploy/k8s/secret.yaml", "schemas/clickhouse/NNNN_name.sql"}
# Names of other projects.
FOREIGN_CLASSES = {"AggregatingMergeTree", "ReplacingMergeTree"}


def unknown_paths(text: str) -> Iterator[str]:
    """Yield the paths in a text that no file or folder has.

    >>> list(unknown_paths("`pipeline/metrics.py`, docs/adr/*.md and `tests/unit/test_no.py`."))
    ['tests/unit/test_no.py']
    """
    for path in PATH.findall(text):
        if path not in NOT_IN_TREE and not any(ROOT.glob(path.rstrip("/"))):
            yield path


def unknown_modules(text: str) -> Iterator[str]:
    """Yield the dotted names in a text that are no module, and no name in a module.

    >>> list(unknown_modules("`pipeline.metrics`, `pipeline.metrics.METRICS`, pipeline.no.METRICS"))
    ['pipeline.no.METRICS']
    """
    for name in MODULE.findall(text):
        module, _, attribute = name.rpartition(".")
        if not _is_module(name) and not (
            _is_module(module) and re.search(rf"\b{attribute}\b", _source(module))
        ):
            yield name


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""


@cache
def source_words() -> frozenset[str]:
    """Return all words of source files: Python, YAML and TOML."""
    return frozenset(
        word
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yml", ".yaml", ".toml"}
        for word in re.findall(r"\w+", path.read_text("utf-8"))
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_modules_and_classes_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    assert list(unknown_paths(text)) == []
    assert list(unknown_modules(text)) == []
    assert set(CLASS.findall(text)) - FOREIGN_CLASSES <= source_words()


def test_every_decision_is_listed_with_its_title() -> None:
    overview = " ".join((ROOT / "docs/adr/README.md").read_text("utf-8").split())
    for page in DECISIONS[:-1]:
        number, title = page.read_text("utf-8").splitlines()[0].removeprefix("# ").split(" ", 1)
        assert page.name.startswith(f"{number}-")
        assert f"[{number}]({page.name}): {title}" in overview


def test_every_referenced_decision_has_a_page() -> None:
    numbers = {page.name[:4] for page in DECISIONS}
    texts = {page: page.read_text("utf-8") for page in PAGES}
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".toml", ".sql", ".yml", ".yaml"}:
                texts[path] = path.read_text("utf-8")
    unknown = {
        (str(path.relative_to(ROOT)), number)
        for path, text in texts.items()
        for number in DECISION_NUMBER.findall(text)
        if number not in numbers
    }
    assert unknown == set()

"""Word tables of the splitter as TOML files, which translators can edit without Python."""

import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Any


def read_table(name: str) -> dict[str, Any]:
    """Return the table ``tables/<name>.toml``; each module reads its table once, on import."""
    return tomllib.loads(
        resources.files(__package__).joinpath("tables", f"{name}.toml").read_text("utf-8")
    )


def alternation(patterns: Iterable[str]) -> str:
    """Return one regular expression that matches any of several.

    >>> alternation(["a+", "b"])
    '(?:a+)|(?:b)'
    """
    return "|".join(f"(?:{pattern})" for pattern in patterns)

"""The tables of words of the splitter: TOML files, so that a translator needs no Python."""

import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Any


def read_table(name: str) -> dict[str, Any]:
    """Return the table ``tables/<name>.toml`` of this package; read once, when the module that uses
    it is imported.
    """
    return tomllib.loads(
        resources.files(__package__).joinpath("tables", f"{name}.toml").read_text("utf-8")
    )


def alternation(patterns: Iterable[str]) -> str:
    """Return one expression for several."""
    return "|".join(f"(?:{pattern})" for pattern in patterns)

"""Guides as tests read them: their shell blocks, in order, with the word behind `sh` that says what
a block is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

GUIDES = Path(__file__).resolve().parents[2] / "docs/guide"
_BLOCK = re.compile(r"^```sh *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands; `use` is empty where it is run as it stands."""

    use: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the shell blocks of a guide."""
    return [Block(use, text) for use, text in _BLOCK.findall((GUIDES / page).read_text("utf-8"))]

"""How commands speak: tables and timelines on a terminal, JSON for machines, errors that say what
to do next.

What customers wrote is hostile until escaped: it reaches the terminal as rich `Text` without
control characters.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Exit codes: 1 something was refused or failed, 2 the command was wrong (typer's own too), 3
# somebody else holds the store.
FAILED, WRONG_USE, HELD = 1, 2, 3

# A pipe has no width; tables are read there by people with a wide window, or by grep.
_PIPE_WIDTH = 200

out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
err = Console(stderr=True)


def plain(value: object, width: int | None = None) -> Text:
    """Return a value as text that cannot command a terminal: no markup, no control or format
    characters, one line.
    """
    text = "" if value is None else str(value)
    safe = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in text)
    if width is not None and len(safe) > width:
        safe = safe[: width - 1] + "…"
    return Text(safe)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
) -> None:
    """Print a table; the columns named in `numbers` are set flush right."""
    drawn = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    for column in columns:
        drawn.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    out.print(drawn)


def json(value: Any) -> None:
    """Print a value as one line of JSON."""
    sys.stdout.buffer.write(
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str) + b"\n"
    )
    sys.stdout.buffer.flush()


def note(message: str) -> None:
    """Print a line for the person, not for a pipe: it goes to standard error."""
    err.print(plain(message), soft_wrap=True)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Print an error and end with an exit code that means something."""
    err.print(Text("error: ", "bold red") + plain(message), soft_wrap=True)
    raise SystemExit(code)

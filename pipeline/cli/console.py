"""Output of commands: tables on a terminal, JSON for machines, notes and errors.

Texts of customers are untrusted: they reach the terminal as rich `Text` without control characters.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Exit codes: 1 something failed or was rejected, 2 the command was wrong (as in typer), 3 another
# process uses the store.
FAILED, WRONG_USE, STORE_IN_USE = 1, 2, 3

# A pipe has no width; its reader is grep, or a person with a wide window.
_PIPE_WIDTH = 200


def open_missing_streams() -> None:
    """Open the null device for each standard stream that the shell closed.

    Else the next file that is opened, such as the log, would be the stream: what is printed would
    be written to it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_WRONLY if number else os.O_RDONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            # It lives as long as the process.
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


open_missing_streams()
out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
err = Console(stderr=True)


def safe_text(value: object, width: int | None = None) -> Text:
    """Return a value as one line without markup, control or format characters.

    >>> safe_text("hello\\x1b[31m world", 12).plain
    'hello [31m …'
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
    """Print a table; the columns named in `numbers` are aligned to the right."""
    printed = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    for column in columns:
        printed.add_column(
            column, justify="right" if column in numbers else "left", overflow="fold"
        )
    for row in rows:
        printed.add_row(*(cell if isinstance(cell, Text) else safe_text(cell) for cell in row))
    out.print(printed)


def json(value: Any) -> None:
    """Print a value as one line of JSON."""
    sys.stdout.buffer.write(
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str) + b"\n"
    )
    sys.stdout.buffer.flush()


def note(message: str) -> None:
    """Print a line to standard error, where it does not disturb a pipe."""
    err.print(safe_text(message), soft_wrap=True)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Print an error, if standard error can be written, and end the process with an exit code."""
    with suppress(OSError):
        err.print(Text("error: ", "bold red") + safe_text(message), soft_wrap=True)
    raise SystemExit(code)


def flush_streams() -> None:
    """Write what is left in the buffers of the standard streams; raises OSError.

    What cannot be written is dropped, so that the interpreter does not try it again at its end.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            raise

"""Read labelled texts from JSONL files; a bad line is reported by file, line and field."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from pipeline.errors import UserError


class EvaluationError(UserError, ValueError):
    """The input allows no evaluation; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text and its true label; results are grouped by language and channel ("": unknown)."""

    text: str
    label: str
    language: str = ""
    channel: str = ""
    direction: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no labelled text: its number (from 1), the wrong field ("": all), and why."""

    file: str
    line: int
    field: str
    detail: str

    def __str__(self) -> str:
        """Return one line of text for people."""
        return f"{self.file}:{self.line}: {f'{self.field}: ' if self.field else ''}{self.detail}"


def read_rows(
    path: Path, labels: Collection[str] | None = None
) -> tuple[list[LabelledRow], list[BadLine]]:
    """Return the labelled texts of a JSONL file in UTF-8, and its bad lines; skip blank lines.

    A line is {"text": str, "label": str or int, "language"?: str, "channel"?: str}; further fields
    are ignored. If `labels` is given, any other label is an error. Raises OSError if the file
    cannot be read, and EvaluationError if it has no good line.
    """
    rows: list[LabelledRow] = []
    bad: list[BadLine] = []
    with path.open("rb") as file:
        for line, raw in enumerate(_lines(file), 1):
            if not raw.strip():
                continue
            row = _row(raw, labels)
            if isinstance(row, LabelledRow):
                rows.append(row)
            else:
                bad.append(BadLine(str(path), line, *row))
    if not rows:
        first = f"; {bad[0]}" if bad else ""
        raise EvaluationError(
            f'{path}: no labelled text; write lines such as {{"text": "…", "label": "…"}}{first}'
        )
    return rows, bad


def _lines(file: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines, the first one without the byte order mark that Windows programs write."""
    for number, raw in enumerate(file):
        yield raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw


def _row(raw: bytes, labels: Collection[str] | None) -> LabelledRow | tuple[str, str]:
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return "", f"not JSON: {error}"
    if not isinstance(data, dict):
        return "", "not a JSON object"
    text, label = data.get("text"), data.get("label")
    if not isinstance(text, str):
        return (
            "text",
            "missing" if text is None else f"{type(text).__name__}, but must be a text",
        )
    if not text.strip():
        return "text", "empty"
    # Labels of many data sets are whole numbers; a fraction or a boolean is probably a mistake.
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if not isinstance(label, str) or not label.strip():
        return "label", "missing" if label in (
            None,
            "",
        ) else f"{label!r} is no label: write a text or a whole number"
    if labels is not None and label not in labels:
        return "label", f"{label!r} is not one of {', '.join(labels)}"
    for name in ("language", "channel"):
        if not isinstance(data.get(name), str | None):
            return name, f"{data[name]!r} is not a text"
    return LabelledRow(text, label, data.get("language") or "", data.get("channel") or "")

"""Labelled texts to evaluate on: a JSONL file, each line checked, a bad one named by file, line and
field.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from pipeline.errors import UserError


class EvaluationError(UserError, ValueError):
    """An evaluation cannot be made of what was given; the message says what is missing and what to
    do.
    """


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text and its right label; language and channel ("" where unknown) are what results are
    broken down by.
    """

    text: str
    label: str
    language: str = ""
    channel: str = ""
    direction: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no labelled text: where it stands (from 1), the field that is wrong ("" for
    the whole), and why.
    """

    file: str
    line: int
    field: str
    detail: str

    def __str__(self) -> str:
        """Return it as one line for a person."""
        return f"{self.file}:{self.line}: {f'{self.field}: ' if self.field else ''}{self.detail}"


def read_rows(
    path: Path, labels: Collection[str] | None = None
) -> tuple[list[LabelledRow], list[BadLine]]:
    """Return the labelled texts of a JSONL file in UTF-8 in their order, and its bad lines; blank
    lines are passed over.

    A line is {"text": str, "label": str or int, "language"?: str, "channel"?: str}; further fields
    are ignored. Where `labels` is given, any other label is wrong. Raises OSError where the file
    can't be read, EvaluationError where no line of it is good.
    """
    rows: list[LabelledRow] = []
    bad: list[BadLine] = []
    with path.open("rb") as file:
        for line, raw in enumerate(_lines(file), 1):
            if not raw.strip():
                continue
            found = _row(raw, labels)
            if isinstance(found, LabelledRow):
                rows.append(found)
            else:
                bad.append(BadLine(str(path), line, *found))
    if not rows:
        first = f"; {bad[0]}" if bad else ""
        raise EvaluationError(
            f'{path}: no line is a labelled text such as {{"text": "…", "label": "…"}}{first}'
        )
    return rows, bad


def _lines(file: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines, the first without the mark that Windows programs put before UTF-8."""
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
            "missing" if text is None else f"{type(text).__name__} where a text is needed",
        )
    if not text.strip():
        return "text", "empty"
    # Labels of many data sets are numbers; a fraction or a truth value is more likely a mistake.
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if not isinstance(label, str) or not label.strip():
        return "label", "missing" if label in (
            None,
            "",
        ) else f"{label!r} is no label: write a text or a whole number"
    if labels is not None and label not in labels:
        return "label", f"{label!r} is none of {', '.join(labels)}"
    for name in ("language", "channel"):
        if not isinstance(data.get(name), str | None):
            return name, f"{data[name]!r} is no text"
    return LabelledRow(text, label, data.get("language") or "", data.get("channel") or "")

"""Labelled texts from files: what is read, and how a bad line is named."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.evaluation.labelled_rows import (
    BadLine,
    EvaluationError,
    LabelledRow,
    read_rows,
)

WORDS = st.text(min_size=1, max_size=20).filter(
    lambda text: text.strip() != "" and not _has_surrogates(text)
)


def _has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(char) < 0xE000 for char in text)


ROWS = st.builds(
    LabelledRow,
    text=WORDS,
    label=WORDS,
    language=st.sampled_from(["", "en", "zh"]),
    channel=st.just("chat"),
)


@given(st.lists(ROWS, min_size=1, max_size=8), st.booleans(), st.booleans())
def test_rows_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[LabelledRow], mark: bool, ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [
        json.dumps(
            {
                "text": row.text,
                "label": row.label,
                "language": row.language,
                "channel": row.channel,
                "more": 1,
            },
            ensure_ascii=ascii_only,
        )
        for row in rows
    ]
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + "\r\n\n".join(lines).encode())
    assert read_rows(path) == (rows, [])


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        (b"{", "", "not JSON"),
        (b'["a"]', "", "not a JSON object"),
        (b'{"text": "\xff", "label": "a"}', "", "not JSON"),
        (b'{"label": "a"}', "text", "missing"),
        (b'{"text": 7, "label": "a"}', "text", "int, but must be a text"),
        (b'{"text": " \\n", "label": "a"}', "text", "empty"),
        (b'{"text": "x"}', "label", "missing"),
        (b'{"text": "x", "label": null}', "label", "missing"),
        (b'{"text": "x", "label": ""}', "label", "missing"),
        (b'{"text": "x", "label": 0.5}', "label", "0.5 is no label"),
        (b'{"text": "x", "label": true}', "label", "True is no label"),
        (b'{"text": "x", "label": ["a"]}', "label", "is no label"),
        (b'{"text": "x", "label": "a", "language": 3}', "language", "3 is not a text"),
        (b'{"text": "x", "label": "a", "channel": {}}', "channel", "is not a text"),
    ],
)
def test_bad_line_is_reported_by_file_line_and_field(
    tmp_path: Path, line: bytes, field: str, words: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"text": "good", "label": 1}\n\n'
        + line
        + b'\n{"text": "too", "label": "b", "channel": null}'
    )
    rows, bad = read_rows(path)
    assert rows == [LabelledRow("good", "1"), LabelledRow("too", "b")]
    assert [(one.file, one.line, one.field) for one in bad] == [(str(path), 3, field)]
    assert words in bad[0].detail
    assert str(bad[0]).startswith(f"{path}:3: {field}")


def test_label_unknown_to_the_head_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "label": "spam"}\n{"text": "b", "label": "eggs"}\n')
    assert read_rows(path, ("ham", "spam")) == (
        [LabelledRow("a", "spam")],
        [BadLine(str(path), 2, "label", "'eggs' is not one of ham, spam")],
    )


def test_file_without_a_good_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(EvaluationError, match=r"no labelled text; .*rows\.jsonl:1: not JSON"):
        read_rows(path)
    path.write_text("\n")
    with pytest.raises(EvaluationError, match="no labelled text"):
        read_rows(path)
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path / "none.jsonl")

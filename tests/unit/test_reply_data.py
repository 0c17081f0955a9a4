"""The splitter on real mails: invariants, and the expectations of three reply parsers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.processors.clean.reply import split_reply

pytestmark = pytest.mark.data
_SETS = {
    "github_email_reply_parser": "emails",
    "zapier_email_reply_parser": "emails",
    "crisp_email_reply_parser": "fixtures",
}


def _mails(data: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for folder, mails in _SETS.items():
        base = data / "email_replies" / folder
        expected = json.loads((base / "expected.json").read_text("utf-8"))
        for file in sorted((base / mails).glob("*.txt")):
            yield f"{folder}/{file.stem}", file.read_text("utf-8"), expected.get(file.stem, {})


def _normal(text: str) -> str:
    return " ".join(text.replace("\u200b", "").replace("\ufeff", "").split())


def test_invariants_hold_on_real_mails(shared_data: Path) -> None:
    for name, text, _ in _mails(shared_data):
        split = split_reply(text)
        assert "".join(text[part.start : part.end] for part in split.parts) == text, name
        assert split_reply(split.reply).quoted == "", name


def test_exact_expectations_are_met(shared_data: Path) -> None:
    missed, met = set(), 0
    for name, text, expected in _mails(shared_data):
        wanted = expected.get("visible_text", expected.get("first_fragment"))
        if wanted is None:
            continue
        split = split_reply(text)
        first = next(
            (text[part.start : part.end] for part in split.parts if part.kind == "reply"), ""
        )
        shown = (
            {_normal(split.reply), _normal(first)}
            if "first_fragment" in expected
            else {_normal(split.reply)}
        )
        if _normal(wanted) in shown:
            met += 1
        else:
            missed.add(name.split("/")[1])
    # These three contradict other expectations: a name after a dash and a name below an em dash are
    # not signatures.
    assert missed <= {"email_1", "email_3", "email_emoji"}
    assert met >= 59


def test_assertions_are_met(shared_data: Path) -> None:
    for name, text, expected in _mails(shared_data):
        shown = _normal(split_reply(text).reply)
        if "first_fragment" not in expected and "visible_text" not in expected:
            assert shown.startswith(_normal(expected.get("visible_starts", ""))), name
            for part in (
                *expected.get("visible_contains", ()),
                *expected.get("first_fragment_contains", ()),
            ):
                assert _normal(part) in shown, name
            assert not any(
                _normal(part) in shown for part in expected.get("visible_excludes", ())
            ), name

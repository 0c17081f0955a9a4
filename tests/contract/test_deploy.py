"""What deploy/ names exists: commands, settings, metrics and their labels, topics; what is
generated is as the code says.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.generate.__main__ import generated
from tests.support.deploying import DEPLOY, FILES, is_command, read, unknown_labels, unknown_names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_name_in_a_file_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert unknown_names(text) == []
    for words in re.findall(r"(?:[`\"]|&& )switchboard ([a-z][a-z ]*)", text):
        assert is_command(words.split()), f"switchboard {words} is no command"


def test_alerts_use_labels_that_their_metrics_have() -> None:
    expressions = [
        rule["expr"] for group in read("prometheus/alerts.yml")["groups"] for rule in group["rules"]
    ]
    assert len(expressions) >= 6
    for expression in expressions:
        assert unknown_labels(expression) == set(), expression


def test_generated_files_are_as_the_code_says() -> None:
    for path, text in generated().items():
        assert path.read_text("utf-8") == text, f"{path.relative_to(DEPLOY)}: run `make generate`"

"""Every command, setting, metric, topic, file and page that the guides name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.deploying import DEPLOY, is_command, read, unknown_names
from tests.support.pages import GUIDES

_ROOT = DEPLOY.parent
_PAGES = [GUIDES / name for name in ("operate.md", "distributed.md")]
# Pages that are made elsewhere and by others are no fault of these.
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("path", _PAGES, ids=lambda path: path.stem)
def test_every_name_on_a_page_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert unknown_names(text) == []
    for words in re.findall(
        r"(?:^|[`(]|&& |-- |\d )switchboard ([a-z][a-z ]*)", text, re.MULTILINE
    ):
        assert is_command(words.split()), f"switchboard {words} is no command"
    for target in _LINK.findall(text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
    for named in re.findall(r"\b(?:deploy|samples|tests)/[\w./-]*\w", text):
        given = named in ("deploy/.env", "deploy/k8s/secret.yaml")
        assert given or (_ROOT / named).exists(), f"{path.name} names {named}"


def test_containers_on_the_page_are_in_the_compose_file() -> None:
    text = (GUIDES / "operate.md").read_text("utf-8")
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")
    secrets = re.findall(r"^(\w+)=\$\(openssl", text, re.MULTILINE)
    assert set(secrets) == set(re.findall(r"\$\{(\w+):\?", compose))
    for variable in ("IMPORT_FOLDER", "CONFIG_FILE", "ENRICH_PROCESSES"):
        assert variable in text
        assert f"${{{variable}:-" in compose
    services = read("compose.yaml")["services"]
    assert "127.0.0.1:3000:3000" in services["grafana"]["ports"]
    assert "/import" in " ".join(services["switchboard"]["volumes"])

"""What deploy/ names exists: commands, stages, settings, metrics and their labels, ports, topics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipeline.cli import app
from pipeline.metrics import METRICS, Declared
from pipeline.runtime.stages import STAGES
from pipeline.settings import Settings
from schemas.topics import TOPICS

_DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_FILES = sorted(path for path in _DEPLOY.rglob("*") if path.is_file())
_BY_NAME = {metric.name: metric for metric in METRICS}
_COMMAND = typer.main.get_command(app)


def read(name: str) -> Any:
    return yaml.safe_load((_DEPLOY / name).read_text("utf-8"))


def metric_of(name: str) -> Declared | None:
    """Return the metric that a series is of: a histogram has three."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        one = _BY_NAME.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if one is not None and (not suffix or one.kind == "histogram"):
            return one
    return None


def subcommand(words: list[str]) -> bool:
    """Return whether words begin with a command of ours."""
    command: Any = _COMMAND
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None:
            return True
        if word not in commands:
            return False
        command = commands[word]
    return not getattr(command, "commands", None)


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_DEPLOY)))
def test_every_name_in_a_file_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    for variable in re.findall(r"\bSWITCHBOARD_([A-Z_]+)\b", text):
        assert variable.lower() in Settings.model_fields, f"SWITCHBOARD_{variable} is no setting"
    for name in re.findall(r"\bswitchboard_[a-z_]+\b", text):
        assert metric_of(name) is not None, f"{name} is no metric"
    for topic in re.findall(r"\b[a-z-]+(?:\.[a-z-]+)*\.v\d+\b", text):
        assert topic in TOPICS, f"{topic} is no topic"
    for words in re.findall(r"(?:[`\"]|&& )switchboard ([a-z][a-z ]*)", text):
        assert subcommand(words.split()), f"switchboard {words} is no command"


def test_queries_use_labels_that_their_metrics_have() -> None:
    expressions = [rule["expr"] for group in read("prometheus/alerts.yml")["groups"] for rule in group["rules"]]
    assert len(expressions) >= 6
    for expression in expressions:
        for name, labels in re.findall(r"(switchboard_[a-z_]+)(?:\{([^}]*)\})?", expression):
            metric = metric_of(name)
            assert metric is not None
            used = set(re.findall(r"(\w+)\s*[=!~]+", labels)) - {"job", "instance", "le"}
            by = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
            assert used | by <= {*metric.labels, "instance", "le"}, f"{expression}: {metric.name} has {metric.labels}"


def test_every_stage_is_deployed_and_its_workers_are_watched() -> None:
    services = read("compose.yaml")["services"]
    workers = {name: one for name, one in services.items() if one.get("command", [""])[0] == "worker"}
    assert {one["command"][1] for one in workers.values()} == set(STAGES)
    (scraped,) = read("prometheus/prometheus.yml")["scrape_configs"][0]["static_configs"]
    ports = {target.partition(":")[0] for target in scraped["targets"]}
    assert ports == set(workers)
    for name, one in workers.items():
        # A transactional id holds the host's name: without a fixed one a worker that is made anew would wait for its own open transaction.
        assert one["hostname"] == name
        port = one["environment"]["SWITCHBOARD_METRICS_PORT"]
        assert f"{name}:{port}" in scraped["targets"]
        assert f"127.0.0.1:{port}/healthz" in " ".join(one["healthcheck"]["test"])
        assert f"EXPOSE {port}" in (_DEPLOY / "Dockerfile").read_text("utf-8")


def test_nothing_is_published_beyond_loopback_and_no_secret_has_a_default() -> None:
    text = (_DEPLOY / "compose.yaml").read_text("utf-8")
    for service in read("compose.yaml")["services"].values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
    for secret in ("SWITCHBOARD_SECRET", "CLICKHOUSE_PASSWORD"):
        given = re.findall(rf"\$\{{{secret}([^}}]*)\}}", text)
        assert given
        assert all(how.startswith(":?") for how in given)

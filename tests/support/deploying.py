"""What tests of deploy/ share: its files as data, the names that queries use, Grafana's macros as
its ClickHouse plugin expands them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

from pipeline.cli import app
from pipeline.metrics import METRICS, MetricDefinition
from pipeline.settings import CONFIG_VARIABLE, Settings
from schemas.topics import TOPICS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = sorted(
    path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts
)
MANIFESTS = sorted((DEPLOY / "k8s").rglob("*.yaml"))
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
_BY_NAME = {metric.name: metric for metric in METRICS}
_COMMAND = typer.main.get_command(app)


def read(name: str) -> Any:
    """Return a YAML file of deploy/."""
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file that may have several."""
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def metric_of(name: str) -> MetricDefinition | None:
    """Return the metric that a series is of: a histogram has three."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        one = _BY_NAME.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if one is not None and (not suffix or one.kind == "histogram"):
            return one
    return None


def unknown_names(text: str) -> list[str]:
    """Return the settings, metrics and topics that a text names and that there are not."""
    unknown = [
        variable
        for variable in re.findall(r"\bSWITCHBOARD_[A-Z_]*[A-Z]\b", text)
        if variable != CONFIG_VARIABLE
        and variable.removeprefix("SWITCHBOARD_").lower() not in Settings.model_fields
    ]
    unknown += [
        name for name in re.findall(r"\bswitchboard_[a-z_]+\b", text) if metric_of(name) is None
    ]
    unknown += [
        name for name in re.findall(r"\b[a-z-]+(?:\.[a-z-]+)*\.v\d+\b", text) if name not in TOPICS
    ]
    return unknown


def unknown_labels(expression: str) -> set[str]:
    """Return the labels that a PromQL expression asks of our metrics and that they do not have;
    raises KeyError for no metric of ours.
    """
    unknown = set()
    by = {
        label.strip()
        for group in re.findall(r"by \(([^)]*)\)", expression)
        for label in group.split(",")
    }
    for name, labels in re.findall(r"(switchboard_[a-z_]+)(?:\{([^}]*)\})?", expression):
        metric = metric_of(name)
        if metric is None:
            raise KeyError(name)
        used = set(re.findall(r"(\w+)\s*[=!~]+", labels)) | by
        unknown |= used - {*metric.labels, "job", "instance", "le"}
    return unknown


def is_command(words: list[str]) -> bool:
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


def dashboard(path: Path) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def queries(path: Path, language: str) -> Iterator[tuple[str, str]]:
    """Yield the title and the query of every panel and variable in a language: expr (PromQL) or
    rawSql (ClickHouse's).
    """
    board = dashboard(path)
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            if language in target:
                yield panel["title"], target[language]
    kind = "prometheus" if language == "expr" else "grafana-clickhouse-datasource"
    for variable in board["templating"]["list"]:
        if variable["datasource"]["type"] == kind:
            yield f"variable {variable['name']}", variable["query"]


def as_promql(expression: str) -> str:
    """Return an expression as Prometheus gets it from Grafana."""
    label = re.fullmatch(r"label_values\((\w+), \w+\)", expression)
    filled = (
        label[1] if label else expression.replace("$__rate_interval", "5m").replace("$stage", ".*")
    )
    assert "$" not in filled, f"{expression} has a variable that nothing fills"
    return filled


def as_sql(query: str, variables: dict[str, list[str]]) -> str:
    """Return a query as ClickHouse gets it from Grafana, over all times.

    Macros as in https://github.com/grafana/clickhouse-datasource, pkg/macros/macros.go.
    """
    query = re.sub(
        r"\$__timeFilter\((\w+)\)", r"\1 >= toDateTime(0) AND \1 <= toDateTime(4102444800)", query
    )
    query = re.sub(
        r"\$__timeInterval\((\w+)\)",
        r"toStartOfInterval(toDateTime(\1), INTERVAL 86400 second)",
        query,
    )
    for name, values in variables.items():
        query = query.replace(
            f"${{{name}:singlequote}}", ", ".join(f"'{value}'" for value in values)
        )
    assert "$" not in query, f"{query} has a macro or a variable that nothing fills"
    return query

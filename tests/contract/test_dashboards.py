"""Grafana's dashboards ask for what exists: metrics and labels in code, tables and columns in a
store that the samples have filled.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from pipeline.commands.demo import run_demo
from pipeline.metrics import METRICS
from pipeline.settings import load_settings
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.workspace import Workspace
from tests.support.deploying import (
    DASHBOARDS,
    as_sql,
    dashboard,
    metric_of,
    queries,
    read,
    unknown_labels,
)

_BY_NAME = {path.stem: path for path in DASHBOARDS}
_SQL = [
    (path.stem, title, query) for path in DASHBOARDS for title, query in queries(path, "rawSql")
]
_PROMQL = [
    (path.stem, title, query) for path in DASHBOARDS for title, query in queries(path, "expr")
]
# Panels that may well have nothing to show: the shop of the samples has kept no promise late, or
# refused nothing.
_MAY_BE_EMPTY = {
    "Alerts",
    "Response deadlines",
    "Open dead letters",
    "Waiting for a response",
    "Follow-ups due",
    "Customer satisfaction",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Give the store of the demo's shop."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SWITCHBOARD_SECRET", "a secret for tests only")
        patched.delenv("SWITCHBOARD_CONFIG", raising=False)
        run_demo(load_settings(data_dir=folder), None)
        with Workspace(load_settings(data_dir=folder)).open_warehouse() as warehouse:
            yield warehouse


def test_both_ask_by_datasources_that_are_provisioned() -> None:
    sources = read("grafana/provisioning/datasources/switchboard.yaml")["datasources"]
    known = {(one["type"], one["uid"]) for one in sources}
    asked = set()
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel.get("targets", ()):
                assert target["datasource"] == panel["datasource"], panel["title"]
                asked.add((target["datasource"]["type"], target["datasource"]["uid"]))
    assert asked == known


def test_panels_lie_beside_each_other_and_each_says_what_it_means() -> None:
    for path in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard(path)["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not taken & cells, f"{panel['title']} lies on another"
            assert max(x for x, _ in cells) < 24
            taken |= cells
            assert panel["title"]
            assert panel["type"] == "row" or panel["description"]


@pytest.mark.parametrize(
    ("board", "title", "expression"), _PROMQL, ids=[f"{b}-{t}" for b, t, _ in _PROMQL]
)
def test_an_expression_asks_for_metrics_and_labels_that_exist(
    board: str, title: str, expression: str
) -> None:
    assert unknown_labels(expression) == set()


def test_operators_see_every_metric() -> None:
    shown = " ".join(expression for _, _, expression in _PROMQL)
    for metric in METRICS:
        assert any(metric_of(word) == metric for word in _words(shown)), (
            f"{metric.name} is on no panel"
        )


def _words(text: str) -> set[str]:
    return {
        word
        for part in text.replace("{", " ").replace("(", " ").replace("[", " ").split()
        for word in part.split(",")
    }


@pytest.mark.parametrize(("board", "title", "query"), _SQL, ids=[f"{b}-{t}" for b, t, _ in _SQL])
def test_a_query_is_answered(store: Warehouse, board: str, title: str, query: str) -> None:
    variables = {
        name: [row[name] for row in rows(store, sql)]
        for name, sql in (
            (one.removeprefix("variable "), sql)
            for b, one, sql in _SQL
            if b == "analysts" and one.startswith("variable ")
        )
    }
    found = [orjson.loads(line) for line in store.query(as_sql(query, variables)).splitlines()]
    assert found or title in _MAY_BE_EMPTY, f"{title} shows nothing of the samples"


def test_figures_are_those_of_the_tables(store: Warehouse) -> None:
    """One panel counted by hand: what the analysts' first figure leaves out, and nothing else."""
    sql = dict(queries(_BY_NAME["analysts"], "rawSql"))["Inbound"]
    everything = {
        "tenant": ["default"],
        "channel": [
            row["channel"] for row in rows(store, "SELECT DISTINCT channel FROM communications")
        ],
    }
    (shown,) = rows(store, as_sql(sql, everything))
    asked = rows(store, "SELECT direction, auto_kind, spam, spam_abstained FROM communications")
    counted = [
        row
        for row in asked
        if row["direction"] == "inbound"
        and not row["auto_kind"]
        and (row["spam"] != "spam" or row["spam_abstained"])
    ]
    assert int(shown["records"]) == len(counted) > 0
    (one,) = rows(store, as_sql(sql, everything | {"channel": ["call"]}))
    assert 0 < int(one["records"]) < len(counted)

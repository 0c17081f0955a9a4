"""Panels and queries of both dashboards, built with Grafana's SDK."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)

# The names in grafana/provisioning/datasources.
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="switchboard-prometheus")
CLICKHOUSE = DataSourceRef(type_val="grafana-clickhouse-datasource", uid="switchboard-clickhouse")
# Widths in columns (a dashboard has 24), heights in rows of 30 pixels.
WHOLE, HALF, THIRD, QUARTER, SIXTH = 24, 12, 8, 6, 4
_HEIGHT, _STAT_HEIGHT = 8, 4


class ClickHouseQuery(Dataquery):
    """A query for the plugin grafana-clickhouse-datasource (src/types/sql.ts, version 4)."""

    def __init__(self, sql: str, *, over_time: bool) -> None:
        self.ref_id = "A"
        self._sql = re.sub(r"\s+", " ", sql).strip()
        self._over_time = over_time

    def to_json(self) -> dict[str, object]:
        """Return the JSON of the query; format 0 is a time series, 1 a table."""
        return {
            "datasource": CLICKHOUSE.to_json(),
            "editorType": "sql",
            "format": 0 if self._over_time else 1,
            "pluginVersion": "4.10.0",
            "queryType": "timeseries" if self._over_time else "table",
            "rawSql": self._sql,
            "refId": self.ref_id,
        }


class Sql(Builder[ClickHouseQuery]):
    """A ClickHouse query.

    With `over_time`, the first column is the time, and text columns name the series.
    """

    def __init__(self, sql: str, *, over_time: bool = False) -> None:
        self._query = ClickHouseQuery(sql, over_time=over_time)

    def build(self) -> ClickHouseQuery:
        """Return the query."""
        return self._query


def promql(
    expression: str, legend: str = "__auto", *, ref: str = "A", instant: bool = False
) -> prometheus.Dataquery:
    """Return a Prometheus query; `legend` is the name of a series, with `{{label}}`."""
    query = (
        prometheus.Dataquery()
        .expr(expression)
        .legend_format(legend)
        .ref_id(ref)
        .datasource(PROMETHEUS)
    )
    return query.instant() if instant else query.range()


Query = Sql | prometheus.Dataquery


def _source(query: Query) -> DataSourceRef:
    return CLICKHOUSE if isinstance(query, Sql) else PROMETHEUS


def _limits(*limits: float) -> boards.ThresholdsConfig:
    """Return thresholds: yellow from the first limit, red from the second or only one."""
    colours = ("yellow", "red")[-len(limits) :] if limits else ()
    steps = [Threshold(value=None, color="green")]
    steps += [
        Threshold(value=limit, color=colour) for limit, colour in zip(limits, colours, strict=True)
    ]
    return boards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def number(
    title: str,
    meaning: str,
    query: Query,
    *,
    unit: str = "short",
    width: int = SIXTH,
    limits: Sequence[float] = (),
) -> stat.Panel:
    """Return a panel with one large number per series, coloured by limits."""
    return (
        stat.Panel()
        .title(title)
        .description(meaning)
        .datasource(_source(query))
        .with_target(query)
        .unit(unit)
        .thresholds(_limits(*limits))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().values(False).calcs(["lastNotNull"]))
        .height(_STAT_HEIGHT)
        .span(width)
    )


def lines(
    title: str,
    meaning: str,
    *queries: Query,
    unit: str = "short",
    width: int = HALF,
    stacked: bool = False,
) -> timeseries.Panel:
    """Return a panel with series over time, as lines or stacked bars."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(meaning)
        .datasource(_source(queries[0]))
        .unit(unit)
        .min(0)
        .fill_opacity(70 if stacked else 10)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .height(_HEIGHT)
        .span(width)
    )
    if stacked:
        panel = panel.draw_style(GraphDrawStyle.BARS).stacking(
            common.StackingConfig().mode(StackingMode.NORMAL)
        )
    for query in queries:
        panel = panel.with_target(query)
    return panel


def bars(
    title: str, meaning: str, query: Query, *, unit: str = "short", width: int = HALF
) -> bargauge.Panel:
    """Return a panel with a bar per row; text columns are its name, the number its length."""
    return (
        bargauge.Panel()
        .title(title)
        .description(meaning)
        .datasource(_source(query))
        .with_target(query)
        .unit(unit)
        .min(0)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        # Show every row instead of one aggregate.
        .reduce_options(common.ReduceDataOptions().values(True).calcs(["lastNotNull"]))
        .height(_HEIGHT)
        .span(width)
    )


def listing(
    title: str,
    meaning: str,
    query: Query,
    *,
    width: int = HALF,
    units: dict[str, str] | None = None,
) -> table.Panel:
    """Return a table panel; `units` are units by column."""
    panel = (
        table.Panel()
        .show_header(True)
        .title(title)
        .description(meaning)
        .datasource(_source(query))
        .with_target(query)
    )
    for column, unit in (units or {}).items():
        panel = panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=unit)])
    return panel.height(_HEIGHT).span(width)


def as_json(dashboard: Dashboard) -> str:
    """Return the JSON file of a dashboard for provisioning; panels get ids in order."""
    document: dict[str, Any] = json.loads(JSONEncoder().encode(dashboard))
    for variable in document["templating"]["list"]:
        # The SDK writes these fields for all variables, but only interval variables have them.
        for name in ("auto", "auto_count", "auto_min"):
            del variable[name]
    for panel_id, panel in enumerate(document["panels"], start=1):
        panel["id"] = panel_id
        if panel["type"] == "table":
            # Grafana 12 has no such footer any more.
            del panel["options"]["footer"]
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

"""Builds the operators' dashboard: lag, throughput, rejections and retries, ClickHouse, models.

Metrics are imported from `pipeline.metrics`, so their names cannot differ.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    VariableRefresh,
    VariableSort,
)

from deploy.generate.panels import (
    HALF,
    PROMETHEUS,
    QUARTER,
    THIRD,
    Sql,
    lines,
    listing,
    number,
    promql,
)
from pipeline.metrics import (
    BATCH_RECORDS,
    BATCH_SECONDS,
    BEHIND_SECONDS,
    INSERT_SECONDS,
    LAG_RECORDS,
    LAST_HEARTBEAT,
    METRICS,
    MODEL_OFFSET,
    OUTCOMES,
    RECORDS,
    RETRIES,
    MetricDefinition,
)

# Metrics with a panel of their own. Every other declared metric gets a plain panel.
_WITH_PANEL = frozenset(
    {
        RECORDS,
        OUTCOMES,
        RETRIES,
        BATCH_RECORDS,
        BATCH_SECONDS,
        INSERT_SECONDS,
        BEHIND_SECONDS,
        LAG_RECORDS,
        MODEL_OFFSET,
        LAST_HEARTBEAT,
    }
)
_SELECTOR = '{stage=~"$stage"}'
_RATE = "[$__rate_interval]"


def _rate(name: str, by: str, labels: str = "") -> str:
    chosen = f'{{stage=~"$stage"{labels}}}'
    return f"sum by ({by}) (rate({name}{chosen}{_RATE}))"


def _quantile(share: float, name: str, labels: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(f'{name}_bucket', 'stage, le', labels)})"


def _mean(name: str, by: str) -> str:
    return f"{_rate(f'{name}_sum', by)} / {_rate(f'{name}_count', by)}"


def _lag(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Lag"))
        .with_panel(
            number(
                "Seconds behind",
                BEHIND_SECONDS.meaning,
                promql(
                    f"max by (stage) ({BEHIND_SECONDS.name}{_SELECTOR})", "{{stage}}", instant=True
                ),
                unit="s",
                width=HALF,
                # The second limit is that of the alert SwitchboardBehind.
                limits=(60, 300),
            )
        )
        .with_panel(
            number(
                "Workers up",
                "Worker processes that Prometheus can scrape.",
                promql('sum(up{job="switchboard"})', instant=True),
                width=QUARTER,
            )
        )
        .with_panel(
            number(
                "Workers down",
                "Worker processes that are listed or discovered but do not answer Prometheus.",
                promql('sum(up{job="switchboard"} == bool 0)', instant=True),
                width=QUARTER,
                limits=(1,),
            )
        )
        .with_panel(
            lines(
                "Seconds behind",
                BEHIND_SECONDS.meaning,
                promql(f"max by (stage) ({BEHIND_SECONDS.name}{_SELECTOR})", "{{stage}}"),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Lag in records",
                LAG_RECORDS.meaning,
                promql(
                    f"sum by (stage, topic) ({LAG_RECORDS.name}{_SELECTOR})", "{{stage}} {{topic}}"
                ),
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Time since the last poll",
                LAST_HEARTBEAT.meaning,
                promql(f"time() - max by (stage) ({LAST_HEARTBEAT.name}{_SELECTOR})", "{{stage}}"),
                unit="s",
                width=THIRD,
            )
        )
    )


def _throughput(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Throughput"))
        .with_panel(
            lines(
                "Records per second",
                RECORDS.meaning,
                promql(_rate(RECORDS.name, "stage"), "{{stage}}"),
                unit="cps",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Records per batch, median",
                BATCH_RECORDS.meaning,
                promql(_quantile(0.5, BATCH_RECORDS.name), "{{stage}}"),
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Duration of a batch by part, mean",
                BATCH_SECONDS.meaning,
                promql(_mean(BATCH_SECONDS.name, "stage, part"), "{{stage}} {{part}}"),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Handling time of a batch, 95th percentile",
                "After four minutes a batch counts as stuck, and its worker is restarted.",
                promql(_quantile(0.95, BATCH_SECONDS.name, ',part="handle"'), "{{stage}}"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Duration of a ClickHouse insert",
                INSERT_SECONDS.meaning,
                promql(_quantile(0.5, INSERT_SECONDS.name), "median {{stage}}"),
                promql(_quantile(0.95, INSERT_SECONDS.name), "95th percentile {{stage}}", ref="B"),
                unit="s",
            )
        )
    )


def _failures(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Rejections and retries"))
        .with_panel(
            lines(
                "Rejections by reason",
                "New dead letters; `switchboard dlq list --open` names the field.",
                promql(
                    _rate(OUTCOMES.name, "stage, reason", ',outcome="rejected"'),
                    "{{stage}} {{reason}}",
                ),
                unit="cps",
                width=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Outcomes",
                OUTCOMES.meaning,
                promql(_rate(OUTCOMES.name, "stage, outcome"), "{{stage}} {{outcome}}"),
                unit="cps",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Retries",
                RETRIES.meaning,
                promql(_rate(RETRIES.name, "stage, reason"), "{{stage}} {{reason}}"),
                unit="cps",
                width=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            listing(
                "Open dead letters",
                "Rejected inputs that no replay has processed since.",
                Sql(
                    "SELECT stage, reason_code, count() AS letters, max(failed_at) AS last FROM"
                    " dead_letters WHERE replay_outcome != 'accepted' GROUP BY stage, reason_code"
                    " ORDER BY letters DESC, stage, reason_code"
                ),
            )
        )
    )


def _models(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_panel(
            listing(
                "Model versions in use",
                "Every prediction carries the version of the model that made it.",
                Sql(
                    "SELECT head, model_version, count() AS answers, round(avg(abstained), 3) AS"
                    " abstained, max(predicted_at) AS last FROM predictions WHERE"
                    " $__timeFilter(predicted_at) GROUP BY head, model_version ORDER BY head, last"
                    " DESC"
                ),
                units={"abstained": "percentunit"},
            )
        )
        .with_row(boards.Row("Models"))
        .with_panel(
            lines(
                "Offset of the last learnt example",
                MODEL_OFFSET.meaning,
                promql(f"max by (instance) ({MODEL_OFFSET.name}{_SELECTOR})", "{{instance}}"),
            )
        )
        .with_panel(
            lines(
                "Difference between the workers' models",
                "Examples between the newest and the oldest model. Every worker of enrich learns"
                " all examples in the same order; one that stays behind is stuck.",
                promql(
                    f"max({MODEL_OFFSET.name}{_SELECTOR}) - min({MODEL_OFFSET.name}{_SELECTOR})",
                    "examples",
                ),
            )
        )
    )


def _others(board: boards.Dashboard) -> boards.Dashboard:
    others = [metric for metric in METRICS if metric not in _WITH_PANEL]
    if others:
        board = board.with_row(boards.Row("Other metrics"))
    for metric in others:
        legend = " ".join(f"{{{{{label}}}}}" for label in ("instance", *metric.labels))
        title = metric.name.removeprefix("switchboard_").replace("_", " ").capitalize()
        board = board.with_panel(
            lines(title, metric.meaning, promql(_plain(metric), legend), width=THIRD)
        )
    return board


def _plain(metric: MetricDefinition) -> str:
    """Return the expression of a plain panel: the value of a gauge, the rate of anything else."""
    by = ", ".join(("instance", *metric.labels))
    if metric.kind == "gauge":
        return f"max by ({by}) ({metric.name}{_SELECTOR})"
    return _rate(metric.name if metric.kind == "counter" else f"{metric.name}_count", by)


def dashboard() -> Dashboard:
    """Return the dashboard."""
    stage = (
        boards.QueryVariable("stage")
        .label("Stage")
        .datasource(PROMETHEUS)
        .query(f"label_values({RECORDS.name}, stage)")
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    board = (
        boards.Dashboard("Switchboard: operations")
        .uid("switchboard-operations")
        .description("Whether the history is up to date, and if not, why.")
        .tags(["switchboard"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .editable()
        .with_variable(stage)
    )
    for part in (_lag, _throughput, _failures, _models, _others):
        board = part(board)
    return board.build()

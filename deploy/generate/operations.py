"""The operators' dashboard: how far behind, how fast, what is refused or tried again, ClickHouse,
models. Metrics are named by code.
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

# Metrics that have a panel made for them; what is declared beside them gets a plain one.
_SHOWN = frozenset(
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
_OF = '{stage=~"$stage"}'
_RATE = "[$__rate_interval]"


def _rate(name: str, by: str, labels: str = "") -> str:
    chosen = f'{{stage=~"$stage"{labels}}}'
    return f"sum by ({by}) (rate({name}{chosen}{_RATE}))"


def _quantile(share: float, name: str, labels: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(f'{name}_bucket', 'stage, le', labels)})"


def _mean(name: str, by: str) -> str:
    return f"{_rate(f'{name}_sum', by)} / {_rate(f'{name}_count', by)}"


def _behind(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Behind"))
        .with_panel(
            number(
                "Seconds behind",
                BEHIND_SECONDS.meaning,
                promql(f"max by (stage) ({BEHIND_SECONDS.name}{_OF})", "{{stage}}", instant=True),
                unit="s",
                width=HALF,
                # The second is where the alert SwitchboardBehind begins.
                limits=(60, 300),
            )
        )
        .with_panel(
            number(
                "Workers that answer",
                "Processes that Prometheus reaches.",
                promql('sum(up{job="switchboard"})', instant=True),
                width=QUARTER,
            )
        )
        .with_panel(
            number(
                "Workers that do not",
                "Named in prometheus.yml, or found, and silent.",
                promql('sum(up{job="switchboard"} == bool 0)', instant=True),
                width=QUARTER,
                limits=(1,),
            )
        )
        .with_panel(
            lines(
                "Seconds behind",
                BEHIND_SECONDS.meaning,
                promql(f"max by (stage) ({BEHIND_SECONDS.name}{_OF})", "{{stage}}"),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Records behind",
                LAG_RECORDS.meaning,
                promql(f"sum by (stage, topic) ({LAG_RECORDS.name}{_OF})", "{{stage}} {{topic}}"),
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Since the last turn",
                LAST_HEARTBEAT.meaning,
                promql(f"time() - max by (stage) ({LAST_HEARTBEAT.name}{_OF})", "{{stage}}"),
                unit="s",
                width=THIRD,
            )
        )
    )


def _speed(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Speed"))
        .with_panel(
            lines(
                "Records a second",
                RECORDS.meaning,
                promql(_rate(RECORDS.name, "stage"), "{{stage}}"),
                unit="cps",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Records a batch, median",
                BATCH_RECORDS.meaning,
                promql(_quantile(0.5, BATCH_RECORDS.name), "{{stage}}"),
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Seconds a batch by part, mean",
                BATCH_SECONDS.meaning,
                promql(_mean(BATCH_SECONDS.name, "stage, part"), "{{stage}} {{part}}"),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Seconds a batch is handled, 95th percentile",
                "A batch that takes four minutes counts as stuck.",
                promql(_quantile(0.95, BATCH_SECONDS.name, ',part="handle"'), "{{stage}}"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Seconds a ClickHouse insert",
                INSERT_SECONDS.meaning,
                promql(_quantile(0.5, INSERT_SECONDS.name), "median {{stage}}"),
                promql(_quantile(0.95, INSERT_SECONDS.name), "95th percentile {{stage}}", ref="B"),
                unit="s",
            )
        )
    )


def _trouble(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Refused and tried again"))
        .with_panel(
            lines(
                "Rejects by reason",
                "Dead letters as they are made: `switchboard dlq list --open` names the field.",
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
                "What was refused and has not been accepted since.",
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
                "Model versions that answered",
                "Every answer is stamped with the version that gave it.",
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
                "Last example learnt",
                MODEL_OFFSET.meaning,
                promql(f"max by (instance) ({MODEL_OFFSET.name}{_OF})", "{{instance}}"),
            )
        )
        .with_panel(
            lines(
                "Examples between the first and the last worker",
                "Every enrich worker learns all examples in one order; one that stays behind is"
                " stuck.",
                promql(
                    f"max({MODEL_OFFSET.name}{_OF}) - min({MODEL_OFFSET.name}{_OF})", "examples"
                ),
            )
        )
    )


def _others(board: boards.Dashboard) -> boards.Dashboard:
    others = [metric for metric in METRICS if metric not in _SHOWN]
    if others:
        board = board.with_row(boards.Row("Also told"))
    for metric in others:
        legend = " ".join(f"{{{{{label}}}}}" for label in ("instance", *metric.labels))
        title = metric.name.removeprefix("switchboard_").replace("_", " ").capitalize()
        board = board.with_panel(
            lines(title, metric.meaning, promql(_plain(metric), legend), width=THIRD)
        )
    return board


def _plain(metric: MetricDefinition) -> str:
    """Return the expression that shows a metric as such: a gauge as it is, what only grows by its
    rate.
    """
    by = ", ".join(("instance", *metric.labels))
    if metric.kind == "gauge":
        return f"max by ({by}) ({metric.name}{_OF})"
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
        .description("Whether the history is up to date, and what holds it up.")
        .tags(["switchboard"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .editable()
        .with_variable(stage)
    )
    for part in (_behind, _speed, _trouble, _models, _others):
        board = part(board)
    return board.build()

"""Builds the analysts' dashboard: volume, heads' answers, response times, backlog, follow-ups."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    VariableRefresh,
    VariableSort,
)

from deploy.generate.panels import (
    CLICKHOUSE,
    HALF,
    QUARTER,
    SIXTH,
    THIRD,
    WHOLE,
    Sql,
    bars,
    lines,
    listing,
    number,
)
from pipeline.models.heads import HEADS

_FILTER = "tenant IN (${tenant:singlequote}) AND channel IN (${channel:singlequote})"
_PERIOD = f"$__timeFilter(occurred_at) AND {_FILTER}"
_FROM_CUSTOMERS = f"{_PERIOD} AND direction = 'inbound' AND auto_kind = ''"
# What customers wrote or said themselves: no spam and no automatic messages.
_INBOUND = f"{_FROM_CUSTOMERS} AND NOT (spam = 'spam' AND NOT spam_abstained)"
# One page of a list; `switchboard followups` and the views have the rest.
_MAX_ROWS = 100


def _totals(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_panel(
            number(
                "Inbound",
                "Messages, mails and calls from customers in the selected period, without spam and"
                " automatic replies.",
                Sql(f"SELECT count() AS records FROM communications WHERE {_INBOUND}"),
            )
        )
        .with_panel(
            number(
                "Customers",
                "Different customers among them; linked contact points count as one person.",
                Sql(
                    "SELECT uniqExact(coalesce(people.person_id, customer_id)) AS customers FROM"
                    " communications LEFT JOIN (SELECT toNullable(customer_id) AS customer_id,"
                    " toNullable(person_id) AS person_id FROM people) AS people USING"
                    f" (customer_id) WHERE {_INBOUND}"
                ),
            )
        )
        .with_panel(
            number(
                "Waiting now",
                "Conversations in which a customer waits for a staff member, whatever the selected"
                " period.",
                Sql(
                    "SELECT count() AS waiting FROM conversations WHERE state = 'waiting' AND"
                    f" {_FILTER}"
                ),
            )
        )
        .with_panel(
            number(
                "Response overdue",
                "Waiting conversations whose response deadline has passed.",
                Sql(
                    "SELECT count() AS overdue FROM conversations WHERE state = 'waiting'"
                    f" AND breached AND {_FILTER}"
                ),
                limits=(1,),
            )
        )
        .with_panel(
            number(
                "Follow-ups overdue",
                "Promises by the company and requests by customers that were not fulfilled by"
                " their due time.",
                Sql(
                    "SELECT count() AS overdue FROM followups WHERE state = 'overdue' AND"
                    f" {_FILTER}"
                ),
                limits=(1,),
            )
        )
        .with_panel(
            number(
                "Open complaints",
                "On all channels: a complaint has no channel.",
                Sql(
                    "SELECT count() AS complaints FROM complaints WHERE stage != 'closed' AND"
                    " tenant IN (${tenant:singlequote})"
                ),
                width=SIXTH,
            )
        )
    )


def _volume(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Volume"))
        .with_panel(
            lines(
                "Volume by channel",
                "All communications, inbound and outbound.",
                Sql(
                    "SELECT $__timeInterval(occurred_at) AS time, channel, count() AS records FROM"
                    f" communications WHERE {_PERIOD} GROUP BY time, channel ORDER BY time,"
                    " channel",
                    over_time=True,
                ),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Volume by direction",
                "Inbound from customers, outbound from the company, internal.",
                Sql(
                    "SELECT $__timeInterval(occurred_at) AS time, direction, count() AS records"
                    f" FROM communications WHERE {_PERIOD} GROUP BY time, direction ORDER BY time,"
                    " direction",
                    over_time=True,
                ),
                stacked=True,
            )
        )
        .with_panel(
            listing(
                "Alerts",
                "Spikes and lasting changes found by the live stage, newest first.",
                Sql(
                    "SELECT raised_at, ended_at, kind, measure, channel, message FROM alerts"
                    " WHERE $__timeFilter(raised_at) AND tenant IN (${tenant:singlequote})"
                    f" ORDER BY raised_at DESC, alert_id LIMIT {_MAX_ROWS}"
                ),
                width=WHOLE,
            )
        )
    )


def _answers(board: boards.Dashboard) -> boards.Dashboard:
    board = board.with_row(boards.Row("What customers write"))
    for head in HEADS:
        board = board.with_panel(
            bars(
                head.name.replace("_", " ").capitalize(),
                f"{head.meaning.en[:1].upper()}{head.meaning.en[1:]}, without predictions below the"
                " head's threshold.",
                Sql(
                    f"SELECT {head.name}, count() AS records FROM communications WHERE"
                    f" {_FROM_CUSTOMERS if head.name == 'spam' else _INBOUND} AND {head.name} != ''"
                    f" AND NOT {head.name}_abstained GROUP BY {head.name} ORDER BY records DESC,"
                    f" {head.name} LIMIT 15"
                ),
                width=THIRD,
            )
        )
    return board.with_panel(
        lines(
            "Sentiment over time",
            "Sentiment of customers' messages, without predictions below the threshold.",
            Sql(
                "SELECT $__timeInterval(occurred_at) AS time, sentiment, count() AS records"
                f" FROM communications WHERE {_INBOUND} AND sentiment != '' AND NOT"
                " sentiment_abstained GROUP BY time, sentiment ORDER BY time, sentiment",
                over_time=True,
            ),
            width=THIRD,
            stacked=True,
        )
    ).with_panel(
        lines(
            "Negative sentiment",
            "Share of negative and very negative messages, without predictions below the"
            " threshold.",
            Sql(
                "SELECT $__timeInterval(occurred_at) AS time, channel, avg(sentiment IN"
                " ('negative', 'very_negative')) AS negative FROM communications WHERE"
                f" {_INBOUND} AND sentiment != '' AND NOT sentiment_abstained GROUP BY time,"
                " channel ORDER BY time, channel",
                over_time=True,
            ),
            unit="percentunit",
            width=THIRD,
        )
    )


def _response_times(board: boards.Dashboard) -> boards.Dashboard:
    # The argument of a macro must be a plain name: the plugin searches for the first bracket.
    replies = (
        "(SELECT *, assumeNotNull(replied_at) AS at FROM exchanges WHERE replier = 'human' AND"
        " replied_at IS NOT NULL)"
    )
    deadlines = (
        "(SELECT *, assumeNotNull(due_at) AS due FROM exchanges"
        " WHERE replier = 'human' AND due_at IS NOT NULL AND breached IS NOT NULL)"
    )
    return (
        board.with_row(boards.Row("Response times and service level"))
        .with_panel(
            lines(
                "First response time",
                "Median and 90th percentile of first replies by staff members, by time of reply.",
                Sql(
                    "SELECT $__timeInterval(at) AS time, quantileExactInclusive(0.5)(reply_s) AS"
                    f" median, quantileExactInclusive(0.9)(reply_s) AS p90 FROM {replies}"
                    f" WHERE $__timeFilter(at) AND {_FILTER} AND first GROUP BY time ORDER BY time",
                    over_time=True,
                ),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Response time by channel",
                "Median of first and later replies by staff members.",
                Sql(
                    "SELECT $__timeInterval(at) AS time, channel,"
                    f" quantileExactInclusive(0.5)(reply_s) AS median FROM {replies} WHERE"
                    f" $__timeFilter(at) AND {_FILTER} GROUP BY time, channel ORDER BY time,"
                    " channel",
                    over_time=True,
                ),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Response deadlines",
                "By deadline. Met: replied in time; missed: replied late or not yet.",
                Sql(
                    "SELECT $__timeInterval(due) AS time, countIf(NOT breached) AS met,"
                    f" countIf(breached) AS missed FROM {deadlines} WHERE $__timeFilter(due) AND"
                    f" {_FILTER} GROUP BY time ORDER BY time",
                    over_time=True,
                ),
                width=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Open conversations",
                "At the end of each day with changes, UTC.",
                Sql(
                    "SELECT toDateTime(day, 'UTC') AS time, channel, sum(backlog) AS open FROM"
                    f" backlog_daily WHERE $__timeFilter(time) AND {_FILTER} GROUP BY time, channel"
                    " ORDER BY time, channel",
                    over_time=True,
                ),
                width=QUARTER,
            )
        )
        .with_panel(
            bars(
                "Conversations by state",
                "Current state: waiting for a staff member, answered, open or closed.",
                Sql(
                    f"SELECT state, count() AS conversations FROM conversations WHERE {_FILTER}"
                    " GROUP BY state ORDER BY conversations DESC, state"
                ),
                width=QUARTER,
            )
        )
        .with_panel(
            lines(
                "Customer satisfaction",
                "Mean rating from 0 to 100, and share of ratings of at least 75, by day of rating.",
                Sql(
                    "SELECT toDateTime(day, 'UTC') AS time, sum(mean_index * ratings) /"
                    " sum(ratings) AS mean, 100 * sum(satisfied) / sum(ratings) AS csat FROM"
                    f" csat_daily WHERE $__timeFilter(time) AND {_FILTER} GROUP BY time ORDER BY"
                    " time",
                    over_time=True,
                ),
                width=HALF,
            )
        )
    )


def _open_work(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("Open work"))
        .with_panel(
            listing(
                "Waiting for a response",
                "By response deadline, overdue first, then by waiting time.",
                Sql(
                    "SELECT waiting_since, due_at, breached, channel, contact, subject,"
                    " arrayStringConcat(last_staff, ', ') AS staff FROM conversations WHERE state"
                    f" = 'waiting' AND {_FILTER} ORDER BY due_at NULLS LAST, waiting_since,"
                    f" conversation_id LIMIT {_MAX_ROWS}"
                ),
                width=WHOLE,
            )
        )
        .with_panel(
            listing(
                "Follow-ups due",
                "Promised by the company or requested by the customer, overdue first.",
                Sql(
                    "SELECT state, due_at, kind, way, channel, contact, staff, phrase FROM"
                    f" followups WHERE state IN ('overdue', 'open') AND {_FILTER} ORDER BY due_at,"
                    f" followup_id LIMIT {_MAX_ROWS}"
                ),
                width=WHOLE,
            )
        )
        .with_panel(
            listing(
                "Open complaints",
                "Oldest first.",
                Sql(
                    "SELECT opened_at, stage, contact_name, contact, reason, text, handling FROM"
                    " complaints WHERE stage != 'closed' AND tenant IN (${tenant:singlequote})"
                    f" ORDER BY opened_at, complaint_id LIMIT {_MAX_ROWS}"
                ),
                width=WHOLE,
            )
        )
    )


def _variable(name: str, label: str) -> boards.QueryVariable:
    return (
        boards.QueryVariable(name)
        .label(label)
        .datasource(CLICKHOUSE)
        .query(f"SELECT DISTINCT {name} FROM communication_rows ORDER BY {name}")
        .multi(True)
        .include_all(True)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def dashboard() -> Dashboard:
    """Return the dashboard."""
    board = (
        boards.Dashboard("Switchboard: customers")
        .uid("switchboard-customers")
        .description("Volume, needs and sentiment, response times, backlog and follow-ups.")
        .tags(["switchboard"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-30d", "now")
        .refresh("5m")
        .timezone("browser")
        .editable()
        .with_variable(_variable("tenant", "Tenant"))
        .with_variable(_variable("channel", "Channel"))
    )
    for part in (_totals, _volume, _answers, _response_times, _open_work):
        board = part(board)
    return board.build()

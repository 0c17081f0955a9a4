"""The analysts' dashboard: what customers say and want, how fast they are answered, what waits and
is due. All of it is SQL.
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

_CHOSEN = "tenant IN (${tenant:singlequote}) AND channel IN (${channel:singlequote})"
_SAID = f"$__timeFilter(occurred_at) AND {_CHOSEN}"
# What customers wrote or said themselves: no junk, no machine's answer.
_ASKED = (
    f"{_SAID} AND direction = 'inbound' AND auto_kind = '' AND NOT (spam = 'spam' AND NOT"
    " spam_abstained)"
)
# A page of what waits; whoever works a longer list down asks `switchboard followups` or the view.
_MOST = 100


def _now(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_panel(
            number(
                "From customers",
                "Messages, mails and calls of customers in the chosen time; spam and automatic"
                " replies left out.",
                Sql(f"SELECT count() AS records FROM communications WHERE {_ASKED}"),
            )
        )
        .with_panel(
            number(
                "Customers",
                "Different customers among them, contact points of one person counted once.",
                Sql(
                    "SELECT uniqExact(coalesce(people.person_id, customer_id)) AS customers FROM"
                    " communications LEFT JOIN (SELECT toNullable(customer_id) AS customer_id,"
                    " toNullable(person_id) AS person_id FROM people) AS people USING"
                    f" (customer_id) WHERE {_ASKED}"
                ),
            )
        )
        .with_panel(
            number(
                "Waiting now",
                "Conversations in which a customer waits for a person of ours, whenever they"
                " began.",
                Sql(
                    "SELECT count() AS waiting FROM conversations WHERE state = 'waiting' AND"
                    f" {_CHOSEN}"
                ),
            )
        )
        .with_panel(
            number(
                "Promises broken now",
                "Of them, those promised an answer by a time that is past.",
                Sql(
                    "SELECT count() AS promises_broken FROM conversations WHERE state = 'waiting'"
                    f" AND breached AND {_CHOSEN}"
                ),
                limits=(1,),
            )
        )
        .with_panel(
            number(
                "Follow-ups overdue",
                "What we promised or were asked for, not done when it was due.",
                Sql(
                    "SELECT count() AS overdue FROM followups WHERE state = 'overdue' AND"
                    f" {_CHOSEN}"
                ),
                limits=(1,),
            )
        )
        .with_panel(
            number(
                "Complaints open",
                "Whatever their channel: a complaint has none.",
                Sql(
                    "SELECT count() AS complaints FROM complaints WHERE stage != 'closed' AND"
                    " tenant IN (${tenant:singlequote})"
                ),
                width=SIXTH,
            )
        )
    )


def _said(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("What is said"))
        .with_panel(
            lines(
                "Volume by channel",
                "All communications, ours too.",
                Sql(
                    "SELECT $__timeInterval(occurred_at) AS time, channel, count() AS records FROM"
                    f" communications WHERE {_SAID} GROUP BY time, channel ORDER BY time, channel",
                    over_time=True,
                ),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "In and out",
                "From customers, from us, among us.",
                Sql(
                    "SELECT $__timeInterval(occurred_at) AS time, direction, count() AS records"
                    f" FROM communications WHERE {_SAID} GROUP BY time, direction ORDER BY time,"
                    " direction",
                    over_time=True,
                ),
                stacked=True,
            )
        )
        .with_panel(
            listing(
                "Alerts",
                "What rose all at once, or lastingly, newest first; raised by live.",
                Sql(
                    "SELECT raised_at, ended_at, kind, measure, channel, message FROM alerts"
                    " WHERE $__timeFilter(raised_at) AND tenant IN (${tenant:singlequote})"
                    f" ORDER BY raised_at DESC, alert_id LIMIT {_MOST}"
                ),
                width=WHOLE,
            )
        )
        .with_panel(
            bars(
                "Needs",
                "What customers want; guesses below the model's threshold are left out.",
                Sql(
                    f"SELECT need, count() AS records FROM communications WHERE {_ASKED} AND need"
                    " != '' AND NOT need_abstained GROUP BY need ORDER BY records DESC, need"
                    " LIMIT 15"
                ),
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Sentiment",
                "Of what customers said, where the model is sure.",
                Sql(
                    "SELECT $__timeInterval(occurred_at) AS time, sentiment, count() AS records"
                    f" FROM communications WHERE {_ASKED} AND sentiment != '' AND NOT"
                    " sentiment_abstained GROUP BY time, sentiment ORDER BY time, sentiment",
                    over_time=True,
                ),
                width=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Share that is negative",
                "Negative and very negative of all that the model is sure of.",
                Sql(
                    "SELECT $__timeInterval(occurred_at) AS time, channel, avg(sentiment IN"
                    " ('negative', 'very_negative')) AS negative FROM communications WHERE"
                    f" {_ASKED} AND sentiment != '' AND NOT sentiment_abstained GROUP BY time,"
                    " channel ORDER BY time, channel",
                    over_time=True,
                ),
                unit="percentunit",
                width=THIRD,
            )
        )
    )


def _answered(board: boards.Dashboard) -> boards.Dashboard:
    # A macro's argument is a name: the plugin looks for the first closing bracket.
    replies = (
        "(SELECT *, assumeNotNull(replied_at) AS at FROM exchanges WHERE replier = 'human' AND"
        " replied_at IS NOT NULL)"
    )
    promises = (
        "(SELECT *, assumeNotNull(due_at) AS due FROM exchanges"
        " WHERE replier = 'human' AND due_at IS NOT NULL AND breached IS NOT NULL)"
    )
    return (
        board.with_row(boards.Row("How customers are answered"))
        .with_panel(
            lines(
                "First response of a person",
                "Median and ninth decile by the time of the reply; first replies of conversations.",
                Sql(
                    "SELECT $__timeInterval(at) AS time, quantileExactInclusive(0.5)(reply_s) AS"
                    f" median, quantileExactInclusive(0.9)(reply_s) AS ninth_decile FROM {replies}"
                    f" WHERE $__timeFilter(at) AND {_CHOSEN} AND first GROUP BY time ORDER BY time",
                    over_time=True,
                ),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Every response of a person, median",
                "First and later replies, by channel.",
                Sql(
                    "SELECT $__timeInterval(at) AS time, channel,"
                    f" quantileExactInclusive(0.5)(reply_s) AS median FROM {replies} WHERE"
                    f" $__timeFilter(at) AND {_CHOSEN} GROUP BY time, channel ORDER BY time,"
                    " channel",
                    over_time=True,
                ),
                unit="s",
                width=THIRD,
            )
        )
        .with_panel(
            lines(
                "Response promises",
                "By when the answer was due. Kept: in time; broken: late, or still owed.",
                Sql(
                    "SELECT $__timeInterval(due) AS time, countIf(NOT breached) AS kept,"
                    f" countIf(breached) AS broken FROM {promises} WHERE $__timeFilter(due) AND"
                    f" {_CHOSEN} GROUP BY time ORDER BY time",
                    over_time=True,
                ),
                width=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Open conversations",
                "At the end of each day on which something moved, in UTC.",
                Sql(
                    "SELECT toDateTime(day, 'UTC') AS time, channel, sum(backlog) AS open FROM"
                    f" backlog_daily WHERE $__timeFilter(time) AND {_CHOSEN} GROUP BY time, channel"
                    " ORDER BY time, channel",
                    over_time=True,
                ),
                width=QUARTER,
            )
        )
        .with_panel(
            bars(
                "Conversations by state",
                "As of now: waiting for a person, answered, open, closed.",
                Sql(
                    f"SELECT state, count() AS conversations FROM conversations WHERE {_CHOSEN}"
                    " GROUP BY state ORDER BY conversations DESC, state"
                ),
                width=QUARTER,
            )
        )
        .with_panel(
            lines(
                "Satisfaction",
                "Ratings on 0 to 100, and the share of 75 and more, by day of the rating.",
                Sql(
                    "SELECT toDateTime(day, 'UTC') AS time, sum(mean_index * ratings) /"
                    " sum(ratings) AS mean, 100 * sum(satisfied) / sum(ratings) AS csat FROM"
                    f" csat_daily WHERE $__timeFilter(time) AND {_CHOSEN} GROUP BY time ORDER BY"
                    " time",
                    over_time=True,
                ),
                width=HALF,
            )
        )
    )


def _owed(board: boards.Dashboard) -> boards.Dashboard:
    return (
        board.with_row(boards.Row("What is owed"))
        .with_panel(
            listing(
                "Waiting for an answer",
                "Broken promises first, then by when the answer is due, then by how long the"
                " customer has waited.",
                Sql(
                    "SELECT waiting_since, due_at, breached, channel, contact, subject,"
                    " arrayStringConcat(last_staff, ', ') AS staff FROM conversations WHERE state"
                    f" = 'waiting' AND {_CHOSEN} ORDER BY due_at NULLS LAST, waiting_since,"
                    f" conversation_id LIMIT {_MOST}"
                ),
                width=WHOLE,
            )
        )
        .with_panel(
            listing(
                "Follow-ups due",
                "Promised by us or asked for by the customer, overdue first.",
                Sql(
                    "SELECT state, due_at, kind, way, channel, contact, staff, phrase FROM"
                    f" followups WHERE state IN ('overdue', 'open') AND {_CHOSEN} ORDER BY due_at,"
                    f" followup_id LIMIT {_MOST}"
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
                    f" ORDER BY opened_at, complaint_id LIMIT {_MOST}"
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
        .description("What customers say and want, how they are answered, what waits and is due.")
        .tags(["switchboard"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-30d", "now")
        .refresh("5m")
        .timezone("browser")
        .editable()
        .with_variable(_variable("tenant", "Tenant"))
        .with_variable(_variable("channel", "Channel"))
    )
    for part in (_now, _said, _answered, _owed):
        board = part(board)
    return board.build()

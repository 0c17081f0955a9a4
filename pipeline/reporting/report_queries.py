"""The queries of the report, and the sections of it that are tables.

In the SQL `{start}` and `{end}` are times as text in UTC, `{zone}` is an IANA time zone.

To add a section that is a table, add one `TableSection` to `TABLE_SECTIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass

# Enough for a page; readers who want more can query the views.
_TOP_CUSTOMERS, _TOP_LABELS = 15, 15

_WITHIN = (
    "occurred_at >= toDateTime64({start:String}, 3, 'UTC') AND occurred_at <"
    " toDateTime64({end:String}, 3, 'UTC')"
)

TOTALS = f"""
SELECT
    count() AS records,
    uniqExact(if(people.person_id IS NULL, customer_id, people.person_id)) AS customers,
    uniqExact(conversation_id) AS conversations,
    countIf(direction = 'inbound') AS inbound,
    countIf(direction = 'outbound') AS outbound,
    toString(toDate(min(occurred_at), {{zone:String}})) AS first,
    toString(toDate(max(occurred_at), {{zone:String}})) AS last,
    countIf(auto_kind != '') AS automatic,
    countIf(spam = 'spam' AND NOT spam_abstained) AS spam
FROM communications
LEFT JOIN
(
    SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id FROM people
) AS people USING (customer_id)
WHERE {_WITHIN}
"""

VOLUME = f"""
SELECT toString(toDate(occurred_at, {{zone:String}})) AS day, channel, count() AS records
FROM communications WHERE {_WITHIN}
GROUP BY day, channel ORDER BY day, channel
"""

# What customers wrote counts; a head that answers only about other messages counts those.
HEADS = f"""
WITH
    counted AS
    (
        SELECT
            head,
            answers[head] AS answer,
            direction = 'inbound' AS of_customers,
            count() AS records,
            countIf(answers_abstained[head]) AS unsure
        FROM communications ARRAY JOIN mapKeys(answers) AS head
        WHERE {_WITHIN} AND answers[head] != ''
        GROUP BY head, answer, of_customers
    )
SELECT head, answer, sum(counted.records) AS records, sum(counted.unsure) AS unsure
FROM counted
WHERE of_customers OR head NOT IN (SELECT head FROM counted WHERE of_customers)
GROUP BY head, answer ORDER BY head, records DESC, answer LIMIT {_TOP_LABELS} BY head
"""

# A person is all linked contact points. Amounts of different currencies are never added up.
CUSTOMERS = f"""
WITH
    joined AS
    (
        SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id
        FROM people
    ),
    paid AS
    (
        SELECT
            person,
            arrayStringConcat(groupArray(concat(currency, ' ', toString(total))), ', ') AS sums
        FROM
        (
            SELECT coalesce(joined.person_id, customer_id) AS person, currency, sum(amount) AS total
            FROM business_events LEFT JOIN joined USING (customer_id)
            WHERE kind = 'order' AND action = 'paid' AND customer_id IS NOT NULL AND {_WITHIN}
            GROUP BY person, currency ORDER BY person, currency
        )
        GROUP BY person
    ),
    active AS
    (
        SELECT
            coalesce(joined.person_id, customer_id) AS person,
            argMaxIf(contact_name, occurred_at, contact_name != '') AS name,
            argMin(
                contact, indexOf(['email', 'phone', 'id', 'handle'], splitByChar(':', contact)[1])
            ) AS best_contact,
            count() AS records,
            arrayStringConcat(arraySort(groupUniqArray(channel)), ', ') AS channels,
            toString(toTimeZone(max(occurred_at), {{zone:String}})) AS last
        FROM communications LEFT JOIN joined USING (customer_id)
        WHERE customer_id IS NOT NULL AND {_WITHIN}
        GROUP BY person
    )
SELECT
    if(name = '', '–', name) AS customer,
    substring(best_contact, position(best_contact, ':') + 1) AS contact,
    channels,
    records,
    paid.sums AS paid,
    substring(last, 1, 16) AS last_record
FROM active LEFT JOIN paid USING (person)
ORDER BY records DESC, best_contact LIMIT {_TOP_CUSTOMERS}
"""

# Whatever the period: a complaint does not close because a month ends.
COMPLAINTS = """
SELECT
    complaint_id AS complaint,
    if(contact_name != '', contact_name, substring(contact, position(contact, ':') + 1))
        AS customer,
    replaceAll(reason, '_', ' ') AS reason,
    stage,
    ifNull(substring(toString(toTimeZone(opened_at, {zone:String})), 1, 16), '') AS opened,
    text,
    handling
FROM complaints WHERE stage != 'closed' ORDER BY opened_at
"""

RATINGS = f"""
SELECT
    count() AS n,
    avg(rating_index) AS mean,
    median(rating_index) AS median,
    countIf(rating_index >= 75) AS satisfied
FROM business_events WHERE kind = 'feedback' AND rating_index IS NOT NULL AND {_WITHIN}
"""

FLAGS = f"""
SELECT flag, count() AS records FROM communications ARRAY JOIN quality_flags AS flag
WHERE {_WITHIN} GROUP BY flag ORDER BY records DESC, flag
"""

DEAD_LETTERS = """
SELECT stage, reason_code, count() AS letters FROM dead_letters WHERE replay_outcome != 'accepted'
GROUP BY stage, reason_code ORDER BY letters DESC, stage, reason_code
"""

# Over all days, whatever the period: models keep what they have learnt.
MODELS = """
SELECT
    replaceAll(head, '_', ' ') AS head,
    tests,
    concat(toString(round(100 * accuracy, 1)), ' %') AS accuracy,
    toString(round(macro_f1, 3)) AS macro_f1,
    concat(toString(round(100 * coverage, 1)), ' %') AS coverage,
    ifNull(concat(toString(round(100 * covered_accuracy, 1)), ' %'), '') AS covered_accuracy,
    ifNull(toString(round(calibration_error, 3)), '') AS calibration_error,
    concat(toString(round(100 * by_model, 1)), ' %') AS by_model
FROM model_quality AS quality WHERE day IS NULL AND language = 'all' ORDER BY quality.head
"""

CHART_QUERIES: dict[str, str] = {
    "totals": TOTALS,
    "volume": VOLUME,
    "heads": HEADS,
    "ratings": RATINGS,
}


@dataclass(frozen=True, slots=True)
class TableSection:
    """A section of the report that shows the rows of a query as a table.

    `columns` maps columns of the query to headings; `wrapped` are those with long texts, `numbers`
    are aligned to the right. If there are no rows, the section shows `empty`, or is left out.
    """

    title: str
    sql: str
    columns: dict[str, str]
    numbers: frozenset[str] = frozenset()
    wrapped: frozenset[str] = frozenset()
    empty: str = ""
    note: str = ""


TABLE_SECTIONS = (
    TableSection(
        "Open complaints",
        COMPLAINTS,
        {
            "complaint": "Complaint",
            "customer": "Customer",
            "reason": "Reason",
            "stage": "Stage",
            "opened": "Opened",
            "text": "Text",
            "handling": "Handling",
        },
        wrapped=frozenset({"complaint", "customer", "text", "handling"}),
        empty="No complaint is open.",
    ),
    TableSection(
        "Most active customers",
        CUSTOMERS,
        {
            "customer": "Customer",
            "contact": "Contact point",
            "channels": "Channels",
            "records": "Records",
            "paid": "Paid",
            "last_record": "Last record",
        },
        numbers=frozenset({"records"}),
        wrapped=frozenset({"customer", "contact"}),
        empty="No customer in this period.",
    ),
    TableSection(
        "Model quality",
        MODELS,
        {
            "head": "Head",
            "tests": "Tests",
            "accuracy": "Accuracy",
            "macro_f1": "Macro-F1",
            "coverage": "Coverage",
            "covered_accuracy": "Accuracy of covered",
            "calibration_error": "Calibration error",
            "by_model": "Predicted by model",
        },
        numbers=frozenset(
            {
                "tests",
                "accuracy",
                "macro_f1",
                "coverage",
                "covered_accuracy",
                "calibration_error",
                "by_model",
            }
        ),
        note="Every labelled record, tested before it was learnt, over all days. Coverage: the"
        " share of records for which the head did not abstain.",
    ),
    TableSection(
        "Data quality",
        FLAGS,
        {"flag": "Flag", "records": "Records"},
        numbers=frozenset({"records"}),
        empty="No record has a quality flag.",
    ),
    TableSection(
        "Dead letters",
        DEAD_LETTERS,
        {"stage": "Rejected by", "reason_code": "Reason", "letters": "Dead letters"},
        numbers=frozenset({"letters"}),
    ),
)

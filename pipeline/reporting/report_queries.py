"""The report's questions: SQL by section. `{start}`, `{end}` are instants as text in UTC, `{zone}`
an IANA zone.
"""

from __future__ import annotations

# Enough for a page that a person reads; whoever wants more asks the tables.
_TOP_CUSTOMERS, _TOP_NEEDS = 15, 15

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
LEFT JOIN (SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id FROM people) AS people USING (customer_id)
WHERE {_WITHIN}
"""

VOLUME = f"""
SELECT toString(toDate(occurred_at, {{zone:String}})) AS day, channel, count() AS records
FROM communications WHERE {_WITHIN}
GROUP BY day, channel ORDER BY day, channel
"""

NEEDS = f"""
SELECT need, count() AS records, countIf(need_abstained) AS unsure
FROM communications WHERE {_WITHIN} AND need != '' AND direction = 'inbound'
GROUP BY need ORDER BY records DESC, need LIMIT {_TOP_NEEDS}
"""

SENTIMENT = f"""
SELECT sentiment, count() AS records, countIf(sentiment_abstained) AS unsure
FROM communications WHERE {_WITHIN} AND sentiment != '' AND direction = 'inbound'
GROUP BY sentiment
"""

# Heads of a team's own, whichever there are.
OWN_HEADS = f"""
SELECT head, answers[head] AS answer, count() AS records, countIf(answers_abstained[head]) AS unsure
FROM communications ARRAY JOIN mapKeys(answers) AS head WHERE {_WITHIN} AND answers[head] != ''
GROUP BY head, answer ORDER BY head, records DESC, answer
"""

# A person is all contact points that links join; sums of different currencies are never added up.
CUSTOMERS = f"""
WITH
    joined AS (SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id FROM people),
    paid AS
    (
        SELECT person, arrayStringConcat(groupArray(concat(currency, ' ', toString(total))), ', ') AS sums
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
            argMin(contact, indexOf(['email', 'phone', 'id', 'handle'], splitByChar(':', contact)[1])) AS best_contact,
            count() AS records,
            arrayStringConcat(arraySort(groupUniqArray(channel)), ', ') AS channels,
            toString(toTimeZone(max(occurred_at), {{zone:String}})) AS last
        FROM communications LEFT JOIN joined USING (customer_id)
        WHERE customer_id IS NOT NULL AND {_WITHIN}
        GROUP BY person
    )
SELECT name, best_contact AS contact, records, channels, last, paid.sums AS paid
FROM active LEFT JOIN paid USING (person)
ORDER BY records DESC, contact LIMIT {_TOP_CUSTOMERS}
"""

# Open is open, whatever the period: a complaint does not close because a month ends.
COMPLAINTS = """
SELECT
    complaint_id, contact, contact_name, reason, stage, text, handling,
    toString(toTimeZone(opened_at, {zone:String})) AS opened
FROM complaints WHERE stage != 'closed' ORDER BY opened_at
"""

RATINGS = f"""
SELECT count() AS n, avg(rating_index) AS mean, median(rating_index) AS median, countIf(rating_index >= 75) AS satisfied
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

# Over all days: what was learnt stays learnt, whatever the period.
MODELS = """
SELECT head, tests,
    concat(toString(round(100 * accuracy, 1)), ' %') AS accuracy,
    toString(round(macro_f1, 3)) AS macro_f1,
    concat(toString(round(100 * coverage, 1)), ' %') AS coverage,
    if(covered_accuracy IS NULL, '', concat(toString(round(100 * assumeNotNull(covered_accuracy), 1)), ' %')) AS covered_accuracy,
    if(calibration_error IS NULL, '', toString(round(assumeNotNull(calibration_error), 3))) AS calibration_error,
    concat(toString(round(100 * by_model, 1)), ' %') AS by_model
FROM model_quality WHERE day IS NULL AND language = 'all' ORDER BY head
"""

SECTIONS: dict[str, str] = {
    "totals": TOTALS,
    "volume": VOLUME,
    "needs": NEEDS,
    "sentiment": SENTIMENT,
    "own_heads": OWN_HEADS,
    "customers": CUSTOMERS,
    "complaints": COMPLAINTS,
    "ratings": RATINGS,
    "flags": FLAGS,
    "dead_letters": DEAD_LETTERS,
    "models": MODELS,
}

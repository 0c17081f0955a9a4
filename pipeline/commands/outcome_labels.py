"""Labels from outcomes: what customers did after a message labels the message.

The queries are idempotent: the id and time of a label follow from the record and the outcome alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pipeline.commands.labels import label_event
from pipeline.ingest.port import ReadEvent
from pipeline.ingest.publisher import Publisher
from pipeline.sinks.warehouse import Warehouse, rows
from schemas.envelope import Event, tenant_problem
from schemas.types import EARLIEST

SOURCE = "switchboard/outcomes"

# The last three messages before an order are about the order; earlier ones are about anything.
_MESSAGES_AN_ORDER = 3
# A customer who pays within two days was ready to order; one who pays later was considering it.
_READY_S = 2 * 86_400
# An order shows what the customer did, not what the text means: half the weight of a person's
# label.
_POSITIVE_WEIGHT = 0.5
# Most messages lead to no order, and that means little: a quarter of the weight of a person's
# label, times the number of messages of the day that a sampled one represents, up to that weight.
_NEGATIVE_WEIGHT, _MOST_NEGATIVE_WEIGHT = 0.25, 1.0
# The maximum of a day, so that learning does not grow with traffic. Record ids are hashes, so the
# smallest ids of a day are a random sample that is the same in every run.
_POSITIVES_A_DAY, _NEGATIVES_A_DAY = 100, 100
# A rating with a text labels that text; a rating without a text labels the last message before it.
_RATED_TEXT_WEIGHT, _RATED_MESSAGE_WEIGHT = 1.0, 0.5
# A survey is answered within days; a rating after a week is about something else.
_RATING_S = 7 * 86_400

_PEOPLE = """(
            SELECT toNullable(customer_id) AS customer_id, toNullable(person_id) AS person_id
            FROM people
        ) AS p"""

_MESSAGES = f"""
    messages AS
    (
        SELECT
            c.tenant AS tenant,
            c.record_id AS record,
            c.occurred_at AS occurred_at,
            if(p.person_id IS NULL, c.customer_id, p.person_id) AS person
        FROM communications AS c
        LEFT JOIN {_PEOPLE} USING (customer_id)
        WHERE c.direction = 'inbound' AND c.kind IN ('message', 'call') AND c.auto_kind = ''
            AND c.redacted_text != '' AND c.customer_id IS NOT NULL
            AND c.occurred_at >= {{since:DateTime64(3, 'UTC')}}
    ),
    business AS
    (
        SELECT b.*, if(p.person_id IS NULL, b.customer_id, p.person_id) AS person
        FROM business_events AS b
        LEFT JOIN {_PEOPLE} USING (customer_id)
        WHERE b.customer_id IS NOT NULL
    )"""

_NO_OTHER_LABEL = """
    NOT IN (SELECT tenant, record_id FROM labels WHERE head = '{head}' AND origin != 'outcome')"""

_INTENT = f"""
WITH {_MESSAGES},
    paid AS
    (
        SELECT tenant, person, occurred_at AS paid_at
        FROM business
        WHERE kind = 'order' AND action = 'paid'
    ),
    followed AS
    (
        SELECT messages.tenant AS tenant, messages.person AS person, record, occurred_at, paid_at,
            paid_at > occurred_at
                AND paid_at <= occurred_at + INTERVAL {{horizon_s:UInt32}} SECOND AS bought
        FROM messages ASOF LEFT JOIN paid
            ON messages.tenant = paid.tenant AND messages.person = paid.person
                AND messages.occurred_at < paid.paid_at
    )"""

_POSITIVES = f"""{_INTENT}
SELECT toString(record) AS record_id, tenant,
    if(seconds <= {_READY_S}, 'ready', 'considering') AS value,
    toUnixTimestamp64Milli(paid_at) AS at_ms, seconds, {_POSITIVE_WEIGHT} AS weight
FROM
(
    SELECT *,
        row_number() OVER
            (PARTITION BY tenant, toDate(paid_at, 'UTC') ORDER BY toString(record)) AS of_day
    FROM
    (
        SELECT *, toUInt32(dateDiff('second', occurred_at, paid_at)) AS seconds,
            row_number() OVER
            (
                PARTITION BY tenant, person, paid_at ORDER BY occurred_at DESC, toString(record)
            ) AS of_order
        FROM followed
        WHERE bought
    )
    WHERE of_order <= {_MESSAGES_AN_ORDER}
)
WHERE of_day <= {_POSITIVES_A_DAY}
    AND (tenant, record) {_NO_OTHER_LABEL.format(head="purchase_intent")}
    AND (tenant, record, value) NOT IN
        (SELECT tenant, record_id, value FROM labels WHERE head = 'purchase_intent')
ORDER BY at_ms, record_id
"""

# A day counts if orders are known from before it until the end of its horizon: an installation
# without orders has no negatives.
_NEGATIVES = f"""{_INTENT},
    known AS
    (
        SELECT tenant, min(paid_at) AS first_paid, max(paid_at) AS last_paid
        FROM paid
        GROUP BY tenant
    )
SELECT toString(record) AS record_id, tenant, 'none' AS value,
    toUnixTimestamp64Milli(occurred_at) AS at_ms,
    least(
        {_NEGATIVE_WEIGHT} * on_day / least(on_day, {_NEGATIVES_A_DAY}), {_MOST_NEGATIVE_WEIGHT}
    ) AS weight
FROM
(
    SELECT *, row_number() OVER (PARTITION BY tenant, day ORDER BY toString(record)) AS of_day,
        count() OVER (PARTITION BY tenant, day) AS on_day
    FROM
    (
        SELECT followed.*, toStartOfDay(occurred_at, 'UTC') AS day
        FROM followed INNER JOIN known ON followed.tenant = known.tenant
        WHERE NOT bought AND toStartOfDay(occurred_at, 'UTC') >= first_paid
            AND toStartOfDay(occurred_at, 'UTC') + INTERVAL 1 DAY
                + INTERVAL {{horizon_s:UInt32}} SECOND <= last_paid
    )
)
WHERE of_day <= {_NEGATIVES_A_DAY}
    AND (tenant, record) NOT IN
        (SELECT tenant, record_id FROM labels WHERE head = 'purchase_intent')
ORDER BY at_ms, record_id
"""

_SENTIMENT = (
    "multiIf(rating_index < 12.5, 'very_negative', rating_index < 37.5, 'negative', rating_index <="
    " 62.5, 'neutral', rating_index <= 87.5, 'positive', 'very_positive')"
)

_RATINGS = f"""
WITH {_MESSAGES},
    rated AS
    (
        SELECT tenant, person, record_id AS feedback, occurred_at AS rated_at, text,
            {_SENTIMENT} AS value
        FROM business
        WHERE kind = 'feedback' AND rating_index IS NOT NULL
            AND occurred_at >= {{since:DateTime64(3, 'UTC')}}
    ),
    about AS
    (
        SELECT tenant, feedback AS record, rated_at, value, {_RATED_TEXT_WEIGHT} AS weight
        FROM rated
        WHERE text != ''
        UNION ALL
        SELECT rated.tenant AS tenant, messages.record AS record, rated_at, value,
            {_RATED_MESSAGE_WEIGHT} AS weight
        FROM (SELECT * FROM rated WHERE text = '') AS rated ASOF INNER JOIN messages
            ON rated.tenant = messages.tenant AND rated.person = messages.person
                AND rated.rated_at >= messages.occurred_at
        WHERE messages.occurred_at >= rated_at - INTERVAL {_RATING_S} SECOND
    ),
    last_marks AS
    (
        SELECT tenant, record, argMax(about.value, about.rated_at) AS value,
            max(about.rated_at) AS marked_at, any(about.weight) AS weight
        FROM about
        GROUP BY tenant, record
    )
SELECT toString(record) AS record_id, tenant, value, toUnixTimestamp64Milli(marked_at) AS at_ms,
    weight
FROM last_marks
WHERE (tenant, record) {_NO_OTHER_LABEL.format(head="sentiment")}
    AND (tenant, record, value) NOT IN
        (SELECT tenant, record_id, value FROM labels WHERE head = 'sentiment')
ORDER BY at_ms, record_id
"""


@dataclass(frozen=True, slots=True)
class OutcomeHorizon:
    """The days within which a payment counts as an effect of a message, and the first message."""

    days: int
    since: datetime = EARLIEST

    @classmethod
    def recent(cls, days: int, now: datetime) -> OutcomeHorizon:
        """Return the horizon of periodic scans: messages whose horizon ended within a month."""
        return cls(days, now - timedelta(days=2 * days + 31))


def outcome_labels(warehouse: Warehouse, horizon: OutcomeHorizon) -> Iterator[Event]:
    """Yield the labels of outcomes that the history does not contain yet, each kind by time.

    They never override the label, or the retraction, of a person.
    """
    parameters = {"horizon_s": horizon.days * 86_400, "since": f"{horizon.since:%Y-%m-%d %H:%M:%S}"}
    for row in _labelable(rows(warehouse, _POSITIVES, **parameters)):
        yield _label(row, "purchase_intent", f"paid {row['seconds'] / 86_400:.1f} days later")
    for row in _labelable(rows(warehouse, _NEGATIVES, **parameters)):
        yield _label(row, "purchase_intent", f"nothing paid within {horizon.days} days")
    for row in _labelable(rows(warehouse, _RATINGS, since=parameters["since"])):
        yield _label(row, "sentiment", "rated so by the customer")


def _labelable(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows whose tenant an event may have: earlier versions took any text for one."""
    return (row for row in found if not tenant_problem(row["tenant"]))


def _label(row: dict[str, Any], head: str, note: str) -> Event:
    return label_event(
        UUID(row["record_id"]),
        head,
        row["value"],
        note=note,
        origin="outcome",
        tenant=row["tenant"],
        source=SOURCE,
        weight=round(float(row["weight"]), 4),
        at=datetime.fromtimestamp(int(row["at_ms"]) / 1000, UTC),
    )


def publish_outcome_labels(
    warehouse: Warehouse, publisher: Publisher, horizon: OutcomeHorizon
) -> Counter[str]:
    """Publish the labels of outcomes; return how many by head and value."""
    counts: Counter[str] = Counter()
    for event in outcome_labels(warehouse, horizon):
        refusal = publisher.publish(
            ReadEvent(event, event.model_dump_json().encode()), "outcomes/1", event.tenant
        )
        counts["refused" if refusal else f"{event.data['head']}: {event.data['value']}"] += 1
        if publisher.full:
            publisher.flush()
    publisher.flush()
    return counts

"""Lists follow-ups: promises by the company and requests by customers (`switchboard followups`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.sinks.warehouse import Warehouse, rows

# About a day's work; a caller who wants more passes a limit.
DEFAULT_LIMIT = 50

FOLLOWUPS = """
SELECT
    state,
    kind,
    way,
    toString(toTimeZone(due_at, {zone:String})) AS due,
    dateDiff('second', now64(3, 'UTC'), due_at) AS seconds_left,
    due_stated,
    toString(toTimeZone(promised_at, {zone:String})) AS promised,
    contact,
    contact_name,
    channel,
    staff,
    phrase,
    record_id,
    conversation_id
FROM followups
LEFT JOIN
(
    SELECT record_id, contact_name FROM communications
    WHERE record_id IN (SELECT record_id FROM followup_rows)
) AS communication USING (record_id)
WHERE state IN {states:Array(String)}
    AND due_at < now64(3, 'UTC') + toIntervalSecond({within:UInt64})
    AND ({staff:String} = '' OR staff = {staff:String})
    AND ({kind:String} = '' OR kind = {kind:String})
ORDER BY due_at, followup_id
LIMIT {limit:UInt32}
"""

COUNTS = """
SELECT state, kind, count() AS followups FROM followups GROUP BY state, kind ORDER BY state, kind
"""

# Practically unlimited, and small enough to be added to a timestamp.
_ANY_TIME_S = 100 * 366 * 86_400


def followups(
    warehouse: Warehouse,
    *,
    zone: str = "UTC",
    within_s: int | None = None,
    staff: str = "",
    kind: str = "",
    done: bool = False,
    limit: int = DEFAULT_LIMIT,
) -> list[dict[str, Any]]:
    """Return follow-ups by due time, so that overdue ones come first.

    `zone` is the IANA time zone of the results. `within_s` excludes follow-ups that are due later
    than that many seconds from now. `staff` and `kind` (promised or requested) filter unless empty.
    With `done`, fulfilled ones are returned instead of open ones. Raises WarehouseError.
    """
    parameters: Mapping[str, Any] = {
        "zone": zone,
        "states": ["kept", "kept_late"] if done else ["overdue", "open"],
        "within": _ANY_TIME_S if within_s is None else within_s,
        "staff": staff,
        "kind": kind,
        "limit": limit,
    }
    return rows(warehouse, FOLLOWUPS, **parameters)


def followup_counts(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the number of follow-ups by state and kind."""
    return rows(warehouse, COUNTS)

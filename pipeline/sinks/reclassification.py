"""Later answers and the rows of communications: whatever is loaded first, a record shows the newest
answer about the text it has.

A later answer lies in `reclassified_rows`, for it may come before its record (a rebuilt store, two
workers). After every insert of the one or the other the rows of communications that are behind are
written again, by the warehouse itself (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.models.heads import HEADS
from pipeline.sinks.warehouse import Warehouse, rows

_PARTS = ("label", "also", "p", "abstained", "model_version")
# What a column of an answer is called for each of its parts; "" is the label's, which has the
# head's own name.
_SUFFIXES = ("", "_also", "_p", "_abstained", "_version")
# Only need has a column for further answers.
_COMBINABLE = frozenset(head.name for head in HEADS if head.combinable)


def text_hash_sql(table: str) -> str:
    """Return SQL for the hash of the text that models read of a row of `table` (an alias)."""
    return f"hex(sipHash64({table}.redacted_text))"


def newest_reclassification(warehouse: Warehouse) -> int:
    """Return the version of the newest later answer, 0 where there is none."""
    return int(rows(warehouse, "SELECT max(version) AS newest FROM reclassified_rows")[0]["newest"])


def apply_reclassifications(warehouse: Warehouse, records: Sequence[int], answers: Sequence[int]) -> None:
    """Bring the rows of communications up to date, after records or later answers of these versions
    were inserted.

    A record can only be behind an answer that the log took after it, which a record that has just
    come is not: then nothing is read but one number. Settling again changes nothing. Raises what
    `Warehouse.execute` does.
    """
    if answers:
        warehouse.execute(_update_sql("reclassified_rows", min(answers), max(answers)))
    if records and min(records) < newest_reclassification(warehouse):
        warehouse.execute(_update_sql("communication_rows", min(records), max(records)))


def _update_sql(table: str, first: int, last: int) -> str:
    concerned = (
        f"record_id IN (SELECT record_id FROM {table} WHERE version BETWEEN {first} AND {last})"
    )
    names = ", ".join(f"'{head.name}'" for head in HEADS)
    answer = f"({', '.join(_PARTS)}, version, text_hash)"
    given = ", ".join(
        f"anyIf({answer}, head = '{head.name}') AS {head.name}_given" for head in HEADS
    )
    own = f"groupArrayIf((head, {answer}), head NOT IN ({names})) AS own_given"
    behind = [
        f"{_applies_sql(f'{head.name}_given')} AND {head.name}_given.5 != row.{head.name}_version"
        for head in HEADS
    ]
    changed = [*behind, "notEmpty(own)"]
    replaced = [
        f"if({_applies_sql(f'{head.name}_given')}, {head.name}_given.{place + 1},"
        f" row.{head.name}{suffix}) AS {head.name}{suffix}"
        for head in HEADS
        for place, suffix in enumerate(_SUFFIXES)
        if suffix != "_also" or head.name in _COMBINABLE
    ]
    replaced += [
        f"mapUpdate(row.answers{suffix}, mapFromArrays(own.1, arrayMap(one -> one.{place + 1},"
        f" own.2))) AS answers{suffix}"
        for place, suffix in enumerate(_SUFFIXES)
    ]
    # One above the row that it follows: a correction of the record, which the log took later, stays
    # above both.
    replaced.append("row.version + 1 AS version")
    return f"""
INSERT INTO communication_rows (* EXCEPT (ingested_at))
WITH arrayFilter(one -> {_applies_sql("one.2")} AND row.answers_version[one.1] != one.2.5, later.own_given) AS own
SELECT row.* EXCEPT (ingested_at) REPLACE ({", ".join(replaced)})
FROM (SELECT * FROM communication_rows FINAL WHERE {concerned}) AS row
INNER JOIN
(
    SELECT record_id, {given}, {own} FROM reclassified_rows FINAL WHERE {concerned} GROUP BY record_id
) AS later ON later.record_id = row.record_id
WHERE {" OR ".join(f"({one})" for one in changed)}
"""


def _applies_sql(given: str) -> str:
    """Return the condition under which an answer counts for a row: given later, about the text that
    the row has.
    """
    return f"({given}.6 > row.version AND {given}.7 = {text_hash_sql('row')})"

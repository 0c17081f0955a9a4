"""Applies reclassifications to communications: a record shows the latest prediction for its text.

A reclassification is stored in `reclassified_rows`, because it may be loaded before its record (a
rebuilt store, two workers). After every insert of records or reclassifications the warehouse itself
rewrites the outdated rows of communications (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.models.heads import HEADS
from pipeline.sinks.warehouse import Warehouse, rows

_PARTS = ("label", "also", "p", "abstained", "model_version")
# The suffix of a head's column for each of these parts; the label's column has the head's name.
_SUFFIXES = ("", "_also", "_p", "_abstained", "_version")
# Heads with a column for additional labels.
_COMBINABLE = frozenset(head.name for head in HEADS if head.combinable)


def text_hash_sql(table: str) -> str:
    """Return the SQL of the hash of a row's model input; `table` is its table's alias.

    >>> text_hash_sql("record")
    'hex(sipHash64(record.redacted_text))'
    """
    return f"hex(sipHash64({table}.redacted_text))"


def newest_reclassification(warehouse: Warehouse) -> int:
    """Return the highest version of all reclassifications, or 0 if there are none."""
    return int(rows(warehouse, "SELECT max(version) AS newest FROM reclassified_rows")[0]["newest"])


def apply_reclassifications(
    warehouse: Warehouse, records: Sequence[int], reclassifications: Sequence[int]
) -> None:
    """Update communications after records and reclassifications of these versions were inserted.

    Only a reclassification with a higher version can apply to a record. New records have none: then
    a single number is read. Applying again changes nothing. Raises what `Warehouse.execute` raises.
    """
    if reclassifications:
        warehouse.execute(
            _update_sql("reclassified_rows", min(reclassifications), max(reclassifications))
        )
    if records and min(records) < newest_reclassification(warehouse):
        warehouse.execute(_update_sql("communication_rows", min(records), max(records)))


def _update_sql(table: str, first: int, last: int) -> str:
    """Return the INSERT that rewrites outdated rows of records with versions of `table`."""
    affected = (
        f"record_id IN (SELECT record_id FROM {table} WHERE version BETWEEN {first} AND {last})"
    )
    names = ", ".join(f"'{head.name}'" for head in HEADS)
    answer = f"({', '.join(_PARTS)}, version, text_hash)"
    built_in = ", ".join(
        f"anyIf({answer}, head = '{head.name}') AS {head.name}_new" for head in HEADS
    )
    custom = f"groupArrayIf((head, {answer}), head NOT IN ({names})) AS custom_new"
    outdated = [
        f"{_applies_sql(f'{head.name}_new')} AND {head.name}_new.5 != row.{head.name}_version"
        for head in HEADS
    ]
    outdated.append("notEmpty(custom)")
    replaced = [
        f"if({_applies_sql(f'{head.name}_new')}, {head.name}_new.{index},"
        f" row.{head.name}{suffix}) AS {head.name}{suffix}"
        for head in HEADS
        for index, suffix in enumerate(_SUFFIXES, 1)
        if suffix != "_also" or head.name in _COMBINABLE
    ]
    replaced += [
        f"mapUpdate(row.answers{suffix}, mapFromArrays(custom.1, arrayMap(item -> item.{index},"
        f" custom.2))) AS answers{suffix}"
        for index, suffix in enumerate(_SUFFIXES, 1)
    ]
    # One higher than the row that it replaces: a correction of the record, which comes later in the
    # log, has a higher version than both.
    replaced.append("row.version + 1 AS version")
    changed = f"{_applies_sql('item.2')} AND row.answers_version[item.1] != item.2.5"
    return f"""
INSERT INTO communication_rows (* EXCEPT (ingested_at))
WITH arrayFilter(item -> {changed}, later.custom_new) AS custom
SELECT row.* EXCEPT (ingested_at) REPLACE ({", ".join(replaced)})
FROM (SELECT * FROM communication_rows FINAL WHERE {affected}) AS row
INNER JOIN
(
    SELECT record_id, {built_in}, {custom}
    FROM reclassified_rows FINAL WHERE {affected} GROUP BY record_id
) AS later ON later.record_id = row.record_id
WHERE {" OR ".join(f"({condition})" for condition in outdated)}
"""


def _applies_sql(answer: str) -> str:
    """Return the condition that a new answer applies: newer than the row, and for its text."""
    return f"({answer}.6 > row.version AND {answer}.7 = {text_hash_sql('row')})"

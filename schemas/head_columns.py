"""The columns of `communication_rows` with the answers of built-in heads (docs/adr/0026).

A built-in head has a column with its label, named after it, and one for each further part of an
answer. The maps `answers`, `answers_p`, … of the table have the answers of a team's own heads; in
the view `communications` they have the answers of all heads.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.columns import relations

TABLE, _MAPS = "communication_rows", "answers"
# What follows the head's name in a column's name, with the column's type and comment.
PARTS = {
    "": ("LowCardinality(String)", "{meaning}; empty if the head does not apply"),
    "_p": ("Float32", "Confidence of {head}, 0 to 1"),
    "_abstained": (
        "Bool",
        "True if the confidence of {head} is below the head's threshold: a best guess",
    ),
    "_version": ("LowCardinality(String)", "Version of the model that predicted {head}"),
    "_also": ("Array(String)", "Additional labels of {head} if a message asks for several things"),
}


def declared_heads(migration: int) -> list[str]:
    """Return the heads that have columns once a migration was applied, in the table's order.

    >>> declared_heads(1)
    ['need', 'sentiment', 'urgency', 'spam', 'purchase_intent']
    """
    names = [column.name for column in relations()[TABLE].at(migration)]
    return [name for name in names if f"{name}_version" in names and name != _MAPS]


def all_answers_sql(migration: int, part: str = "") -> str:
    """Return the SQL of the map that has one part of the answers of all heads.

    A head has no key in rows from before it existed: its version is empty there. A built-in head
    counts before an own head of the same name, which it may have been.
    """
    declared = {column.name for column in relations()[TABLE].at(migration)}
    heads = declared_heads(migration)
    versions = _array(f"{head}_version" for head in heads)
    names = _array(f"'{head}'" for head in heads)
    values = _array(_value_sql(f"{head}{part}", part, declared) for head in heads)
    known = ", ".join(
        f"arrayFilter((item, version) -> version != '', {items}, {versions})"
        for items in (names, values)
    )
    return f"mapUpdate({_MAPS}{part}, mapFromArrays({known}))"


def _value_sql(column: str, part: str, declared: set[str]) -> str:
    if column not in declared:
        return "[]"
    return f"toString({column})" if PARTS[part][0] == "LowCardinality(String)" else column


def _array(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"

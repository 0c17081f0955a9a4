"""What a question may use: functions, tables of the engine, settings, formats.

Everything else is refused, also what a later version of the engine adds.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FUNCTIONS = Path(__file__).with_name("allowed_functions.txt")
_AGGREGATE = "aggregate"

TABLE_FUNCTIONS = frozenset(
    {
        "generaterandom",
        "generate_series",
        "generateseries",
        "null",
        "numbers",
        "numbers_mt",
        "sqlstandardvalues",
        "values",
        "view",
        "zeros",
        "zeros_mt",
    }
)
"""Table functions that compute their rows, in lower case."""

# ClickHouse's system.aggregate_function_combinators.
_COMBINATOR = re.compile(
    r"(?:If|Array|Map|Merge|State|SimpleState|Distinct|OrDefault|OrNull|Resample|ForEach|ArgMin"
    r"|ArgMax|Null|Tuple)$",
    re.IGNORECASE,
)

TYPES = frozenset(
    {
        "aggregatefunction",
        "datetime",
        "decimal",
        "enum",
        "enum16",
        "enum8",
        "fixedstring",
        "json",
        "lowcardinality",
        "nested",
        "nullable",
        "simpleaggregatefunction",
        "variant",
    }
)
"""Types with arguments that are no functions' names too; the formatter writes few as types."""

SYSTEM_DATABASES = frozenset({"system", "information_schema"})
SYSTEM_TABLES = frozenset(
    {
        *(f"system.{name}" for name in ("columns", "tables", "databases", "one", "numbers")),
        *(f"system.{name}" for name in ("numbers_mt", "zeros", "zeros_mt", "functions", "formats")),
        *(f"system.{name}" for name in ("data_type_families", "collations", "time_zones", "parts")),
        *(f"information_schema.{name}" for name in ("columns", "tables", "views")),
    }
)
"""The engine's own tables that describe the history or are constant."""

# The formats of results. Left out are those that take a schema or template from a file (Template,
# Protobuf, CapnProto), ask a schema registry (AvroConfluent) or speak another wire protocol.
FORMATS = frozenset(
    """
    Arrow ArrowStream Avro BSONEachRow Buffers CSV CSVWithNames CSVWithNamesAndTypes CustomSeparated
    CustomSeparatedWithNames CustomSeparatedWithNamesAndTypes GeoJSON Hash JSON JSONColumns
    JSONColumnsWithMetadata JSONCompact JSONCompactColumns JSONCompactEachRow
    JSONCompactEachRowWithNames JSONCompactEachRowWithNamesAndTypes JSONCompactStrings
    JSONCompactStringsEachRow JSONCompactStringsEachRowWithNames
    JSONCompactStringsEachRowWithNamesAndTypes JSONEachRow JSONEachRowWithProgress JSONL JSONLines
    JSONObjectEachRow JSONStrings JSONStringsEachRow LineAsString MD Markdown MsgPack NDJSON Native
    Npy Null ORC Parquet Pretty PrettyCompact PrettyCompactMonoBlock PrettyCompactNoEscapes
    PrettyJSONEachRow PrettyJSONLines PrettyMonoBlock PrettyNDJSON PrettyNoEscapes PrettySpace
    PrettySpaceNoEscapes Prometheus Raw RawBLOB RawWithNames RawWithNamesAndTypes RowBinary
    RowBinaryWithNames RowBinaryWithNamesAndTypes SQLInsert TSKV TSV TSVRaw TSVRawWithNames
    TSVRawWithNamesAndTypes TSVWithNames TSVWithNamesAndTypes TabSeparated TabSeparatedRaw
    TabSeparatedRawWithNames TabSeparatedRawWithNamesAndTypes TabSeparatedWithNames
    TabSeparatedWithNamesAndTypes Values Vertical XML
    """.casefold().split()
)
"""Output formats in lower case."""

# Settings that change what a question means or how its result is written, and not its limits.
_BOOLEAN = range(2)
SETTINGS: dict[str, range | None] = {
    "aggregate_functions_null_for_empty": _BOOLEAN,
    "final": _BOOLEAN,
    "group_by_use_nulls": _BOOLEAN,
    "join_use_nulls": _BOOLEAN,
    "max_block_size": range(1, 65_537),
    "max_threads": range(1, 65),
    "output_format_json_quote_64bit_integers": _BOOLEAN,
    "output_format_json_quote_decimals": _BOOLEAN,
    "output_format_pretty_max_rows": range(1, 1_000_001),
    "output_format_pretty_row_numbers": _BOOLEAN,
    "prefer_column_name_to_alias": _BOOLEAN,
    "session_timezone": None,
    "transform_null_in": _BOOLEAN,
    "union_default_mode": None,
}
"""Settings that a question may change, with their ranges; None: any text."""


@cache
def _families() -> tuple[frozenset[str], frozenset[str]]:
    """Return the lower-case names of all allowed functions, and of the aggregate ones."""
    names: set[str] = set()
    aggregate: set[str] = set()
    family = ""
    for line in _FUNCTIONS.read_text("utf-8").splitlines():
        if line.startswith("["):
            family = line.strip("[]")
        elif not line.startswith("#"):
            words = line.casefold().split()
            names.update(words)
            if family == _AGGREGATE:
                aggregate.update(words)
    return frozenset(names), frozenset(aggregate)


def is_allowed_function(name: str) -> bool:
    """Return whether a question may call a function: in the list, or with combinators behind it.

    >>> is_allowed_function("sumIfOrNull"), is_allowed_function("fileIf")
    (True, False)
    """
    names, aggregate = _families()
    if name.casefold() in names:
        return True
    while match := _COMBINATOR.search(name):
        name = name[: match.start()]
        if name.casefold() in aggregate:
            return True
    return False


def may_be_called(name: str) -> bool:
    """Return whether a name may stand before a bracket: a function, table function or type."""
    lower = name.casefold()
    return lower in TABLE_FUNCTIONS or lower in TYPES or is_allowed_function(name)

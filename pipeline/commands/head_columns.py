"""Declare the columns of new built-in heads and write the migration that adds them.

`python -m pipeline.commands.head_columns` does so, `--check` exits with 1 if a head has none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.models.heads import HEADS, Head
from schemas.columns import FOLDER, relations
from schemas.head_columns import PARTS, TABLE
from schemas.migrations import migration_texts, write_migration

_FILE = Path(str(FOLDER)) / "columns" / "heads.toml"


def main() -> int:
    """Write what is missing; return 1 if something is missing and this is only a check."""
    missing = [(head, names) for head in HEADS if (names := _missing_columns(head))]
    if not missing:
        return 0
    title = "_".join(("head", *(head.name for head, _ in missing)))
    if "--check" in sys.argv:
        print(f"{title}: columns are not declared: run make generate", file=sys.stderr)
        return 1
    since = len(migration_texts()) + 1
    lines = [line for head, parts in missing for line in _declarations(head, parts, since)]
    _FILE.write_text(f"{_FILE.read_text('utf-8')}{''.join(lines)}", "utf-8")
    relations.cache_clear()
    print(write_migration(title))
    return 0


def _missing_columns(head: Head) -> list[str]:
    declared = {column.name for column in relations()[TABLE].columns}
    wanted = (part for part in PARTS if head.combinable or part != "_also")
    return [part for part in wanted if f"{head.name}{part}" not in declared]


def _declarations(head: Head, parts: list[str], since: int) -> Iterator[str]:
    meaning = head.meaning.en[:1].upper() + head.meaning.en[1:]
    for part in parts:
        type_, comment = PARTS[part]
        text = comment.format(head=head.name, meaning=meaning).replace('"', "'")
        yield f'{head.name}{part} = ["{type_}", "{text}", {{ since = {since} }}]\n'


if __name__ == "__main__":
    sys.exit(main())

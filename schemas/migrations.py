"""The SQL text of every migration, rendered from its template and the declared columns.

A file `schemas/clickhouse/NNNN_name.sql` is a Jinja template; plain SQL is one too. Its functions:

    table("t")                        CREATE TABLE of a declared table
    view("v"), replace_view("v")      CREATE VIEW of a view that is declared LIKE a table
    columns("v"), select("v"), comment("v")   parts of a view that is written out
    add_columns("t")                  ALTER TABLE with the columns whose `since` is this migration
    set_comments()                    ALTER TABLE for every comment that this migration changes

An expression of a view (`as` in the declarations) is a template with one function:

    all_answers_sql("_p")             one part of all heads' answers (schemas/head_columns.py)

A released migration must render to the same text for ever, because databases have recorded its
checksum; `schemas/released/checksums.sha256` lists them.

`python -m schemas.migrations NAME` writes the next migration: it adds the columns declared for it
and replaces the views that show them.
"""

from __future__ import annotations

import sys
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import jinja2

from schemas.columns import FOLDER, ColumnDeclaration, Comment, Relation, relations
from schemas.head_columns import all_answers_sql

# Rows are on disk when an insert returns: offsets are committed on the strength of it.
_SETTINGS = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"


@cache
def migration_texts() -> dict[str, str]:
    """Return the SQL text of every migration by file name, in the order of their names."""
    names = sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".sql"))
    return {name: render(name) for name in names if not name.startswith("_")}


def render(name: str) -> str:
    """Return the SQL text of one migration."""
    number = int(name.partition("_")[0])
    functions = (table, columns, select, comment, view, replace_view, add_columns, set_comments)
    bound = {function.__name__: partial(function, number) for function in functions}
    return _environment().get_template(name).render(number=number, **bound)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (FOLDER / name).read_text("utf-8")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def table(number: int, name: str, *more: str) -> str:
    """Return the CREATE TABLE of a declared table; `more` are its indexes."""
    relation = relations()[name]
    version = "(version)" if relation.engine == "ReplacingMergeTree" else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {name}\n{columns(number, name, *more)}\n"
        f"ENGINE = {relation.engine}{version} ORDER BY {relation.order_by}\n"
        f"{_SETTINGS}\n{comment(number, name)};"
    )


def view(number: int, name: str, create: str = "CREATE VIEW IF NOT EXISTS") -> str:
    """Return the CREATE VIEW of a view that is declared LIKE a table."""
    relation = relations()[name]
    where = f"\nWHERE {relation.where}" if relation.where else ""
    return (
        f"{create} {name}\n{columns(number, name)}\nAS {select(number, name)}\n"
        f"FROM {relation.rows} FINAL{where}\n{comment(number, name)};"
    )


def replace_view(number: int, name: str) -> str:
    """Return the CREATE OR REPLACE VIEW of a view that is declared LIKE a table."""
    return view(number, name, "CREATE OR REPLACE VIEW")


def columns(number: int, name: str, *more: str) -> str:
    """Return the columns of a table or view in brackets, with types and comments."""
    lines = [_definition(number, column) for column in relations()[name].at(number)]
    return "(\n" + ",\n".join(f"    {line}" for line in (*lines, *more)) + "\n)"


def select(number: int, name: str, alias: str = "", **expressions: str) -> str:
    """Return the SELECT of a view's columns, of a table's `alias`, some as SQL expressions."""
    chosen = []
    for column in relations()[name].at(number):
        expression = expressions.get(column.name) or column.expression_at(number)
        if not expression and alias:
            expression = f"{alias}.{column.name}"
        if "{{" in expression:
            sql = partial(all_answers_sql, number)
            expression = _environment().from_string(expression).render(all_answers_sql=sql)
        chosen.append(f"{expression} AS {column.name}" if expression else column.name)
    return "SELECT\n" + ",\n".join(f"    {item}" for item in chosen)


def comment(number: int, name: str) -> str:
    """Return the COMMENT of a table or view."""
    return f"COMMENT {_quoted(relations()[name].comment.at(number))}"


def add_columns(number: int, name: str) -> str:
    """Return the ALTER TABLE that adds the columns which this migration declares."""
    known = relations()[name].columns
    added = [
        f"    ADD COLUMN IF NOT EXISTS {_definition(number, column)} AFTER {before.name}"
        for before, column in pairwise(known)
        if column.since == number
    ]
    return f"ALTER TABLE {name}\n" + ",\n".join(added) + ";"


def set_comments(number: int) -> str:
    """Return an ALTER TABLE per table or view whose comments this migration changes.

    ClickHouse changes comments of views by ALTER TABLE too.
    """
    statements = []
    for relation in relations().values():
        changes = [
            f"    COMMENT COLUMN `{column.name}` {_quoted(column.comment.at(number))}"
            for column in relation.at(number - 1)
            if _changed(column.comment, number)
        ]
        if _changed(relation.comment, number):
            changes.append(f"    MODIFY COMMENT {_quoted(relation.comment.at(number))}")
        if changes:
            statements.append(f"ALTER TABLE {relation.name}\n" + ",\n".join(changes) + ";")
    return "\n\n".join(statements)


def _changed(comment: Comment, number: int) -> bool:
    return comment.at(number) != comment.at(number - 1)


def _definition(number: int, column: ColumnDeclaration) -> str:
    default = f" DEFAULT {column.default}" if column.default else ""
    return f"{column.name} {column.type}{default} COMMENT {_quoted(column.comment.at(number))}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def next_migration(number: int, title: str) -> str:
    """Return the template of a migration that adds the columns declared for it."""
    tables = [relation for relation in relations().values() if _adds(relation, number)]
    parts = [
        f'{{{{ add_columns("{relation.name}") }}}}' for relation in tables if relation.is_table
    ]
    parts += [f'{{{{ replace_view("{relation.name}") }}}}' for relation in tables if relation.rows]
    return "\n\n".join([f"-- {title}.", *parts]) + "\n"


def _adds(relation: Relation, number: int) -> bool:
    return any(column.since == number for column in relation.columns)


def write_migration(name: str) -> Path:
    """Write the next migration beside the others and return its path."""
    names = [path.name for path in Path(str(FOLDER)).glob("[0-9]*.sql")]
    number = len(names) + 1
    path = Path(str(FOLDER)) / f"{number:04d}_{name}.sql"
    path.write_text(next_migration(number, name.replace("_", " ").capitalize()), "utf-8")
    return path


if __name__ == "__main__":
    print(write_migration(sys.argv[1]))

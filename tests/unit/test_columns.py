"""Columns declared once: rendered migrations, released texts, a new column, and what views show."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.migrations import migrate, migrations
from pipeline.sinks.row_mapping import TABLES
from pipeline.sinks.table_columns import contract_table, declared_columns, field_at
from pipeline.sinks.warehouse import rows
from schemas.columns import RELEASED, DeclarationError, relations
from schemas.live import Alert
from schemas.migrations import migration_texts

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbWarehouse]:
    warehouse = ChdbWarehouse(tmp_path_factory.mktemp("store"))
    migrate(warehouse)
    yield warehouse
    warehouse.close()


def test_released_migrations_render_to_the_released_texts() -> None:
    released = dict(
        reversed(line.split()) for line in (RELEASED / "checksums.sha256").read_text().splitlines()
    )
    rendered = {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in migration_texts().items()
    }
    assert {name: rendered.get(name) for name in released} == released


def test_a_migrated_database_has_the_declared_columns_and_comments(
    warehouse: ChdbWarehouse,
) -> None:
    found = {
        (row["table"], row["name"]): (row["type"], row["comment"])
        for row in rows(
            warehouse,
            "SELECT table, name, type, comment FROM system.columns"
            " WHERE database = currentDatabase() AND NOT startsWith(table, 'schema_migrations')",
        )
    }
    declared = {
        (relation.name, column.name): (column.type, column.comment.text)
        for relation in relations().values()
        for column in relation.columns
    }
    assert found == declared
    comments = {
        row["name"]: row["comment"]
        for row in rows(
            warehouse,
            "SELECT name, comment FROM system.tables WHERE database = currentDatabase()",
        )
    }
    for relation in relations().values():
        assert comments[relation.name] == relation.comment.text


def test_every_statement_of_a_migration_can_be_run_again(warehouse: ChdbWarehouse) -> None:
    for migration in migrations():
        for statement in migration.statements:
            warehouse.execute(statement)


def test_the_maps_of_the_view_have_built_in_and_own_heads(warehouse: ChdbWarehouse) -> None:
    columns = "record_id, need, need_p, need_also, need_version, answers, answers_p"
    own = "map('visa', 'work', 'need', 'as an own head'), map('visa', 0.5, 'need', 0.25)"
    answered, earlier = "'other', 0.75, ['payment'], 'rules/x'", "'', 0, [], ''"
    for number, need in enumerate((answered, earlier)):
        values = f"toUUID('00000000-0000-0000-0000-00000000000{number}'), {need}, {own}"
        warehouse.execute(f"INSERT INTO communication_rows ({columns}) SELECT {values}")
    found = rows(
        warehouse, "SELECT answers, answers_p, answers_also FROM communications ORDER BY record_id"
    )
    # A built-in head counts before an own head of the same name, once it has answered.
    assert found == [
        {
            "answers": {"visa": "work", "need": "other"},
            "answers_p": {"visa": 0.5, "need": 0.75},
            "answers_also": {"need": ["payment"]},
        },
        {
            "answers": {"visa": "work", "need": "as an own head"},
            "answers_p": {"visa": 0.5, "need": 0.25},
            "answers_also": {},
        },
    ]


def test_every_mapped_column_is_declared_and_every_declared_column_is_mapped() -> None:
    for tables in TABLES.values():
        for table in tables:
            declared = {
                column.name for column in relations()[table.name].columns if not column.default
            }
            assert set(table.columns) == declared, table.name


def test_a_column_that_is_not_declared_is_refused() -> None:
    with pytest.raises(DeclarationError, match="alert_rows has no column branch"):
        declared_columns("alert_rows", branch=field_at("branch"))
    with pytest.raises(DeclarationError, match="differ in message"):
        contract_table(Alert, "alert_rows", exclude=frozenset({"message"}))


_NEW_COLUMN = """
import json, sys
from pathlib import Path
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.row_mapping import columns_of
from pipeline.sinks.table_columns import VersionedContract
from pipeline.sinks.warehouse import rows
from schemas.live import Alert

warehouse = ChdbWarehouse(Path(sys.argv[1]))
print([migration.name for migration in migrate(warehouse)])
body = json.loads(sys.argv[2])
bodies = [body, {**body, "alert_id": "00000000-0000-0000-0000-000000000002", "branch": "Xuhui"}]
for table, columns in columns_of([VersionedContract(Alert, each, 1) for each in bodies]):
    warehouse.insert(table, columns)
print([row["branch"] for row in rows(warehouse, "SELECT branch FROM alerts ORDER BY alert_id")])
"""


def test_a_new_column_is_one_line_and_a_generated_migration(tmp_path: Path) -> None:
    for package in ("pipeline", "schemas"):
        shutil.copytree(
            _ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    number = len(migration_texts()) + 1
    _add_line(
        tmp_path / "schemas/clickhouse/columns/operations.toml",
        'evidence = ["Array(UUID)", "Example records, each from a different customer"]\n',
        f'branch = ["String", "Branch of the company", {{ since = {number} }}]\n',
    )
    _add_line(
        tmp_path / "schemas/live.py",
        '    message: str = Field("", description="',
        '    branch: str = ""\n',
        before=True,
    )
    subprocess.run([sys.executable, "-m", "schemas.migrations", "branch"], cwd=tmp_path, check=True)
    assert (tmp_path / f"schemas/clickhouse/{number:04d}_branch.sql").read_text() == (
        '-- Branch.\n\n{{ add_columns("alert_rows") }}\n\n{{ replace_view("alerts") }}\n'
    )
    alert = Alert(
        alert_id="00000000-0000-0000-0000-000000000001",  # type: ignore[arg-type]
        kind="spike",
        measure="inbound",
        raised_at="2026-11-01T10:00:00Z",  # type: ignore[arg-type]
        last_at="2026-11-01T10:00:00Z",  # type: ignore[arg-type]
        window_s=60,
        seen=1,
        of=1,
        expected=0.5,
        surprise=9.0,
    )
    command = [sys.executable, "-c", _NEW_COLUMN, str(tmp_path / "store"), alert.model_dump_json()]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    applied, branches = done.stdout.splitlines()
    assert f"{number:04d}_branch.sql" in applied
    assert branches == "['', 'Xuhui']"


def _add_line(path: Path, line: str, added: str, *, before: bool = False) -> None:
    text = path.read_text("utf-8")
    assert text.count(line) == 1
    path.write_text(text.replace(line, added + line if before else line + added), "utf-8")

"""Questions read the history and nothing else, and the wall stands where the rules fail."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.engine_wall import missing_part
from pipeline.sinks.query_guard.allowed import TABLE_FUNCTIONS, is_allowed_function, may_be_called
from pipeline.sinks.query_guard.limits import QuestionLimitError, QuestionLimits
from pipeline.sinks.query_guard.tokens import UnknownTextError, tokens
from pipeline.sinks.warehouse import WarehouseError, rows
from tests.support.documented_questions import documented_questions
from tests.support.hostile_statements import hostile_statements
from tests.support.migrated_store import copy_migrated_store
from tests.support.watched_secrets import CANARY, watched_secrets

_READONLY, _SYNTAX = 164, 62
_SMALL = QuestionLimits(seconds=1, memory_bytes=50_000_000, rows=10, bytes=1_000)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbWarehouse]:
    folder = tmp_path_factory.mktemp("guard")
    warehouse = ChdbWarehouse(copy_migrated_store(folder / "store"))
    yield warehouse
    warehouse.close()


def _refusal(store: ChdbWarehouse, sql: str) -> WarehouseError:
    try:
        answer = store.query(sql, {"x": "label_rows"})
    except WarehouseError as error:
        return error
    raise AssertionError(f"{sql} is answered: {answer[:200]!r}")


def test_hostile_statements_are_refused_and_open_nothing(
    store: ChdbWarehouse, tmp_path: Path
) -> None:
    with watched_secrets(tmp_path / "secrets") as secrets:
        statements = hostile_statements(str(secrets.file), secrets.port)
        assert len(statements) > 300
        for sql in statements:
            error = _refusal(store, sql)
            assert error.code in (_READONLY, _SYNTAX), f"{sql}: {error}"
            assert CANARY not in str(error)
        assert not secrets.was_connected()
        assert not secrets.was_written()


def test_every_documented_question_is_answered(store: ChdbWarehouse) -> None:
    questions = documented_questions()
    assert len(questions) > 20
    for sql in questions:
        store.query(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH c(a, b) AS (SELECT 1, 2) SELECT a + b FROM c",
        "WITH (x -> x + 1) AS next SELECT next(1)",
        "SELECT 1 AS `数量`, '中文' AS t, `数量` + 1, `a b` FROM (SELECT 1 AS `a b`)",
        "SELECT arrayMap(toString, [1]), COLUMNS('n') APPLY toString APPLY(length) FROM numbers(1)",
        "SELECT countIf(number > 1), quantiles(0.5)(number), uniqExact(number) FROM numbers(3)",
        "SELECT row_number() OVER (PARTITION BY 1 ORDER BY number) FROM numbers(2)",
        "SELECT CASE 1 WHEN 1 THEN 'a' END, EXTRACT(year FROM now()), now() - INTERVAL 1 DAY",
        "SELECT count() FROM communications AS a LEFT JOIN conversations USING (conversation_id)",
        "SELECT * FROM (VALUES (1, 2), (3, 4))",
        "SELECT 1 AS url, url + 1, 2 AS file",
        "SELECT t.file FROM (SELECT 1 AS file) AS t",
        "SELECT '--', '/* ; */', '#', $$it's$$, 'file(', 'it''s \\' `'",
        "SELECT 1 SETTINGS join_use_nulls = 1, max_threads = 2",
        "SELECT -1 - -1, - -1, 1e-7, [1, 2][1], (1, 'a').2, map('k', 1)['k'], NULL IS NULL",
        "SELECT count() FROM customer_history(customer_ids = [])",
        "SHOW CREATE TABLE label_rows",
        "SHOW COLUMNS FROM communications",
        "EXPLAIN PLAN actions = 1 SELECT count() FROM communications",
        "SELECT name FROM system.columns WHERE table = 'communications' LIMIT 1",
        "SELECT 1 FORMAT CSV",
    ],
)
def test_what_analysts_write_is_allowed(store: ChdbWarehouse, sql: str) -> None:
    assert store.query(sql, fmt="TSV")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 5 DIV 2, 5 % 2, 1.0, 1e10, 0xff, DATE '2026-01-01', 'a' || 'b', [1], (1, 'a'),"
        " x'41', NULL, true, 1 BETWEEN 1 AND 2, '\\n', trim(BOTH 'x' FROM 'a'),"
        " EXTRACT(year FROM today()), INTERVAL 1 DAY, -1::Int8, 1::Decimal(9, 2),"
        " '2026-01-01'::Date, .5, 1 <=> 2, (SELECT 1)",
        "SELECT '\\xff\\\\', hex('\\xe4\\xb8\\xad\\xff''\\\\\\xfe'), '中\\0',"
        " `\\xfe` FROM (SELECT 1 AS `\\xfe`)",
        "SELECT count(DISTINCT number), sum(number) FILTER (WHERE number > 1), number NOT IN (1),"
        " -number, CASE number WHEN 1 THEN 'a' END FROM numbers(3) GROUP BY number ORDER BY number",
    ],
)
def test_what_runs_gives_the_columns_and_rows_of_the_users_text(
    store: ChdbWarehouse, sql: str
) -> None:
    assert store.query(sql, fmt="TSVWithNamesAndTypes") == store._read(
        sql, {}, "TSVWithNamesAndTypes"
    )


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT hostName()", "hostName is not among the functions"),
        ("SELECT arrayMap(file, ['a'])", "file is the name of a function"),
        ("SELECT * FROM default.x", "default.x is not part of the history"),
        ("SELECT 1 SETTINGS max_execution_time = 0", "not change the setting max_execution_time"),
        ("SELECT 1 SETTINGS max_threads = 0", "max_threads may be 1 to 64"),
        ("SELECT {t:Identifier}", "write the name itself"),
        ("SELECT 1; SELECT 2", "only one statement at a time"),
        ("SELECT 1 FORMAT Template", "the format Template is not allowed"),
    ],
)
def test_a_refusal_names_what_is_refused(store: ChdbWarehouse, sql: str, says: str) -> None:
    with pytest.raises(WarehouseError, match=says):
        store.query(sql, {"t": "labels"})


def test_a_typo_is_a_syntax_error_about_the_users_statement(store: ChdbWarehouse) -> None:
    with pytest.raises(WarehouseError, match=r"(?s)^Syntax error: .*SYNTAX_ERROR\)$") as caught:
        store.query("SELECT channel FRM communications")
    assert "formatQuery" not in str(caught.value)


def test_an_output_format_that_reads_files_is_refused(store: ChdbWarehouse) -> None:
    with pytest.raises(WarehouseError, match="the format AvroConfluent is not allowed"):
        store.query("SELECT 1", fmt="AvroConfluent")


@pytest.mark.parametrize(
    ("sql", "setting"),
    [
        ("SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 3", "question_seconds"),
        ("SELECT groupArray(number) FROM numbers(100000000)", "question_memory_bytes"),
        ("SELECT number FROM numbers(11)", "question_rows"),
        ("SELECT repeat('a', 2000), number FROM numbers(2)", "question_bytes"),
    ],
)
def test_a_question_over_a_limit_ends_in_one_sentence(
    store: ChdbWarehouse, sql: str, setting: str
) -> None:
    with pytest.raises(QuestionLimitError, match=setting) as caught:
        store.query(sql, limits=_SMALL)
    assert "\n" not in str(caught.value)


def test_the_result_after_an_error_has_nothing_of_the_failed_query(store: ChdbWarehouse) -> None:
    with pytest.raises(QuestionLimitError):
        store.query("SELECT number FROM numbers(11)", fmt="TSVWithNames", limits=_SMALL)
    assert store.query("SELECT 1 AS a", fmt="TSVWithNames", limits=_SMALL) == b"a\n1\n"


def test_only_reviewed_functions_of_the_engine_are_allowed(store: ChdbWarehouse) -> None:
    """A combinator's suffix or another case must not let a function in that nobody has read."""
    known = {row["name"] for row in rows(store, "SELECT name FROM system.functions")}
    refused = {name for name in known if not is_allowed_function(name)}
    assert len(refused) < len(known) / 2
    assert {"file", "sleep", "getMacro", "hostName", "dictGet", "joinGet", "addressToLine"} < (
        refused
    )
    # No question: it is not of the history.
    answer = store._read("SELECT name FROM system.table_functions", {})
    tables = {orjson.loads(line)["name"] for line in answer.splitlines()}
    # format is a function too, and as a table function it has its data in the statement.
    assert {name for name in tables if may_be_called(name)} == {
        name for name in tables if name.casefold() in TABLE_FUNCTIONS
    } | {"format"}


def test_no_column_has_the_name_of_a_refused_function(store: ChdbWarehouse) -> None:
    functions = {row["name"].casefold() for row in rows(store, "SELECT name FROM system.functions")}
    columns = {
        row["name"]
        for row in rows(
            store, "SELECT DISTINCT name FROM system.columns WHERE database = 'switchboard'"
        )
    }
    assert columns
    assert [
        name for name in columns if name.casefold() in functions and not is_allowed_function(name)
    ] == []


@pytest.mark.parametrize("text", ["SELECT 1 -- x", "SELECT 1 # x", "a /* b */", '"', "`a", "1file"])
def test_text_that_the_formatter_never_writes_is_no_token(text: str) -> None:
    with pytest.raises(UnknownTextError):
        tokens(text)


_WITHOUT_RULES = """
import sys
from pathlib import Path
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.warehouse import WarehouseError
folder, file, port = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
store = ChdbWarehouse(folder / "store")
http = "SETTINGS http_max_tries = 1"
once = "SETTINGS connections_with_failover_max_tries = 1"
reached = []
for sql in (
    f"SELECT file('{file}')",
    f"SELECT arrayMap(file, ['{file}'])",
    f"SELECT * FROM file('{file}', 'LineAsString')",
    f"SELECT * FROM default.`{file}`",
    f"INSERT INTO FUNCTION file('{file}.out', 'TSV', 'a String') SELECT 'x'",
    f"SELECT 1 INTO OUTFILE '{file}.out'",
    "SELECT * FROM file('/proc/self/environ', 'LineAsString')",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    f"SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString', 'line String') {http}",
    f"SELECT * FROM remote('127.0.0.1:{port}', 'system', 'one') {once}",
):
    try:
        reached.append((sql, store._write(sql, fmt="TSV")))
    except WarehouseError as error:
        print(error)
store._write("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
store.insert("t", {"a": [str(number) for number in range(1000)]})
store._write("OPTIMIZE TABLE t FINAL")
assert store.query("SELECT count() AS n FROM t") == b'{"n":1000}\\n'
for task in Path("/proc/self/task").iterdir():
    name, status = (task / "comm").read_text().strip(), (task / "status").read_text()
    if name in ("ThreadPool", "BgSchPool", "MemoryWorker", "PoolDelayExec"):
        assert "Seccomp:\t2" in status, name
store.close()
Path(file).read_text()
sys.exit(f"reached: {reached}" if reached else 0)
"""


@pytest.mark.skipif(bool(missing_part()), reason=f"no second wall: {missing_part()}")
def test_without_the_rules_the_wall_keeps_files_and_the_network_away(tmp_path: Path) -> None:
    with watched_secrets(tmp_path / "secrets") as secrets:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _WITHOUT_RULES,
                tmp_path / "data",
                secrets.file,
                str(secrets.port),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert not secrets.was_connected()
        assert not secrets.was_written()


_ENVIRONMENT_BEFORE_A_GAP = """
import ctypes, importlib, mmap, sys
from pathlib import Path
from pipeline.sinks import engine_wall
folder, libc, size = Path(sys.argv[1]), ctypes.CDLL(None), mmap.PAGESIZE
libc.mmap.restype = ctypes.c_void_p
pages = libc.mmap(None, ctypes.c_size_t(2 * size), 3, 0x22, -1, ctypes.c_size_t(0))
assert libc.mprotect(ctypes.c_void_p(pages + size), ctypes.c_size_t(size), 0) == 0
variable = ctypes.create_string_buffer(f"TMPDIR={folder / 'tmp'}".encode())
ends = (ctypes.c_void_p * 2).from_address(pages + size - 16)
ends[0] = ctypes.addressof(variable)
load = importlib.import_module

def load_before_a_gap(name):
    ctypes.c_void_p.in_dll(libc, "environ").value = pages + size - 16
    return load(name)

engine_wall.allow_folders([folder])
thread = engine_wall.engine_thread("engine")
importlib.import_module = load_before_a_gap
thread.submit(engine_wall.import_engine, folder / "tmp").result()
print("loaded", flush=True)
import os
os._exit(0)
"""


@pytest.mark.skipif(bool(missing_part()), reason=f"no second wall: {missing_part()}")
def test_the_engine_does_not_take_memory_behind_the_environment_for_facts(tmp_path: Path) -> None:
    """It does where the wall hides /proc/self/auxv, and crashes if nothing can be read there."""
    done = subprocess.run(
        [sys.executable, "-c", _ENVIRONMENT_BEFORE_A_GAP, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr

"""Statements that try to leave the history: each names a file or an address in some disguise.

`hostile_statements` grows them: every dangerous name in every disguise, and every disguised call in
every place where a statement can have one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

_FUNCTIONS = ("file('{file}')",)
_TABLE_FUNCTIONS = (
    "file('{file}', 'LineAsString')",
    "url('http://127.0.0.1:{port}/', 'LineAsString', 'line String')",
    "remote('127.0.0.1:{port}', 'system', 'one')",
    "remoteSecure('127.0.0.1:{port}', 'system', 'one')",
    "s3('http://127.0.0.1:{port}/b/k', 'LineAsString')",
    "mysql('127.0.0.1:{port}', 'd', 't', 'u', 'p')",
    "postgresql('127.0.0.1:{port}', 'd', 't', 'u', 'p')",
    "mongodb('127.0.0.1:{port}', 'd', 'c', 'u', 'p', 'a String')",
    "redis('127.0.0.1:{port}', 'k', 'k String, v String')",
    "sqlite('{file}', 't')",
    "executable('{file}', 'TSV', 'a String')",
    "cluster('default', 'system', 'one')",
    "merge('default', '.*')",
    "eval('SELECT file(''{file}'')')",
    "fileCluster('default', '{file}', 'LineAsString')",
    "urlCluster('default', 'http://127.0.0.1:{port}/', 'LineAsString')",
    "hdfs('hdfs://127.0.0.1:{port}/x', 'LineAsString')",
    "azureBlobStorage('http://127.0.0.1:{port}/', 'c', 'b')",
    "iceberg('http://127.0.0.1:{port}/')",
    "deltaLake('http://127.0.0.1:{port}/')",
    "odbc('DSN=x', 'd', 't')",
    "jdbc('x', 'd', 't')",
    "dictionary('x')",
    "filesystem('{file}')",
    "python(reader, 'a String')",
    "viewExplain('EXPLAIN AST', '', (SELECT file('{file}')))",
    "viewIfPermitted(SELECT 1 ELSE file('{file}', 'LineAsString', 'line String'))",
    "loop(file('{file}', 'LineAsString'))",
    "input('a String')",
)
# Functions that tell about the machine, the user or the installation, or go to other services.
_TELLING = (
    "getMacro('x')",
    "getServerSetting('max_connections')",
    "getSetting('max_threads')",
    "hostName()",
    "FQDN()",
    "serverUUID()",
    "currentUser()",
    "getOSKernelVersion()",
    "filesystemAvailable()",
    "showCertificate()",
    "sleep(3)",
    "sleepEachRow(3)",
    "dictGet('d', 'a', 1)",
    "joinGet('j', 'a', 1)",
    "hasColumnInTable('127.0.0.1:{port}', 'system', 'one', 'dummy')",
    "aiGenerate('hello')",
    "catboostEvaluate('{file}', 1)",
    "addressToLine(1)",
    "logTrace('x')",
    "evalMLMethod(1, 2)",
    "regionToName(1)",
    "naiveBayesClassifier('m', 'text')",
    "someFunctionOfALaterVersion('{file}')",
    "@@hostname",
)
_SCALAR_PLACES = (
    "SELECT {call}",
    "SELECT 1 WHERE length({call}) > 0",
    "SELECT 1 ORDER BY {call}",
    "SELECT count() FROM numbers(2) GROUP BY {call}",
    "SELECT count() FROM numbers(2) HAVING length({call}) > 0",
    "SELECT 1 LIMIT length({call})",
    "SELECT (SELECT {call})",
    "SELECT arrayMap(x -> {call}, [1])",
    "SELECT sumIf(1, notEmpty({call}))",
    "SELECT CASE WHEN 1 THEN {call} ELSE '' END",
    "SELECT [({call}, 1)]",
    "SELECT {call} IN ('a')",
    "SELECT 'a' IN (SELECT {call})",
    "SELECT 1 IN ({call})",
    "WITH {call} AS content SELECT content",
    "WITH c AS (SELECT {call} AS a) SELECT a FROM c",
    "WITH RECURSIVE c AS (SELECT {call} AS a UNION ALL SELECT a FROM c) SELECT a FROM c",
    "SELECT 1 UNION ALL SELECT length({call})",
    "SELECT 1 EXCEPT SELECT length({call})",
    "SELECT a FROM (SELECT 1 AS n) ARRAY JOIN [{call}] AS a",
    "SELECT * FROM numbers(1) AS a JOIN numbers(1) AS b ON a.number = length({call})",
    "SELECT * REPLACE ({call} AS number) FROM numbers(1)",
    "SELECT * APPLY(x -> {call}) FROM numbers(1)",
    "SELECT COLUMNS('number') APPLY(x -> {call}) FROM numbers(1)",
    "SELECT sum(number) OVER (PARTITION BY {call}) FROM numbers(1)",
    "SELECT sum(number) OVER w FROM numbers(1) WINDOW w AS (ORDER BY {call})",
    "SELECT 1 AS `a\n b` WHERE {call} != ''",
    "SELECT * FROM view(SELECT {call})",
    "SELECT * FROM values('a String', {call})",
    "EXPLAIN SELECT {call}",
    "EXPLAIN SYNTAX SELECT {call}",
    "DESCRIBE (SELECT {call})",
    "SELECT 1 QUALIFY {call} != ''",
    "SELECT number FROM numbers(1) ORDER BY number WITH FILL FROM 1 TO length({call})",
    "FROM numbers(1) SELECT {call}",
    "SELECT {call} FORMAT JSONEachRow",
    "(SELECT {call})",
    "SELECT DISTINCT ON ({call}) 1",
)
_TABLE_PLACES = (
    "SELECT * FROM {call}",
    "DESCRIBE TABLE {call}",
    "DESC {call}",
    "SELECT 1 IN (SELECT * FROM {call})",
    "WITH c AS (SELECT * FROM {call}) SELECT * FROM c",
    "SELECT * FROM numbers(1) AS a CROSS JOIN {call} AS b",
    "SELECT * FROM numbers(1), {call}",
    "SELECT * FROM view(SELECT * FROM {call})",
    "SELECT 1 UNION ALL SELECT * FROM {call}",
    "EXPLAIN SELECT * FROM {call}",
    "EXPLAIN AST SELECT * FROM {call}",
    "DESCRIBE (SELECT * FROM {call})",
    "SELECT count() FROM (SELECT * FROM {call} LIMIT 1)",
)
# A function's name where no bracket follows it.
_NAMED = (
    "SELECT arrayMap({name}, ['{file}'])",
    "SELECT arrayFilter(x -> 1, arrayMap({name}, ['{file}']))",
    "WITH {name} AS f SELECT arrayMap(f, ['{file}'])",
    "SELECT * APPLY({name}) FROM (SELECT '{file}' AS b)",
    "SELECT * APPLY {name} FROM (SELECT '{file}' AS b)",
    "SELECT COLUMNS('b') APPLY {name} FROM (SELECT '{file}' AS b)",
    "SELECT COLUMNS('b') APPLY(toString) APPLY({name}) FROM (SELECT '{file}' AS b)",
    "SELECT t.* EXCEPT a APPLY({name}) FROM (SELECT '{file}' AS b, 1 AS a) AS t",
    "SELECT arrayFold({name}, ['{file}'], '')",
    "SELECT mapApply({name}, map('{file}', '{file}'))",
    "DESCRIBE (SELECT * APPLY {name} FROM (SELECT '{file}' AS b))",
)
_ALONE = (
    "SELECT * FROM default.`{file}`",
    "SELECT * FROM `default`.`{file}`",
    'SELECT * FROM "def\\x61ult"."{file}"',
    "SELECT 1 IN default.`{file}`",
    "DESCRIBE TABLE default.`{file}`",
    "EXISTS TABLE default.`{file}`",
    "SHOW CREATE TABLE default.`{file}`",
    "SHOW TABLES FROM default",
    "SHOW COLUMNS FROM x FROM default",
    "SELECT default.`{file}`.line FROM default.`{file}`",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS max_memory_usage = 0",
    "SELECT 1 SETTINGS max_result_rows = 0, max_threads = 1",
    "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)",
    "SELECT 1 SETTINGS max_threads = 0",
    "SELECT 1 SETTINGS max_threads = 100000",
    "SELECT 1 SETTINGS dialect = 'kusto'",
    "SELECT 1 SETTINGS format_template_row = '{file}' FORMAT Template",
    "SELECT 1 SETTINGS output_format_schema = '{file}'",
    "SELECT 1 SETTINGS log_queries = 1",
    "SELECT 1 FORMAT Template",
    "SELECT 1 FORMAT Protobuf SETTINGS format_schema = '{file}:M'",
    "SELECT 1 FORMAT AvroConfluent",
    "SET dialect = 'prql'",
    "SET readonly = 0",
    "SET max_execution_time = 0",
    "SELECT 1 INTO OUTFILE '{file}.out'",
    "SELECT 1 INTO/**/OUTFILE '{file}.out'",
    "SELECT 1 INTO OUTFILE '{file}.out' APPEND",
    "SELECT 1 INTO OUTFILE '{file}.out' AND STDOUT",
    "EXPLAIN SELECT 1 INTO OUTFILE '{file}.out'",
    "SELECT * FROM (SELECT 1) INTO OUTFILE '{file}.out' COMPRESSION 'gzip'",
    "SELECT 1; SELECT 2",
    "SELECT 1; SELECT file('{file}')",
    "EXPLAIN AST SELECT 1; SELECT file('{file}')",
    "SELECT 1 PARALLEL WITH SELECT 2",
    "SELECT 1 PARALLEL WITH DROP TABLE label_rows",
    "WITH a AS (SELECT 1) INSERT INTO label_rows (by) SELECT 'x'",
    "INSERT INTO label_rows (by) VALUES ('x')",
    "INSERT INTO FUNCTION file('{file}.out', 'TSV', 'a String') SELECT 'x'",
    "CREATE TABLE x (a Int8) ENGINE = Memory",
    "CREATE FUNCTION f AS x -> file(x)",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(HTTP(URL 'http://127.0.0.1:{port}/'"
    " FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(1)",
    "DROP TABLE label_rows",
    "TRUNCATE TABLE label_rows",
    "ALTER TABLE label_rows DELETE WHERE 1",
    "DELETE FROM label_rows WHERE 1",
    "ATTACH DATABASE d ENGINE = Filesystem('/')",
    "BACKUP TABLE label_rows TO File('{file}.out')",
    "OPTIMIZE TABLE label_rows",
    "KILL QUERY WHERE 1",
    "SYSTEM STOP MERGES",
    "SYSTEM FLUSH LOGS",
    "USE default",
    "GRANT ALL ON *.* TO default",
    "EXECUTE AS default SELECT 1",
    "/* SELECT */ SYSTEM STOP MERGES",
    "SELECT $$ ' $$; SYSTEM STOP MERGES -- '",
    "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:{port}', 'd', 't', 'u', 'p') COLUMNS (x Int8)",
    "EXPLAIN CURRENT TRANSACTION",
    "EXPLAIN SYSTEM STOP MERGES",
    "SHOW PROCESSLIST",
    "SHOW GRANTS",
    "SHOW USERS",
    "SHOW SETTINGS LIKE 'max%'",
    "SHOW CREATE USER default",
    "SHOW ACCESS",
    "SHOW CLUSTERS",
    "EXISTS DICTIONARY x",
    "SELECT * FROM system.users",
    "SELECT * FROM `system`.`processes`",
    'SELECT * FROM "sys\\x74em"."settings"',
    "SELECT * FROM System.server_settings",
    "SELECT * FROM system.query_log",
    "SELECT 1 IN system.certificates",
    "SELECT * FROM numbers(1) JOIN system.zookeeper ON 1 WHERE path = '/'",
    "SELECT system.users.name FROM system.users",
    "SELECT * FROM information_schema.statistics",
    "DESCRIBE TABLE system.users",
    "SELECT {{x:Identifier}}",
    "SELECT * FROM {{x:Identifier}}",
    "SELECT file('{file}') AS `x (children 1)\n  Literal 'a'`",
    "SELECT 1 AS `file('a')`, file('{file}')",
    "SELECT 1 AS \"', '\", file('{file}') AS \"', '\"",
    "SELECT 'it''s \\' ', file('{file}'), '\\\\'",
    "SELECT `a``b`, file('{file}') FROM (SELECT 1 AS `a``b`)",
    "SELECT a.file('{file}') FROM (SELECT 1 AS a)",
    "SELECT (file('{file}') AS a), a",
    "WITH (x -> file(x)) AS f SELECT f('{file}')",
    "WITH (x -> x) AS file SELECT file('{file}')",
    "SELECT 1 AS file, file('{file}')",
    "TABLE system.users",
    "file('{file}')",
    "",
    ";",
    "/* never closed",
    "SELECT '",
    "SELECT file('{file}'",
    "SELECT \u201cfile\u201d('{file}')",
    "SELECT 1 -- \nFROM file('{file}', 'LineAsString')",
    "SELECT 1 # \nFROM file('{file}', 'LineAsString')",
    "SELECT\u00a0file('{file}')",
    "SELECT 1 \\G; SELECT file('{file}')",
)


def hostile_statements(file: str, port: int) -> list[str]:
    """Return all statements, about a file and a port of this machine."""
    templates = [
        *_ALONE,
        *_calls(_FUNCTIONS, _SCALAR_PLACES),
        *_calls(_TELLING, ("SELECT {call}",)),
    ]
    templates += _calls(_TABLE_FUNCTIONS, ("SELECT * FROM {call}",))
    templates += _calls(_TABLE_FUNCTIONS[:2], _TABLE_PLACES)
    templates += [
        place.replace("{name}", name) for place in _NAMED for name in _disguises("file", bare=True)
    ]
    return list(dict.fromkeys(one.format(file=file, port=port) for one in templates))


def _calls(calls: tuple[str, ...], places: tuple[str, ...]) -> list[str]:
    """Return each call in every place: plainly, and then in one disguise after another."""
    result = []
    turns = {call: cycle(_disguises(call.partition("(")[0])) for call in calls}
    for place in places:
        for call in calls:
            name, bracket, arguments = call.partition("(")
            result.append(place.replace("{call}", call))
            if bracket:
                disguised = [next(turns[call])] if len(places) > 1 else _three_of(name)
                result += [place.replace("{call}", f"{one}({arguments}") for one in disguised]
    return result


def _three_of(name: str) -> list[str]:
    """Return a name in three disguises that differ in kind."""
    written = list(_disguises(name))
    return [written[0], written[3], written[-1]]


def _disguises(name: str, *, bare: bool = False) -> Iterator[str]:
    """Yield a name as the lexer takes it too: escaped, quoted, commented, in other letters."""
    escaped = "".join(f"\\x{ord(letter):02x}" for letter in name)
    yield f"`{name[:-1]}\\x{ord(name[-1]):02x}`"
    yield f'"{escaped}"'
    yield f"`{name}`"
    yield f"/**/{name}/* ( */"
    yield f"{name} -- '\n"
    yield f"{name} # `\n"
    if not bare:
        yield f"`{name}`\t\n"
        yield name.upper()
        yield f'"{name.capitalize()}" /* */ '

"""The warehouse on a ClickHouse server: the same rows, answers and refusals as the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pandas as pd
import pytest

from pipeline.log.port import LogRecord
from pipeline.runtime.stages import load_handler
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.migrations import migrate
from pipeline.sinks.row_mapping import TABLES
from pipeline.sinks.warehouse import (
    Warehouse,
    WarehouseBusyError,
    WarehouseError,
    WarehouseSetupError,
    rows,
)
from schemas.conversations import Conversation, ConversationFact, FollowUp, RecordFlag
from schemas.dead_letters import DeadLetter, RejectCode, Replay, StageReplay
from schemas.labels import Assessment, Drift, Label
from schemas.live import Alert
from schemas.reclassified import Reclassification
from schemas.records import BusinessRecord, Delivery, Link
from schemas.topics import (
    ALERTS,
    BUSINESS,
    CONVERSATIONS,
    DEAD_LETTERS,
    LABELS,
    LINKS,
    QUALITY,
    RECLASSIFIED,
)
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.warehouses import NOW, NOW_MS, block, carried, enriched, fresh_warehouse

pytestmark = pytest.mark.stack
ID = UUID("5f0c6b36-5f1c-8a3b-9a3e-0d2f6a1b2c3d")
OTHER = UUID("6f0c6b36-5f1c-8a3b-9a3e-0d2f6a1b2c3d")


@pytest.fixture
def server(clickhouse: ClickHouseServer) -> Iterator[ClickHouseWarehouse]:
    warehouse = fresh_warehouse(clickhouse)
    yield warehouse
    warehouse.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[ChdbWarehouse]:
    warehouse = ChdbWarehouse(tmp_path / "store")
    migrate(warehouse)
    yield warehouse
    warehouse.close()


def link(number: int, contact: str = "email:a@example.com") -> Link:
    return Link(
        link_id=UUID(int=number + (8 << 76)),
        customer_id=ID,
        contact=contact,
        other_customer_id=OTHER,
        other_contact="phone:+861",
        record_id=ID,
        linked_at=NOW,
    )


def business(number: int, amount: str | None = "12.5") -> BusinessRecord:
    return BusinessRecord(
        record_id=UUID(int=number + (8 << 76)),
        source="s",
        event_id=str(number),
        event_type="crm.order.paid",
        occurred_at=NOW,
        received_at=NOW,
        delivery=Delivery(sha256="00"),
        kind="order",
        action="paid",
        amount=None if amount is None else Decimal(amount),
    )


def others() -> list[LogRecord]:
    """Return one record of every contract that enrich does not make."""
    letter = DeadLetter(
        dead_letter_id=ID,
        stage="enrich",
        step="s",
        reason_code=RejectCode.UNPARSABLE,
        message="价格 '\\ \n\t\0",
        failed_at=NOW,
        partition=3,
        offset=None,
        key=b"/w==",
        headers={"a": "b"},
        payload=b"AP+A",
        payload_sha256="00",
        payload_bytes=3,
    )
    replay = Replay(dead_letter_id=ID, replayed_at=NOW, outcome="accepted")
    label = Label(
        label_id=ID,
        source="s",
        labelled_at=NOW,
        record_id=ID,
        head="need",
        value="payment",
        delivery=Delivery(sha256=""),
    )
    part = Conversation(
        part_id=ID,
        conversation_id=OTHER,
        channel="chat",
        state="open",
        opened_at=NOW,
        last_at=NOW,
        waiting_since=NOW,
    )
    fact = ConversationFact(
        fact_id=ID,
        kind="rated",
        record_id=ID,
        conversation_id=OTHER,
        occurred_at=NOW,
        rating_index=75.5,
    )
    followup = FollowUp(
        followup_id=ID,
        kind="promised",
        way="call",
        conversation_id=OTHER,
        record_id=ID,
        channel="chat",
        promised_at=NOW,
        due_at=NOW,
        due_stated=True,
        counts_from=NOW,
    )
    flag = RecordFlag(
        flag_id=ID, record_id=ID, flag="late", conversation_id=OTHER, value=1e-7, occurred_at=NOW
    )
    rewound = StageReplay(
        replay_id=ID,
        replayed_at=NOW,
        stage="load",
        topic="links.v1",
        partition=0,
        from_offset=9,
        to_offset=3,
    )
    assessment = Assessment(
        label_id=ID,
        record_id=ID,
        head="need",
        value="payment",
        origin="person",
        labelled_at=NOW,
        tested=True,
        generation=0,
        offset=1,
    )
    drift = Drift(
        drift_id=ID,
        head="need",
        label_id=ID,
        noticed_at=NOW,
        tests=90,
        error_before=0.125,
        error_after=0.5,
    )
    again = Reclassification(
        reclassification_id=ID,
        record_id=ID,
        head="need",
        label="payment",
        also=("refund_return",),
        p=0.75,
        abstained=False,
        model_version="0/1/x",
        text_hash="00",
        judged_at=NOW,
    )
    alert = Alert(
        alert_id=ID,
        kind="spike",
        measure="need:complaint",
        measures=("need:complaint",),
        raised_at=NOW,
        last_at=NOW,
        window_s=60,
        seen=20,
        of=30,
        expected=1.5,
        surprise=12.25,
        evidence=(ID, OTHER),
    )
    return [
        *carried(DEAD_LETTERS.name, letter, replay, rewound),
        *carried(LABELS.name, label),
        *carried(CONVERSATIONS.name, part, fact, followup, flag),
        *carried(QUALITY.name, assessment, drift),
        *carried(RECLASSIFIED.name, again),
        *carried(ALERTS.name, alert),
    ]


def views(warehouse: Warehouse) -> list[str]:
    found = rows(
        warehouse,
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' AND"
        " name != 'customer_history' ORDER BY name",
    )
    return [row["name"] for row in found]


def content(warehouse: Warehouse, relation: str) -> list[bytes]:
    columns = rows(warehouse, f"DESCRIBE TABLE {relation}")
    clock = (
        " EXCEPT (ingested_at)"
        if any(column["name"] == "ingested_at" for column in columns)
        else ""
    )
    return sorted(warehouse.query(f"SELECT *{clock} FROM {relation}").splitlines())


def test_a_log_gives_the_same_rows_as_in_the_embedded_store(
    server: ClickHouseWarehouse, embedded: ChdbWarehouse
) -> None:
    records = enriched(600) + others()
    for warehouse in (server, embedded):
        assert load_handler(warehouse).handle(records) == []
    assert views(server) == views(embedded)
    for view in views(server):
        assert content(server, view) == content(embedded, view), view
    filled = {table.name for tables in TABLES.values() for table in tables}
    for table in filled:
        assert content(server, f"{table} FINAL"), table
        assert content(server, f"{table} FINAL") == content(embedded, f"{table} FINAL"), table


def test_loading_a_log_again_changes_nothing(server: ClickHouseWarehouse) -> None:
    records = enriched(200) + others()
    load = load_handler(server)
    assert load.handle(records) == []
    before = {view: content(server, view) for view in views(server)}
    for start in (0, 50):  # in other cuts, as after a crash
        assert load.handle(records[start : start + 90]) == []
    assert load.handle(records) == []
    assert {view: content(server, view) for view in views(server)} == before


_ALL_TYPES = r"""
SELECT
    toUInt8(number) AS u8, toInt64(-number) AS i64, 18446744073709551615 AS u64,
    toUInt128(number) AS u128,
    toFloat32(number / 3) AS f32, number / 7 AS f64, toFloat64(1e21) AS large,
    -0.0 AS minus, nan AS n, inf AS i,
    toDecimal64(number / 8, 4) AS d, toDecimal32('0.10', 2) AS d32,
    toDecimal128(number, 20) AS d128,
    toString(number) AS s, 'a/b\\"\n\t\r\b\f\0\x1f\x7f\xff\xe2\x80\xa8价格🫖' AS hard,
    toFixedString('ab', 4) AS fixed,
    toLowCardinality('q') AS lc, toLowCardinality(toNullable('n')) AS lcn,
    number % 2 = 0 AS odd, true AS b,
    toNullable(number) AS nullable, NULL AS nothing,
    if(number = 1, NULL, toString(number)) AS sometimes,
    toUUID('5f0c6b36-5f1c-8a3b-9a3e-0d2f6a1b2c3d') AS id, CAST(NULL, 'Nullable(UUID)') AS no_id,
    toDateTime64('2026-11-01 10:00:00.123', 3, 'UTC') AS t3,
    toDateTime64('1999-12-31 23:59:59', 0, 'UTC') AS t0,
    toDateTime64('2026-11-01 10:00:00.123456', 6, 'Asia/Shanghai') AS t6,
    toDateTime('2026-11-01 10:00:00', 'UTC') AS t,
    toDateTime('2026-07-01 10:00:00', 'Europe/London') AS london,
    toDate('2026-11-01') AS day, toDate32('1950-01-02') AS old,
    CAST('x"', 'Enum8(\'x"\' = 1)') AS e, toIPv4('1.2.3.4') AS ip4, toIPv6('::1') AS ip6,
    INTERVAL 1 DAY AS span,
    [] AS empty, [number, 1] AS numbers, [[toString(number)], []] AS deep, [NULL, 1.5] AS holes,
    map('k/', 1.5, 'nan', nan) AS m, map(toUInt8(number), 'x') AS by_number,
    CAST(map(), 'Map(String, String)') AS no_map,
    (1, 'a', 0.5) AS pair, CAST((1, 'b'), 'Tuple(x UInt8, `a b` String)') AS named,
    [(toDate('2026-11-01'), true)] AS pairs,
    1 AS `100% "odd"`
FROM numbers(3)
"""


def test_every_type_is_formatted_as_by_the_embedded_store(
    server: ClickHouseWarehouse, embedded: ChdbWarehouse
) -> None:
    sql = (
        ", ".join(_ALL_TYPES.split(", "))
        .replace("toFixedString('ab', 4) AS fixed,", "")
        .replace("toIPv6('::1') AS ip6, INTERVAL 1 DAY AS span,", "")
    )
    assert server.query(sql) == embedded.query(sql)
    # What this program has no printer for is printed by the engine.
    for column in ("toFixedString('ab', 4)", "toIPv6('::1')"):
        assert server.query(f"SELECT {column} AS x, number FROM numbers(2)") == embedded.query(
            f"SELECT {column} AS x, number FROM numbers(2)"
        )


@pytest.mark.parametrize(
    "fmt", ["CSVWithNames", "TabSeparatedWithNames", "PrettyCompact", "JSON", "Vertical", "XML"]
)
def test_other_formats_are_as_by_the_embedded_store(
    server: ClickHouseWarehouse, embedded: ChdbWarehouse, fmt: str
) -> None:
    sql = (
        "SELECT number, toString(number) AS s, toUUID('5f0c6b36-5f1c-8a3b-9a3e-0d2f6a1b2c3d') AS"
        " id, [number] AS a, NULL AS nothing, map('k', 1.5) AS m, toDateTime64('2026-11-01"
        " 10:00:00.123', 3, 'UTC') AS t, toDecimal64('1.50', 4) AS d, CAST(('x', 1), 'Tuple(a"
        " LowCardinality(String), b UInt8)') AS pair, '\\xff价' AS bytes, true AS b FROM numbers(3)"
    )
    ours, theirs = server.query(sql, fmt=fmt), embedded.query(sql, fmt=fmt)
    if fmt in (
        "JSON",
        "XML",
    ):  # the end tells how long the query took, and how many rows the engine's source had
        ours, theirs = (one.partition(b"rows")[0] for one in (ours, theirs))
    assert ours == theirs


def test_parquet_has_the_types_of_the_result(server: ClickHouseWarehouse) -> None:
    sql = "SELECT count() AS n, 1.5 AS x, 'a' AS s, toDate('2026-11-01') AS day FROM communications"
    frame = pd.read_parquet(BytesIO(server.query(sql, fmt="Parquet")))
    assert frame.to_dict("records") == [
        {"n": 0, "x": 1.5, "s": "a", "day": pd.Timestamp("2026-11-01").date()}
    ]


def test_totals_are_not_rows_of_a_result(server: ClickHouseWarehouse) -> None:
    sql = "SELECT number % 2 AS k, count() AS n FROM numbers(4) GROUP BY k WITH TOTALS ORDER BY k"
    assert rows(server, sql) == [{"k": 0, "n": 2}, {"k": 1, "n": 2}]


def test_timestamps_finer_than_microseconds_are_rejected_not_rounded(
    server: ClickHouseWarehouse,
) -> None:
    with pytest.raises(WarehouseError, match="more than six decimal places"):
        server.query("SELECT toDateTime64('2026-11-01 10:00:00.123456789', 9, 'UTC') AS t")


def test_a_format_gets_parameters_and_rejects_what_it_does_not_know(
    server: ClickHouseWarehouse,
) -> None:
    parameters = {"text": "a'\\\t\n价", "many": ["x'", "y"], "number": 7}
    sql = "SELECT {text:String} AS t, {many:Array(String)} AS m, {number:UInt8} AS n"
    (line,) = server.query(sql, parameters, "JSONCompactEachRow").splitlines()
    assert orjson.loads(line) == list(parameters.values())
    with pytest.raises(WarehouseError, match="the format Papyrus is not allowed"):
        server.query("SELECT 1", fmt="Papyrus")
    with pytest.raises(WarehouseSetupError, match="UNKNOWN_TABLE") as missing:
        server.query("SELECT * FROM no_such_table", fmt="CSV")
    assert missing.value.code == 60
    assert "version" not in str(missing.value)


def test_an_error_in_the_middle_of_a_result_is_raised(server: ClickHouseWarehouse) -> None:
    with pytest.raises(WarehouseError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        server.query("SELECT throwIf(number = 900000) FROM numbers(1000000)", fmt="CSV")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO label_rows (by) VALUES ('x')",
        "INSERT INTO label_rows (by) SELECT 'x'",
        "DROP TABLE label_rows",
        "DROP DATABASE {db}",
        "TRUNCATE TABLE label_rows",
        "ALTER TABLE label_rows DELETE WHERE 1",
        "OPTIMIZE TABLE label_rows",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_memory_usage = 1",
        "SET readonly = 0",
        "SET max_threads = 1",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE x (a Int8)",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1",
        "SELECT 1; SYSTEM STOP MERGES",
        "SELECT file('/etc/passwd')",
        "DESCRIBE TABLE file('/etc/passwd', LineAsString)",
        "DESCRIBE TABLE url('http://127.0.0.1:1/', CSV)",
        "SELECT * FROM label_rows INTO OUTFILE '/tmp/x'",
    ],
)
def test_sql_that_does_more_than_read_is_rejected(server: ClickHouseWarehouse, sql: str) -> None:
    load_handler(server).handle(others())
    before = content(server, "labels")
    with pytest.raises(WarehouseError) as caught:
        server.query(sql.format(db=server.address.database))
    assert not isinstance(caught.value, WarehouseBusyError)
    assert content(server, "labels") == before


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "O'Brien",
        "a\\b",
        "line\nend\ttab\0",
        "价格",
        "\\N",
        "{x:String}",
        "%(x)s",
        "'; DROP TABLE x; --",
    ],
)
def test_a_parameter_is_never_parsed_as_sql(server: ClickHouseWarehouse, text: str) -> None:
    assert rows(
        server, "SELECT {x:String} AS x, {xs:Array(String)} AS xs, '%' AS p", x=text, xs=[text, ""]
    ) == [{"x": text, "xs": [text, ""], "p": "%"}]


def test_parameters_of_other_types(server: ClickHouseWarehouse) -> None:
    sql = (
        "SELECT {n:UInt64} AS n, {ids:Array(UUID)} AS ids, {none:Array(String)} AS none,"
        " {y:Float64} AS y"
    )
    assert rows(server, sql, n=2**64 - 1, ids=[str(ID)], none=[], y=0.5) == [
        {"n": 2**64 - 1, "ids": [str(ID)], "none": [], "y": 0.5}
    ]


def test_errors_have_clickhouse_codes_and_no_stack_trace(server: ClickHouseWarehouse) -> None:
    with pytest.raises(WarehouseError, match="nonsense") as caught:
        server.query("SELECT nonsense FROM communications")
    assert caught.value.code == 47
    assert "Stack trace" not in str(caught.value)
    # The connection is usable at once.
    assert rows(server, "SELECT 1 AS a") == [{"a": 1}]


def test_a_missing_table_or_column_is_a_setup_error(
    server: ClickHouseWarehouse,
) -> None:
    with pytest.raises(WarehouseSetupError, match="nowhere"):
        server.insert("nowhere", {"a": [1]})
    with pytest.raises(WarehouseSetupError, match="colour"):
        server.insert("label_rows", {"colour": ["red"]})
    with pytest.raises(WarehouseError, match="differ in length"):
        server.insert("label_rows", {"by": ["a"], "note": []})
    server.insert("label_rows", {"by": []})
    server.execute("DROP TABLE link_rows")
    server.insert("label_rows", {"by": ["kept"], "label_id": [str(ID)], "version": [1]})
    with pytest.raises(WarehouseSetupError):
        load_handler(server).handle(carried(LINKS.name, link(1)))


def test_a_column_whose_type_changed_is_detected(server: ClickHouseWarehouse) -> None:
    server.insert(
        "label_rows",
        block({"label_id": str(ID), "labelled_at": NOW_MS, "weight": 1.5, "version": 1}),
    )
    other = ClickHouseWarehouse(server.address)
    other.execute("ALTER TABLE label_rows MODIFY COLUMN weight Float64 COMMENT 'How much'")
    other.close()
    server.insert(
        "label_rows",
        block({"label_id": str(OTHER), "labelled_at": NOW_MS, "weight": 0.1, "version": 1}),
    )
    assert rows(server, "SELECT weight FROM label_rows ORDER BY weight") == [
        {"weight": 0.1},
        {"weight": 1.5},
    ]


def test_only_rows_that_do_not_fit_become_dead_letters(server: ClickHouseWarehouse) -> None:
    records = carried(
        BUSINESS.name, *(business(n, "1e15" if n in (3, 17) else "12.5") for n in range(40))
    )
    letters = [
        DeadLetter.model_validate_json(message.value)
        for message in load_handler(server).handle(records)
    ]
    assert [letter.offset for letter in letters] == [3, 17]
    assert {letter.reason_code for letter in letters} == {"sink_error"}
    assert all("business_event_rows.amount" in letter.message for letter in letters)
    assert rows(server, "SELECT count() AS n, sum(amount) AS sum FROM business_events") == [
        {"n": 38, "sum": 475}
    ]


def test_only_rows_that_the_server_rejects_become_dead_letters(server: ClickHouseWarehouse) -> None:
    server.execute(
        "ALTER TABLE link_rows ADD CONSTRAINT known CHECK contact != 'email:evil@example.com'"
    )
    records = carried(
        LINKS.name,
        *(link(n, "email:evil@example.com" if n in (0, 39) else "id:1") for n in range(40)),
    )
    letters = [
        DeadLetter.model_validate_json(message.value)
        for message in load_handler(server).handle(records)
    ]
    assert [letter.offset for letter in letters] == [0, 39]
    assert all("code 469" in letter.message for letter in letters)
    assert rows(server, "SELECT count() AS n FROM links") == [{"n": 38}]


def test_a_rejection_in_the_middle_of_many_blocks_is_raised_and_inserts_nothing(
    server: ClickHouseWarehouse,
) -> None:
    server.execute("ALTER TABLE link_rows ADD CONSTRAINT known CHECK contact != 'evil'")
    bad = block({"link_id": str(ID), "contact": "evil", "version": 1})
    good = block(
        *({"link_id": str(UUID(int=n)), "contact": "x" * 1_000, "version": 1} for n in range(2_000))
    )
    with pytest.raises(WarehouseError, match="known") as caught:
        server.insert_all({"link_rows": bad if place == 3 else good} for place in range(20))
    assert caught.value.code == 469
    assert not isinstance(caught.value, WarehouseBusyError)
    assert rows(server, "SELECT count() AS n FROM link_rows") == [{"n": 0}]


def test_an_error_while_computing_blocks_inserts_nothing_and_keeps_connections_usable(
    server: ClickHouseWarehouse,
) -> None:
    def blocks() -> Iterator[dict[str, Any]]:
        yield {"link_rows": block({"link_id": str(ID), "version": 1})}
        yield {"label_rows": block({"label_id": str(ID), "version": 1})}
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        server.insert_all(blocks())
    for table in ("link_rows", "label_rows"):
        assert rows(server, f"SELECT count() AS n FROM {table}") == [{"n": 0}]
        server.insert(table, block({"tenant": "t", "version": 1}))
        assert rows(server, f"SELECT count() AS n FROM {table}") == [{"n": 1}]


def test_blocks_of_an_insert_become_one_part(server: ClickHouseWarehouse) -> None:
    server.insert_all(
        {"link_rows": block({"link_id": str(UUID(int=n)), "version": 1})} for n in range(50)
    )
    sql = (
        "SELECT count() AS parts, sum(rows) AS rows FROM system.parts WHERE database ="
        " currentDatabase() AND table = 'link_rows'"
    )
    assert rows(server, sql) == [{"parts": 1, "rows": 50}]


def test_a_record_that_violates_its_contract_is_rejected_with_the_field(
    server: ClickHouseWarehouse,
) -> None:
    good = carried(LINKS.name, *(link(n) for n in range(5)))
    values: dict[int, tuple[bytes, bytes]] = {
        1: (b'"linked_at":"2026-11-01T10:00:00.123000Z"', b'"linked_at":"yesterday"'),
        3: (b'"contact":"email:a@example.com"', b'"contact":7'),
    }
    records: list[Any] = list(good)
    for place, (old, new) in values.items():
        assert old in good[place].value
        records[place] = LogRecord(
            LINKS.name,
            0,
            place,
            NOW_MS,
            b"k",
            good[place].value.replace(old, new),
            good[place].headers,
        )
    letters = [
        DeadLetter.model_validate_json(message.value)
        for message in load_handler(server).handle(records)
    ]
    assert [(letter.offset, letter.message.partition(":")[0]) for letter in letters] == [
        (1, "linked_at"),
        (3, "contact"),
    ]
    assert rows(server, "SELECT count() AS n FROM links") == [{"n": 3}]

"""Ingest: once, resumed after a stop, continued in a grown file; bad files beside good ones."""

import gzip
from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from pipeline.commands.reconciliation import items_read
from pipeline.ingest import input_units
from pipeline.ingest.input_units import walk
from pipeline.ingest.port import ConnectorItem, IngestOptions, InputUnit, OptionError, ReadEvent
from pipeline.ingest.publisher import MAX_BATCH, Publisher
from pipeline.ingest.registry import CONNECTORS
from pipeline.ingest.resumable_ingest import Ingest, UnitResult
from pipeline.log.claim_check import FolderBodyStore
from pipeline.log.sqlite_log import SqliteLog
from schemas.business import OrderData
from schemas.envelope import Event
from schemas.topics import RAW_CHAT


class Lines:
    """A connector of one message per line, which can stop early or ask for an option."""

    name, version, summary, options = (
        "lines",
        "1",
        "one message a line",
        {"zone": "needed by files named zone"},
    )

    def __init__(self, append_only: bool = True) -> None:
        self.append_only = append_only
        self.stop_after: int | None = None
        self.read_items = 0

    def units(self, paths: Sequence[Path]) -> Iterator[InputUnit]:
        return walk(paths)

    def read(self, unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        if "zone" in unit.name:
            raise OptionError("use --timezone")
        with unit.open() as stream:
            for number, line in enumerate(stream):
                if self.stop_after is not None and number >= self.stop_after:
                    raise KeyboardInterrupt
                self.read_items += 1
                data = {"channel": "chat", "text": line.decode().strip()}
                event = Event(
                    id=f"{line!r}",
                    source=options.source or "s",
                    type="comm.message.received",
                    locator=f"{unit.name}#{number}",
                    data=data,
                )
                yield ReadEvent(event, line)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.sqlite")
    yield log
    log.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def ingest(log: SqliteLog, tmp_path: Path, connector: Any, path: Path) -> list[UnitResult]:
    publisher = Publisher(log, FolderBodyStore(tmp_path / "bodies"))
    return list(Ingest(connector, IngestOptions(), publisher).run([path]))


def texts(log: SqliteLog) -> list[str]:
    records = [
        r for p in range(RAW_CHAT.partitions) for r in log.scan(RAW_CHAT.name, p, 0, 1_000_000)
    ]
    return sorted(record.value.decode() for record in records)


def lines(*numbers: int) -> str:
    return "".join(f"message {number}\n" for number in numbers)


def test_a_unit_is_read_once(log: SqliteLog, tmp_path: Path, folder: Path) -> None:
    (folder / "a").write_text(lines(1, 2))
    connector = Lines()
    assert [r.published for r in ingest(log, tmp_path, connector, folder)] == [2]
    assert [(r.published, r.unchanged) for r in ingest(log, tmp_path, connector, folder)] == [
        (0, True)
    ]
    assert connector.read_items == 2
    assert len(texts(log)) == 2


def test_a_stopped_ingest_continues_at_its_checkpoint(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a").write_text(lines(*range(MAX_BATCH * 2 + 10)))
    connector = Lines()
    connector.stop_after = MAX_BATCH + 5
    with pytest.raises(KeyboardInterrupt):
        ingest(log, tmp_path, connector, folder)
    assert len(texts(log)) == MAX_BATCH
    connector.stop_after = None
    (result,) = ingest(log, tmp_path, connector, folder)
    assert (result.skipped, result.published) == (MAX_BATCH, MAX_BATCH + 10)
    assert len(texts(log)) == len(set(texts(log))) == MAX_BATCH * 2 + 10


def test_a_grown_file_is_read_from_its_last_item(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a").write_text(lines(1, 2) + "mess")
    ingest(log, tmp_path, Lines(), folder)
    (folder / "a").write_text(lines(1, 2, 3, 4))
    (result,) = ingest(log, tmp_path, Lines(), folder)
    assert (result.skipped, result.published) == (2, 2)


def test_a_grown_file_is_read_again_if_the_connector_is_not_append_only(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a").write_text(lines(1, 2))
    ingest(log, tmp_path, Lines(append_only=False), folder)
    (folder / "a").write_text(lines(1, 2, 3))
    (result,) = ingest(log, tmp_path, Lines(append_only=False), folder)
    assert (result.skipped, result.published) == (0, 3)


def test_a_rewritten_file_is_read_from_the_start(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a").write_text(lines(1, 2))
    ingest(log, tmp_path, Lines(), folder)
    (folder / "a").write_text(lines(7, 8, 9))
    (result,) = ingest(log, tmp_path, Lines(), folder)
    assert (result.skipped, result.published) == (0, 3)


def test_other_options_have_their_own_checkpoint(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a").write_text(lines(1))
    ingest(log, tmp_path, Lines(), folder)
    publisher = Publisher(log, FolderBodyStore(tmp_path / "bodies"))
    (result,) = Ingest(Lines(), IngestOptions(tenant="other"), publisher).run([folder])
    assert (result.published, result.unchanged) == (1, False)


def count_read(log: SqliteLog) -> int:
    return items_read(log).total()


def test_an_item_read_again_with_other_options_counts_once(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a.jsonl").write_text("{broken\n{}\n")
    for zone in (None, UTC, ZoneInfo("Asia/Shanghai")):
        publisher = Publisher(log, FolderBodyStore(tmp_path / "bodies"))
        (result,) = Ingest(CONNECTORS["events"], IngestOptions(zone=zone), publisher).run([folder])
        assert result.rejected == 2
        assert count_read(log) == 2
    (folder / "b").write_text(lines(1, 2))
    for source in ("one", "other"):
        publisher = Publisher(log, FolderBodyStore(tmp_path / "bodies"))
        list(Ingest(Lines(), IngestOptions(source=source), publisher).run([folder / "b"]))
    assert count_read(log) == 2 + 4


def test_what_a_file_had_before_it_was_rewritten_still_counts(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    for content, distinct in ((lines(1, 2), 2), (lines(1, 7, 8), 4), (lines(1, 2), 4), ("mes", 5)):
        (folder / "a").write_text(content)
        ingest(log, tmp_path, Lines(), folder)
        assert count_read(log) == distinct


def test_items_of_several_batches_are_counted_once(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a").write_text(lines(*range(MAX_BATCH * 2 + 10)))
    connector = Lines(append_only=False)
    connector.stop_after = MAX_BATCH + 5
    with pytest.raises(KeyboardInterrupt):
        ingest(log, tmp_path, connector, folder)
    connector.stop_after = None
    ingest(log, tmp_path, connector, folder)
    with (folder / "a").open("a") as file:
        file.write("one more\n")
    ingest(log, tmp_path, connector, folder)
    assert count_read(log) == MAX_BATCH * 2 + 11


def test_the_items_before_the_damage_of_a_file_count_once(
    log: SqliteLog, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_text(lines(1, 2, 3))
    connector = Lines()
    read = connector.read

    def read_damaged(unit: InputUnit, options: IngestOptions) -> Iterator[ConnectorItem]:
        yield from islice(read(unit, options), 2)
        raise OSError("the disk fails here")

    monkeypatch.setattr(connector, "read", read_damaged)
    (result,) = ingest(log, tmp_path, connector, folder)
    assert (result.problem, count_read(log)) == ("the disk fails here", 2)
    monkeypatch.undo()
    (result,) = ingest(log, tmp_path, connector, folder)
    assert (result.skipped, result.published, count_read(log)) == (0, 3, 3)


def test_checkpoints_of_earlier_versions_are_read_and_count_as_before(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a").write_text(lines(1, 2))
    ingest(log, tmp_path, Lines(), folder)
    ((name, value),) = log.checkpoints("ingest/")
    old = {key: field for key, field in orjson.loads(value).items() if key != "distinct"}
    with log.transaction() as transaction:
        transaction.checkpoint(name, orjson.dumps(old))
    assert count_read(log) == 2
    with (folder / "a").open("a") as file:
        file.write(lines(3))
    (result,) = ingest(log, tmp_path, Lines(), folder)
    assert (result.skipped, result.published, count_read(log)) == (1, 2, 3)


def test_a_missing_option_is_a_problem_of_its_unit_only(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    for name in ("a", "b zone", "c"):
        (folder / name).write_text(lines(1) if name != "c" else lines(2))
    results = ingest(log, tmp_path, Lines(), folder)
    assert [result.problem for result in results] == ["", "use --timezone", ""]
    assert len(texts(log)) == 2


def test_small_units_share_a_transaction(log: SqliteLog, tmp_path: Path, folder: Path) -> None:
    for number in range(300):
        (folder / f"{number:03}").write_text(lines(number))
    results = ingest(log, tmp_path, Lines(), folder)
    assert sum(result.published for result in results) == 300
    assert (
        len({r.timestamp_ms for p in range(6) for r in log.scan(RAW_CHAT.name, p, 0, 1_000)}) == 1
    )
    assert len(list(log.checkpoints("ingest/lines/"))) == 300


def test_a_damaged_file_is_rejected_and_the_others_are_read(
    log: SqliteLog, tmp_path: Path, folder: Path
) -> None:
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(b'{"x": 1}\n' * 1_000)[:-20])
    (folder / "b.jsonl").write_text("{}\n")
    first, second = ingest(log, tmp_path, CONNECTORS["events"], folder)
    assert first.rejected > 0
    assert (second.rejected, second.problem) == (1, "")


def test_a_plain_file_is_opened_once(
    log: SqliteLog, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_raw = input_units._open_raw
    monkeypatch.setattr(
        input_units, "_open_raw", lambda path: opened.append(path) or open_raw(path)
    )
    (folder / "a.eml").write_bytes(b"From: a@example.com\nSubject: hi\n\nhello\n")
    (folder / "b.csv").write_text("order_id,name,date\n1,Ann,2026-11-01 10:00Z\n")
    (result,) = ingest(log, tmp_path, CONNECTORS["email"], folder / "a.eml")
    assert result.published == 1
    (result,) = ingest(log, tmp_path, CONNECTORS["orders"], folder / "b.csv")
    assert result.published == 1
    assert opened == [str(folder / "a.eml"), str(folder / "b.csv")]


def test_the_data_of_a_row_are_validated_once(
    log: SqliteLog, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated = 0

    def validate(_cls: type, data: Any) -> OrderData:
        nonlocal validated
        validated += 1
        return OrderData(**data)

    monkeypatch.setattr(OrderData, "model_validate", classmethod(validate))
    (folder / "b.csv").write_text(
        "order_id,name,date\n1,Ann,2026-11-01 10:00Z\n2,Bo,2026-11-01 11:00Z\n"
    )
    (result,) = ingest(log, tmp_path, CONNECTORS["orders"], folder)
    assert (result.published, validated) == (2, 2)

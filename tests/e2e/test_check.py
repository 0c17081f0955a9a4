"""`switchboard check` finds planted damage, no start goes on, and its commands repair it."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.commands.check import check_installation
from pipeline.commands.damage import Damage
from pipeline.log.clock import now_ms
from tests.e2e.test_backup import write_events
from tests.support.installations import Embedded, Rows, rows_in
from tests.support.migrated_store import copy_migrated_store
from tests.support.warm import WarmCommands

_SECRET = {"SWITCHBOARD_SECRET": "a secret for tests only"}
Break = Callable[[Path], object]


@dataclass(frozen=True)
class Prepared:
    """An undamaged installation, its backup, its rows, and commands to run on copies of it."""

    folder: Path
    backup: Path
    rows: Rows
    warm: WarmCommands

    def copy(self, to: Path) -> Path:
        """Copy the installation to a folder that does not exist yet."""
        return Path(shutil.copytree(self.folder, to, symlinks=True))

    def call(self, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a data folder; no traceback may reach its user."""
        done = self.warm.run(
            ["--data-dir", str(data), *arguments],
            data.parent,
            os.environ | {"COLUMNS": "200"} | _SECRET,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def follow(self, data: Path, commands: list[str]) -> None:
        """Run the command lines that check names, as a person would."""
        for line in commands:
            words = [
                word.replace("BACKUP", str(self.backup))
                for word in shlex.split(line.replace("…", f"events {data.parent}/events.jsonl"))
            ]
            if words[0] == "switchboard":
                assert words[1:3] == ["--data-dir", str(data)]
                done = self.call(data, *words[3:])
                assert done.returncode == 0, f"{line}: {done.stderr}"
            else:
                subprocess.run(words, check=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, warm: WarmCommands) -> Prepared:
    root = tmp_path_factory.mktemp("check")
    made = Prepared(root / "data", root / "backup", {}, warm)
    copy_migrated_store(made.folder / "store")
    events = str(write_events(root / "events.jsonl", 60))
    for arguments in (["ingest", "events", events], ["run", "--until-idle"]):
        assert made.call(made.folder, *arguments).returncode == 0
    # A second batch, so that tables have several parts and the body lies before the log's end.
    more = str(write_events(root / "more.jsonl", 20, 60))
    for arguments in (
        ["ingest", "events", more],
        ["run", "--until-idle"],
        ["backup", str(made.backup)],
    ):
        assert made.call(made.folder, *arguments).returncode == 0
    whole = made.call(made.folder, "check", "--deep")
    assert (whole.returncode, whole.stdout) == (0, ""), whole.stdout
    assert whole.stderr.startswith("whole: ")
    return Prepared(made.folder, made.backup, rows_in(Embedded(made.folder)), warm)


def part(data: Path, table: str = "communication_rows") -> Path:
    """Return the folder of the largest part of a table."""
    folder = (data / "store/data/switchboard" / table).resolve()
    parts = [path for path in folder.iterdir() if path.name.startswith("all_")]
    # A merged part lies beside those that it replaced, until they are deleted.
    return max(parts, key=lambda path: int((path / "count.txt").read_text()))


def own_store(data: Path) -> None:
    """Let the links of a copied store lead into the copy."""
    for link in (data / "store").rglob("*"):
        if link.is_symlink():
            target = os.readlink(link)
            assert not os.path.isabs(target), target


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def all_parts(data: Path, damage: Break) -> None:
    """Damage every part of a table, those too that a merge has replaced."""
    for path in part(data).parent.glob("all_*"):
        damage(path)


def sql(*statements: str) -> Break:
    def run(data: Path) -> None:
        db = sqlite3.connect(data / "log.sqlite")
        for statement in statements:
            assert db.execute(statement).rowcount, statement
        db.commit()
        db.close()

    return run


def table_sql(data: Path) -> Path:
    return (data / "store/metadata/switchboard").resolve() / "communication_rows.sql"


def body(data: Path) -> Path:
    return next(path for path in (data / "bodies").rglob("*") if path.is_file())


def broken_snapshot(data: Path) -> None:
    (data / "models").mkdir(exist_ok=True)
    (data / "models/snapshot").write_bytes(b"switchboard-models\n torn")


def earlier_log(data: Path) -> None:
    """Put a log in the place that has the id of this one and ends before it."""
    with sqlite3.connect(data / "log.sqlite") as db:
        db.execute("UPDATE partitions SET last_ms = 1")
    db.close()


def other_log(data: Path) -> None:
    with sqlite3.connect(data / "log.sqlite") as db:
        db.execute("UPDATE checkpoints SET value = 'another' WHERE name = 'log-id'")
    db.close()


_LOST = "communication_rows lacks up to"
# Damage of the store that the log repairs: what is broken, what check says, and whether a start
# finds it too. Bytes inside of a file are found by check alone.
_STORE: dict[str, tuple[Break, str, bool]] = {
    "part gone": (lambda d: all_parts(d, shutil.rmtree), _LOST, True),
    "data.bin cut": (lambda d: all_parts(d, lambda p: cut(p / "data.bin")), _LOST, True),
    "data.bin flipped": (lambda d: flip(part(d) / "data.bin"), "is damaged: ", False),
    "table's sql gone": (lambda d: table_sql(d).unlink(), "are gone: communication_rows", True),
    "table's sql cut": (lambda d: cut(table_sql(d)), "cannot be opened", True),
    "store gone": (lambda d: shutil.rmtree(d / "store"), "the folder is gone; it had", True),
    "ledger cut": (lambda d: cut(d / "store.parts.json"), "differs from its checksum", True),
}
# Further damage of the store, which takes the same ways to its repair.
_STORE_TOO: dict[str, tuple[Break, str]] = {
    "data.bin gone": (lambda d: all_parts(d, lambda p: (p / "data.bin").unlink()), _LOST),
    "marks cut": (lambda d: all_parts(d, lambda p: cut(next(p.glob("data.*mrk*")))), _LOST),
    "checksums flipped": (lambda d: all_parts(d, lambda p: flip(p / "checksums.txt")), _LOST),
    "columns gone": (lambda d: all_parts(d, lambda p: (p / "columns.txt").unlink()), _LOST),
    "count altered": (lambda d: all_parts(d, lambda p: (p / "count.txt").write_text("9")), _LOST),
    "primary flipped": (lambda d: flip(next(part(d).glob("primary*"))), "is damaged: "),
    "database's sql gone": (
        lambda d: (d / "store/metadata/switchboard.sql").unlink(),
        "tables or views are gone",
    ),
}
# Damage of the log that only a backup repairs, and whether it takes --deep to find it.
_LOG: dict[str, tuple[Break, str, bool]] = {
    "log gone": (lambda d: (d / "log.sqlite").unlink(), "the file is gone", False),
    "log empty": (lambda d: (d / "log.sqlite").write_bytes(b""), "it is empty", False),
    "log cut": (lambda d: cut(d / "log.sqlite"), "malformed", False),
    "log replaced": (other_log, "another log took its place", False),
    "log older than the store": (earlier_log, "ends before records", False),
    "rows of the log gone": (
        sql("DELETE FROM records WHERE position = (SELECT min(position) + 1 FROM records)"),
        "lacks 1 records",
        False,
    ),
    "last row of the log gone": (
        sql("DELETE FROM records WHERE position = (SELECT max(position) FROM records)"),
        "ends at offset",
        False,
    ),
    "record flipped": (
        sql(
            "UPDATE records SET value = zeroblob(9) WHERE rowid = (SELECT max(rowid) FROM records)"
        ),
        "differs from its checksum",
        True,
    ),
}
# Damage that other commands repair.
_OTHER: dict[str, tuple[Break, str, bool]] = {
    "offset past the end": (
        sql('UPDATE offsets SET "offset" = 99999 WHERE "group" = \'load\' AND partition = 1'),
        "99,999",
        False,
    ),
    "offsets gone": (
        sql("DELETE FROM offsets WHERE \"group\" = 'converse'"),
        "offsets of converse differ",
        False,
    ),
    "state flipped": (
        sql(
            "UPDATE states SET value = zeroblob(30) WHERE rowid = (SELECT min(s.rowid) FROM states"
            " AS s JOIN topics AS t USING (topic_id) WHERE t.name = 'converse-state.v1')"
        ),
        "a state of converse-state.v1 differs",
        False,
    ),
    "state gone": (
        sql(
            "DELETE FROM states WHERE topic_id ="
            " (SELECT topic_id FROM topics WHERE name = 'converse-state.v1')"
        ),
        "lacks the states of",
        True,
    ),
    "body gone": (lambda d: body(d).unlink(), "is missing", False),
    "body flipped": (lambda d: flip(body(d)), "does not match", True),
    "snapshot torn": (broken_snapshot, "snapshot is damaged", False),
    "checkpoint torn": (
        sql("UPDATE checkpoints SET value = '{' WHERE name LIKE 'ingest/%/more.jsonl'"),
        "the checkpoint ingest/events",
        False,
    ),
    "checkpoint gone": (
        sql("DELETE FROM checkpoints WHERE name LIKE 'ingest/%/events.jsonl'"),
        "checkpoints of ingest are lost",
        False,
    ),
}


def damages(data: Path, deep: bool = False) -> list[Damage]:
    """Return what check finds, in this process: a command would import the engine each time."""
    return check_installation(Embedded(data).workspace, now_ms(), deep=deep).damages


def assert_found(found: list[Damage], message: str) -> list[str]:
    """Return the commands of the damage with a message."""
    matching = [damage for damage in found if message in damage.message]
    assert matching, found
    assert matching[0].commands
    return list(matching[0].commands)


@pytest.mark.parametrize("name", _STORE)
def test_damage_of_the_store_leads_back_to_the_same_rows(
    prepared: Prepared, tmp_path: Path, name: str
) -> None:
    damage, message, at_start = _STORE[name]
    data = prepared.copy(tmp_path / "data")
    own_store(data)
    damage(data)
    if at_start:
        refused = prepared.call(data, "run", "--until-idle")
        assert refused.returncode == 1
        assert "`switchboard check` names the repair" in refused.stderr
    commands = assert_found(damages(data), message)
    if name == "part gone":
        shown = prepared.call(data, "check")
        assert shown.returncode == 1
        assert [line.strip() for line in shown.stdout.splitlines()[1:]] == commands
    prepared.follow(data, commands)
    assert rows_in(Embedded(data)) == prepared.rows
    assert damages(data, deep=True) == []


@pytest.mark.parametrize("name", _STORE_TOO)
def test_further_damage_of_the_store_is_found(
    prepared: Prepared, tmp_path: Path, name: str
) -> None:
    damage, message = _STORE_TOO[name]
    data = prepared.copy(tmp_path / "data")
    damage(data)
    assert_found(damages(data), message)


@pytest.mark.parametrize("name", _LOG)
def test_damage_of_the_log_is_found_and_refused(
    prepared: Prepared, tmp_path: Path, name: str
) -> None:
    damage, message, deep = _LOG[name]
    data = prepared.copy(tmp_path / "data")
    damage(data)
    commands = assert_found(damages(data, deep), message)
    assert commands[1].endswith("restore BACKUP")
    if "rows of" not in name and not deep:
        started = prepared.call(
            data, "ingest", "events", str(prepared.folder.parent / "more.jsonl")
        )
        assert started.returncode == 1
        assert "`switchboard check` names the repair" in started.stderr
    repaired = prepared.call(data, "check", "--repair")
    assert repaired.returncode == (0 if deep else 1), repaired.stderr
    if name == "log cut":
        prepared.follow(data, commands)
        assert rows_in(Embedded(data)) == prepared.rows


@pytest.mark.parametrize("name", _OTHER)
def test_other_damage_is_repaired_by_the_commands_that_check_names(
    prepared: Prepared, tmp_path: Path, name: str
) -> None:
    damage, message, deep = _OTHER[name]
    data = prepared.copy(tmp_path / "data")
    for events in ("events.jsonl", "more.jsonl"):
        shutil.copy2(prepared.folder.parent / events, tmp_path)
    damage(data)
    if name == "checkpoint gone":
        # The unit is read again under the name that it had.
        tmp_path = prepared.folder.parent
    found = damages(data, deep)
    commands = assert_found(found, message)
    commands = [line.replace("…", f"events {tmp_path}/events.jsonl") for line in commands]
    prepared.follow(data, commands)
    if name == "checkpoint torn":
        more = prepared.folder.parent / "more.jsonl"
        assert prepared.call(data, "ingest", "events", str(more)).returncode == 0
        assert prepared.call(data, "run", "--until-idle").returncode == 0
    assert damages(data, deep) == []


def test_an_accepted_loss_is_no_damage_any_more(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared.copy(tmp_path / "data")
    all_parts(data, shutil.rmtree)
    (data / "log.sqlite").unlink()
    assert prepared.call(data, "run", "--until-idle").returncode == 1
    accepted = prepared.call(data, "check", "--accept")
    assert accepted.returncode == 0
    assert "given up" in accepted.stderr
    again = prepared.call(data, "ingest", "events", str(prepared.folder.parent / "events.jsonl"))
    assert again.returncode == 0
    assert prepared.call(data, "run", "--until-idle").returncode == 0
    asked = prepared.call(data, "query", "SELECT count() FROM communications", "--format", "TSV")
    assert int(asked.stdout) > 0

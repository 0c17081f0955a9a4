"""Very large single items pass all stages: their rows are whole, or flagged where a limit cut.

The sizes of `make test` are just beyond the limits; `make fuzz` sets LARGE_ITEMS=1 for full ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.commands.reconciliation import accounts
from pipeline.ingest import cloudevents_file
from pipeline.ingest.registry import CONNECTORS
from pipeline.ingest.resumable_ingest import Ingest
from pipeline.log.claim_check import restore_large_body
from pipeline.sinks.warehouse import rows
from schemas.topics import RAW_EMAIL
from tests.support.installations import Embedded
from tests.support.large_items import large_items

_FULL = os.environ.get("LARGE_ITEMS") == "1"
# An event of a file may have 64 MiB; the small sizes are read with a smaller limit.
_SMALL_LIMIT = 4 << 20


def test_large_items_reach_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _FULL:
        monkeypatch.setattr(cloudevents_file, "MAX_ITEM_BYTES", _SMALL_LIMIT)
    items = large_items(1.0, 300 << 20) if _FULL else large_items(0.0, _SMALL_LIMIT + 1)
    installation = Embedded(tmp_path / "data")
    workspace = installation.workspace
    with workspace.open_publisher() as publisher:
        for item in items:
            path = tmp_path / item.file
            path.write_bytes(item.content)
            options = workspace.ingest_options(None, (), {})
            for result in Ingest(CONNECTORS[item.connector], options, publisher).run([path]):
                assert not result.problem, result.problem
    installation.run()
    with workspace.open_warehouse() as warehouse:
        for item in items:
            if item.expected is None:
                continue
            columns = ", ".join(f"{sql} AS c{n}" for n, sql in enumerate(item.expected))
            # A mail's event id is a hash of its Message-ID or the like; its subject is its name.
            (row,) = rows(
                warehouse,
                f"SELECT {columns} FROM communications WHERE {{id:String}} IN (event_id, subject)",
                id=item.event_id,
            )
            assert dict(zip(item.expected, row.values(), strict=True)) == item.expected, item.file
        letters = rows(warehouse, "SELECT connector, reason_code FROM dead_letters ORDER BY 1")
        assert [row["reason_code"] for row in letters] == ["oversize"] * 2
        with workspace.open_log() as log:
            found = accounts(log, warehouse)
    assert {account.connector: account.missing for account in found} == {
        "email": 0,
        "events": 0,
        "orders": 0,
    }
    with workspace.open_log() as log:
        kept = [
            restore_large_body(record, workspace.blobs).value
            for partition in range(log.sizes()[RAW_EMAIL.name].partitions)
            for record in log.scan(RAW_EMAIL.name, partition, 0, 100)
        ]
    assert sorted(kept) == sorted(item.content for item in items if item.connector == "email")

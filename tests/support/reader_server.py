"""A ClickHouse server that knows the user of deploy/clickhouse/reader.xml, with all tables."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.sinks.clickhouse import ClickHouseWarehouse
from pipeline.sinks.migrations import migrate
from tests.support.clickhouse_server import ClickHouseServer
from tests.support.deploying import DEPLOY
from tests.support.stack import StackMissingError, skip_or_fail

READER_PASSWORD = "a password for tests only"


@contextmanager
def reader_server(folder: Path) -> Iterator[ClickHouseServer]:
    """Run a server of its own in a folder; skip or fail the test where the stack is missing."""
    try:
        server = ClickHouseServer(folder)
    except StackMissingError as error:
        skip_or_fail(error)
    (folder / "users.d").mkdir()
    shutil.copy(DEPLOY / "clickhouse/reader.xml", folder / "users.d/reader.xml")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLICKHOUSE_READER_PASSWORD", READER_PASSWORD)
        with server:
            owner = ClickHouseWarehouse(server.url)
            migrate(owner)
            owner.close()
            yield server

"""docs/guide/operate.md followed to the letter, from nothing to rows in ClickHouse.

Real servers stand in for its containers.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.clickhouse_server import ClickHouseServer
from tests.support.kafka_server import KafkaServer
from tests.support.pages import Block, blocks
from tests.support.stack import free_ports

pytestmark = pytest.mark.stack
_ROOT = Path(__file__).resolve().parents[2]
# What starts containers is not run; what names servers of the reader's own is replaced by those of
# the tests.
_LEFT_OUT = {"containers", "kubernetes", "install"}
_PORT = re.compile(r"\b94[0-5]0\b")
# Twenty commands and six workers that start: a minute and a half alone, and the machine may do
# other things too.
_PATIENCE_S = 840


# A group keeps a member that left for its session, so that one that comes back finds its
# partitions: an operator would look again.
_GONE = """for again in $(seq 40); do
case "$(switchboard status 2>&1 || true)" in *"Workers: none"*) break ;; esac
sleep 0.5
done"""


def addresses(kafka: KafkaServer, clickhouse: ClickHouseServer, folder: Path) -> str:
    """Return the exports of the page for the servers of the tests."""
    told = {
        "SWITCHBOARD_BROKER": kafka.broker,
        "SWITCHBOARD_WAREHOUSE": clickhouse.url_for(database="operate"),
        "SWITCHBOARD_SECRET": "a secret for tests only",
        "SWITCHBOARD_DATA_DIR": str(folder / "data"),
    }
    (page,) = (block.text for block in blocks("operate.md") if block.use == "addresses")
    assert set(re.findall(r"export (\w+)=", page)) == set(told)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in told.items())


def script(page: list[Block], exports: str) -> str:
    """Return the page's commands as one script that ends at the first failure, with free ports."""
    ports: dict[str, str] = {}

    def free(match: re.Match[str]) -> str:
        return ports.setdefault(match[0], str(free_ports(10)))

    parts = ["set -euo pipefail"]
    for block in page:
        if block.use not in _LEFT_OUT:
            text = exports if block.use == "addresses" else _PORT.sub(free, block.text)
            parts.append(f"echo '### {block.use or 'as it stands'}'\n{text}")
        if block.use == "stop":
            parts.append(_GONE)
    return "\n".join(parts)


@pytest.mark.timeout(900)
def test_the_page_leads_to_rows(
    kafka: KafkaServer, clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    kafka.wipe()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "switchboard"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pipeline "$@"\n', "utf-8")
    command.chmod(0o755)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SWITCHBOARD_")
    }
    environment |= {
        "PATH": f"{command.parent}:{environment['PATH']}",
        "PYTHONPATH": str(_ROOT),
        "COLUMNS": "200",
    }
    page = script(blocks("operate.md"), addresses(kafka, clickhouse, tmp_path))
    with (tmp_path / "told").open("w+") as told:
        shell = subprocess.Popen(
            ["bash", "-c", page],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(_PATIENCE_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
        told.seek(0)
        said = told.read()
    assert code == 0, said
    assert_output_is_complete(said)
    ((rows, sources),) = clickhouse.client(database="operate").execute(
        "SELECT count(), uniqExact(connector) FROM communications"
    )
    assert rows > 100
    assert sources == 2
    ((orders,),) = clickhouse.client(database="operate").execute(
        "SELECT count() FROM business_events"
    )
    assert orders > 50


def assert_output_is_complete(said: str) -> None:
    """Check what the page promises on screen: metrics, windows, reconciliation, no workers left."""
    assert re.search(r'^switchboard_records_total\{stage="load"\} \d', said, re.MULTILINE)
    assert '"windows"' in said or '"channels"' in said, "live answered with something else"
    assert "Workers: none" in said.rpartition("### stop")[2]
    before, _, after = said.partition("### workers")
    assert "Reconciliation: none" in before
    assert re.search(r"^email +\d+ +\d+ +\d+ +\d+ +0$", after, re.MULTILINE), (
        "something of the mail is missing"
    )


def test_every_kind_of_block_is_known() -> None:
    known = _LEFT_OUT | {"", "addresses", "workers", "ports", "stop"}
    found = [block.use for block in blocks("operate.md")]
    assert set(found) == known
    assert found.count("containers") == 1

"""Real mail, chats and calls: read items = records + redeliveries + dead letters."""

from pathlib import Path

import orjson
import pytest

from pipeline.commands.host_factory import embedded_host
from pipeline.commands.reconciliation import Account, accounts
from pipeline.ingest.registry import CONNECTORS
from pipeline.ingest.resumable_ingest import Ingest
from pipeline.settings import Settings
from pipeline.workspace import Workspace
from schemas.records import QUALITY_FLAGS

pytestmark = pytest.mark.data

# Folder or file, connector, items that are in it, and how many of them may be no mail, chat or call
# at all.
_SETS = (
    ("email_raw/spamassassin_corpus_1/messages.tar.xz", "email", 3_000, 5),
    ("email_raw/mikel_mail", "email", 105, 2),
    ("email_raw/cpython_email", "email", 78, 32),
    ("email_raw/espocrm_mail", "email", 5, 1),
    ("email_raw/mime4j_mimetools", "email", 319, 121),
    ("chat/whatsapp_locales", "whatsapp-export", None, 0),
    ("chat/whatstk", "whatsapp-export", None, 0),
    ("chat/chat_miner/whatsapp", "whatsapp-export", None, 0),
    ("calls/asterisk_cdr/Master.csv", "asterisk-cdr", None, 0),
)


@pytest.mark.parametrize(
    ("path", "connector", "items", "refusable"), _SETS, ids=[name for name, *_ in _SETS]
)
def test_read_items_equal_records_redeliveries_and_dead_letters(
    shared_data: Path,
    tmp_path: Path,
    path: str,
    connector: str,
    items: int | None,
    refusable: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace = Workspace(
        Settings(data_dir=tmp_path, timezone="Europe/Moscow", secret="a secret for tests only")
    )
    account = run_through(workspace, connector, shared_data / path)
    with capsys.disabled():
        print(
            f"\n{path}: {account.read} read = {account.records} records + {account.repeats} repeats"
            f" + {account.dead_letters} dead letters"
        )
    assert account.missing == 0
    assert account.records > 0
    assert account.dead_letters <= refusable
    if items is not None:
        assert account.read == items
    with workspace.open_warehouse() as warehouse:
        rows = warehouse.query(
            "SELECT DISTINCT arrayJoin(quality_flags) AS flag FROM communications"
        ).splitlines()
        flags = {orjson.loads(row)["flag"] for row in rows}
        (repeated,) = warehouse.query("SELECT sum(deliveries - 1) AS n FROM repeats").splitlines()
        assert flags <= {*QUALITY_FLAGS, "repeated"}
        assert int(orjson.loads(repeated)["n"]) == account.repeats
        stages = warehouse.query("SELECT DISTINCT stage FROM dead_letters").splitlines()
        assert {orjson.loads(row)["stage"] for row in stages} <= {"collect"}


def run_through(workspace: Workspace, connector: str, path: Path) -> Account:
    """Ingest a path and run until idle; return the connector's account."""
    with workspace.open_publisher() as publisher:
        options = workspace.ingest_options(None, (), {})
        results = list(Ingest(CONNECTORS[connector], options, publisher).run([path]))
    assert [result.problem for result in results if result.problem] == []
    with embedded_host(workspace) as host:
        while host.run_once():
            pass
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        (account,) = accounts(log, warehouse)
    return account

"""Commands take a data folder as a user types it: relative, or one that is not there."""

from pathlib import Path

import pytest

from pipeline.commands.check import check_installation
from pipeline.errors import UserError
from pipeline.log.clock import now_ms
from pipeline.sinks.chdb import ChdbWarehouse
from pipeline.workspace import Workspace
from tests.support.installations import settings_in


def test_check_of_a_folder_without_an_installation_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mistyped"
    with pytest.raises(UserError, match="has no installation to check"):
        check_installation(Workspace(settings_in(folder)), now_ms(), deep=False)
    assert not (folder / "log.sqlite").exists()


def test_a_store_in_a_relative_folder_writes_its_backup_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = ChdbWarehouse(Path("data/store"))
    store.back_up("copy", [])
    store.close()
    assert (tmp_path / "data/backup/copy").is_dir()

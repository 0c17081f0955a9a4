"""The next version of the program, as a change that the runbook's "Upgrade a schema" speaks of
makes it: one optional field more.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.sinks.migrations import migrations

_ROOT = Path(__file__).resolve().parents[2]
# What a developer changes to add the branch (门店) that a customer speaks to: the contract of the
# event and of the record, the step that maps one to the other, and the column. Of each change: the
# existing line, and the new line after it.
_CHANGES = {
    "schemas/communications.py": (
        "    html: Text = Field("
        'None, description="The message as HTML; used if text is absent.")\n',
        '    branch: Text = Field(None, description="The branch that was spoken to (门店).")\n',
    ),
    "schemas/records.py": (
        '    provider: str = ""\n',
        '    branch: str = Field("", description="The branch that was spoken to.")\n',
    ),
    "pipeline/processors/finish.py": (
        "        sent_at=cleaned.times.sent_at,\n",
        '        branch=(data.branch or "") if isinstance(data, MessageData) else "",\n',
    ),
    "schemas/clickhouse/columns/communications.toml": (
        'sent_at = ["Nullable(DateTime64(3, \'UTC\'))", "Time by the sender\'s clock, UTC"]\n',
        'branch = ["String", "Branch that was spoken to", { since = %NUMBER% }]\n',
    ),
}
_MIGRATION = """-- The branch that a customer speaks to.
{{ add_columns("communication_rows") }}
CREATE VIEW IF NOT EXISTS branches
AS SELECT record_id, source, event_id, branch, attributes FROM communication_rows FINAL;
"""


def next_version(folder: Path) -> Path:
    """Write the program's packages with the change into a folder; return it, for PYTHONPATH."""
    for package in ("pipeline", "schemas"):
        shutil.copytree(
            _ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    number = len(migrations()) + 1
    for name, (before, added) in _CHANGES.items():
        path = folder / name
        text = path.read_text("utf-8")
        assert text.count(before) == 1, f"{name} is no longer as this change expects it"
        line = added.replace("%NUMBER%", str(number))
        path.write_text(text.replace(before, before + line), "utf-8")
    (folder / "schemas/clickhouse" / f"{number:04d}_branch.sql").write_text(_MIGRATION, "utf-8")
    return folder

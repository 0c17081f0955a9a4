"""The next version of the program, as a change that the runbook's "Upgrade a schema" speaks of
makes it: one optional field more.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.sinks.migrations import migrations

_ROOT = Path(__file__).resolve().parents[2]
# What a developer changes for the branch (门店) that a customer speaks to: the contract of the event,
# that of the record, the step that makes the one of the other, and the column; each where the line
# stands after which it comes.
_CHANGES = {
    "schemas/communications.py": (
        (
            '    html: Text = Field(None, description="The same as HTML; read where text is'
            ' absent.")\n'
        ),
        '    branch: Text = Field(None, description="The branch that was spoken to (门店).")\n',
    ),
    "schemas/records.py": (
        '    provider: str = ""\n',
        '    branch: str = Field("", description="The branch that was spoken to.")\n',
    ),
    "pipeline/processors/enrich.py": (
        "        sent_at=cleaned.times.sent_at,\n",
        '        branch=(data.branch or "") if isinstance(data, MessageData) else "",\n',
    ),
    "pipeline/sinks/row_mapping.py": (
        '        **instants("sent_at"),\n',
        '        "branch": each(lambda body: body.get("branch", "")),\n',
    ),
}
_MIGRATION = """-- The branch that a customer speaks to.
ALTER TABLE communication_rows ADD COLUMN IF NOT EXISTS branch String COMMENT 'The branch that was spoken to';
CREATE VIEW IF NOT EXISTS branches AS SELECT record_id, source, event_id, branch, attributes FROM communication_rows FINAL;
"""


def next_version(folder: Path) -> Path:
    """Write the program's packages with the change into a folder; return it, for PYTHONPATH."""
    for package in ("pipeline", "schemas"):
        shutil.copytree(
            _ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name, (before, added) in _CHANGES.items():
        path = folder / name
        text = path.read_text("utf-8")
        assert text.count(before) == 1, f"{name} is no longer as this change expects it"
        path.write_text(text.replace(before, before + added), "utf-8")
    number = len(migrations()) + 1
    (folder / "schemas/clickhouse" / f"{number:04d}_branch.sql").write_text(_MIGRATION, "utf-8")
    return folder

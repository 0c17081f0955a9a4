"""`ingest`: read files with a connector and publish their events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.ingest.port import Connector
from pipeline.ingest.registry import CONNECTORS
from pipeline.ingest.resumable_ingest import Ingest, UnitResult
from pipeline.workspace import Workspace

# Options that have a command line flag of their own; all others are written --option name=value.
COMMON_OPTIONS = frozenset({"tenant", "source", "timezone", "own"})
# A folder of mails has one unit per message; nobody reads a table of thousands of rows.
_MAX_LISTED = 20
# Three examples are enough to recognise a problem that many files share.
_MAX_NAMED = 3


@dataclass
class IngestTally:
    """The totals of one ingest, and some of its files: those with rejections come first."""

    files: int = 0
    published: int = 0
    rejected: int = 0
    skipped: int = 0
    unread: int = 0
    listed: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def add(self, result: UnitResult) -> None:
        """Add the result of one file."""
        self.files += 1
        self.published += result.published
        self.rejected += result.rejected
        self.skipped += result.skipped
        if result.problem:
            self.unread += 1
            names = (
                self.problems.setdefault(result.problem, [])
                if len(self.problems) < _MAX_LISTED
                else []
            )
            if len(names) < _MAX_NAMED:
                names.append(result.name)
        self.listed.append(asdict(result))
        if len(self.listed) > _MAX_LISTED:
            unremarkable = (n for n, row in enumerate(self.listed) if not row["rejected"])
            self.listed.pop(next(unremarkable, -1))


def ingest_paths(
    workspace: Workspace,
    name: str,
    paths: Sequence[Path],
    source: str | None,
    own: tuple[str, ...],
    extra: dict[str, str],
    *,
    on_result: Callable[[IngestTally], object] = lambda _: None,
) -> IngestTally:
    """Ingest paths with the connector of a name; report the tally after each file.

    A file that cannot be read is a problem in the tally. Raises UsageError for a connector or an
    option that does not exist.
    """
    connector = _connector(name, extra)
    tally = IngestTally()
    with workspace.open_publisher() as publisher:
        session = Ingest(connector, workspace.ingest_options(source, own, extra), publisher)
        for result in session.run(paths):
            tally.add(result)
            on_result(tally)
    return tally


def _connector(name: str, extra: dict[str, str]) -> Connector:
    """Return the connector of a name; raises UsageError if it lacks one of the options."""
    connector = CONNECTORS.get(name)
    if connector is None:
        raise UsageError(
            f"there is no connector {name!r}; the connectors are {', '.join(CONNECTORS)}"
        )
    if unknown := sorted(set(extra) - set(connector.options)):
        raise UsageError(
            f"{name} has no option {', '.join(unknown)}; its options are"
            f" {', '.join(connector.options) or 'none'}"
        )
    if misplaced := sorted(set(extra) & COMMON_OPTIONS):
        raise UsageError(f"write --{misplaced[0]} …, not --option {misplaced[0]}=…")
    return connector

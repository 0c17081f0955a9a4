"""Checks the tables: known parts and relations that are gone, and bytes that are wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.log.sqlite_file import FileDamagedError
from pipeline.sinks.migrations import missing
from pipeline.sinks.part_ledger import LostPart, PartLedger
from pipeline.sinks.table_check import DamagedPart
from pipeline.sinks.warehouse import Warehouse, rows
from pipeline.workspace import Workspace

_SIZES = """
SELECT toUInt64(count()) AS tables, toUInt64(sum(total_rows)) AS rows FROM system.tables
WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree')
"""


@dataclass
class StoreFindings:
    """What is damaged in the tables, as parts and as messages.

    `oldest_ms` is the append time of the oldest log record in what is lost, 0 if unknown.
    """

    messages: list[str] = field(default_factory=list)
    lost: list[LostPart] = field(default_factory=list)
    damaged: list[DamagedPart] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)
    ledger: PartLedger | None = None
    is_open: bool = True
    oldest_ms: int = 0
    tables: int = 0
    rows: int = 0

    @property
    def is_damaged(self) -> bool:
        """Whether anything was found."""
        return bool(self.messages)


def check_store(workspace: Workspace) -> StoreFindings:
    """Return the damages of the embedded store; it may be open in another process."""
    from pipeline.sinks.store_server import open_for_checking

    findings, root = StoreFindings(), workspace.root
    try:
        findings.ledger = PartLedger.read(root)
    except FileDamagedError as error:
        findings.messages.append(f"{error.path}: {error.problem}")
    if not (root / "store").exists():
        _add_all_lost(findings, f"{root / 'store'}: the folder is gone")
        return findings
    try:
        store = open_for_checking(root)
    except FileDamagedError as error:
        _add_all_lost(findings, f"{error.path} cannot be opened: {error.problem}")
        return findings
    try:
        _check_open_store(store, findings)
    finally:
        store.close()
    return findings


def check_server(warehouse: Warehouse) -> StoreFindings:
    """Return the damages of the tables of a server: it counts and repairs its parts itself."""
    findings = StoreFindings()
    if lacking := [migration.name for migration in missing(warehouse)]:
        findings.messages.append(f"migrations are missing: {', '.join(lacking)}")
    _add_damaged(findings, warehouse)
    return findings


def _check_open_store(store: Warehouse, findings: StoreFindings) -> None:
    ledger = findings.ledger
    if ledger is not None:
        findings.relations = ledger.lost_relations(store)
        findings.lost = ledger.lost_parts(store)
    if findings.relations:
        findings.messages.append(f"tables or views are gone: {', '.join(findings.relations)}")
    for table in sorted({item.table for item in findings.lost}):
        parts = [item.part for item in findings.lost if item.table == table]
        findings.messages.append(
            f"{table} lacks up to {sum(part.rows for part in parts):,} rows:"
            f" {'parts' if len(parts) > 1 else 'part'} {', '.join(part.name for part in parts)}"
            " gone or unreadable"
        )
    _add_damaged(findings, store)
    _set_oldest(findings)


def _add_damaged(findings: StoreFindings, store: Warehouse) -> None:
    (sizes,) = rows(store, _SIZES)
    findings.tables, findings.rows = int(sizes["tables"]), int(sizes["rows"] or 0)
    for part in store.check_tables():
        # What ClickHouse has set aside is known by the parts that are lost.
        if not part.detached:
            findings.damaged.append(part)
            findings.messages.append(f"{part.table} {part.name} is damaged: {part.message}")


def _add_all_lost(findings: StoreFindings, message: str) -> None:
    findings.is_open = False
    ledger = findings.ledger
    if ledger is None or not ledger.parts:
        # A new installation has no store yet.
        if findings.messages or "cannot be opened" in message:
            findings.messages.append(message)
        return
    findings.lost = [
        LostPart(table, part) for table, parts in ledger.parts.items() for part in parts
    ]
    count = sum(item.part.rows for item in findings.lost)
    findings.messages.append(f"{message}; it had up to {count:,} rows")
    _set_oldest(findings)


def _set_oldest(findings: StoreFindings) -> None:
    known = findings.ledger.parts if findings.ledger else {}
    times = [item.part.oldest_ms for item in findings.lost]
    for damaged in findings.damaged:
        times += [
            part.oldest_ms for part in known.get(damaged.table, ()) if part.name == damaged.name
        ] or [0]
    findings.oldest_ms = min(times, default=0)

"""`check`: whether log, store, bodies, models and checkpoints are whole and agree.

Each damage names what is missing and the commands that repair it. docs/adr/0029 says what each part
is checked against.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from pipeline.commands.check_history import (
    MissingRows,
    lost_states,
    missing_rows,
    unaccounted_items,
)
from pipeline.commands.check_log import (
    check_embedded_log,
    check_offsets,
    holds_since,
    require_installation,
)
from pipeline.commands.check_store import StoreFindings, check_server, check_store
from pipeline.commands.damage import Damage
from pipeline.log.claim_check import BodyMissingError, body_reference
from pipeline.log.installation_id import verify_secret
from pipeline.log.port import Log
from pipeline.log.sqlite_file import FileDamagedError
from pipeline.runtime.stages import STAGES
from pipeline.sinks.warehouse import Warehouse
from pipeline.workspace import Workspace
from schemas.topics import CONVERSE_STATE, EXAMPLES, TOPICS

# The records before load's offset that are looked up in the tables without `deep`: a second's work.
_NEWEST_RECORDS = 200
_SCAN_RECORDS = 1_000


@dataclass
class CheckReport:
    """What was looked at, by name, and the damages; an installation without any is whole."""

    counts: dict[str, int] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)


@dataclass(frozen=True)
class RepairCommands:
    """The command lines that repair an installation, as a person types them."""

    workspace: Workspace

    @property
    def program(self) -> str:
        """The command with what selects this installation."""
        if self.workspace.settings.distributed:
            return "switchboard"
        return f"switchboard --data-dir {shlex.quote(str(self.workspace.root))}"

    @property
    def run(self) -> str:
        """Runs the stages until they have caught up."""
        return f"{self.program} run --until-idle"

    @property
    def repair(self) -> tuple[str, ...]:
        """Sets damaged parts aside and lets the stages read them again from the log."""
        return (f"{self.program} check --repair", self.run)

    @property
    def restore(self) -> tuple[str, ...]:
        """Puts a backup in the place of the installation."""
        if self.workspace.settings.distributed:
            return ("switchboard restore BACKUP",)
        root = shlex.quote(str(self.workspace.root))
        return (f"mv {root} {root}.damaged", f"{self.program} restore BACKUP", self.run)

    def copy_from_backup(self, name: str) -> tuple[str, ...]:
        """Copies one file of the data folder from a backup."""
        return (f"cp BACKUP/{name} {shlex.quote(str(self.workspace.root / name))}",)


def check_installation(workspace: Workspace, now_ms: int, *, deep: bool) -> CheckReport:
    """Check every part of an installation; with `deep`, read every byte of it.

    Nothing is changed. Stages may run meanwhile. Raises UserError for a part that is out of reach.
    """
    report, commands = CheckReport(), RepairCommands(workspace)
    if workspace.settings.distributed:
        _check_servers(workspace, commands, report, deep)
    else:
        _check_embedded(workspace, commands, report, now_ms, deep)
    return report


def _check_embedded(
    workspace: Workspace,
    commands: RepairCommands,
    report: CheckReport,
    now_ms: int,
    deep: bool,
) -> None:
    require_installation(workspace)
    findings = check_embedded_log(workspace, now_ms, deep=deep)
    log_lost = any(finding.kind in ("file", "records") for finding in findings)
    for finding in findings:
        repairable = not log_lost and finding.kind not in ("file", "records")
        report.damages.append(
            Damage("log", finding.message, commands.repair if repairable else commands.restore)
        )
    _check_secret(workspace, commands, report)
    store = check_store(workspace)
    if findings:
        _add_store(report, store, commands.restore if log_lost else commands.repair)
        return
    with workspace.open_log() as log:
        held = holds_since(log, store.oldest_ms, now_ms)
        _add_store(report, store, commands.repair if held else commands.restore)
        _check_bodies(workspace, commands, report, log, deep=deep)
        _check_snapshot(workspace, report, log)
        report.counts["records"] = sum(size.records for size in log.sizes().values())
        if not store.is_damaged:
            with workspace.open_warehouse() as warehouse:
                _check_history(workspace, commands, report, log, warehouse, deep=deep)
        if deep:
            _check_states(commands, report, log, now_ms)


def _check_servers(
    workspace: Workspace, commands: RepairCommands, report: CheckReport, deep: bool
) -> None:
    with workspace.open_log() as log, workspace.open_warehouse() as warehouse:
        for message in check_offsets(log):
            report.damages.append(Damage("offsets", message, commands.restore))
        store = check_server(warehouse)
        _add_store(report, store, commands.restore)
        if deep:
            _check_bodies(workspace, commands, report, log, deep=True)
        if not store.is_damaged:
            _check_history(workspace, commands, report, log, warehouse, deep=deep)


def _add_store(report: CheckReport, store: StoreFindings, commands: tuple[str, ...]) -> None:
    report.counts |= {"tables": store.tables, "rows": store.rows}
    for message in store.messages:
        report.damages.append(Damage("store", message, commands))


def _check_history(
    workspace: Workspace,
    commands: RepairCommands,
    report: CheckReport,
    log: Log,
    warehouse: Warehouse,
    *,
    deep: bool,
) -> None:
    for item in missing_rows(
        log, warehouse, workspace.blobs, newest=None if deep else _NEWEST_RECORDS
    ):
        report.damages.append(Damage("store", str(item), _replay_commands(commands, item)))
    for message, is_lost in unaccounted_items(log, warehouse):
        program = commands.program
        first = "replay enrich --from beginning --yes" if is_lost else "check --repair"
        again = () if is_lost else (f"{program} ingest …",)
        report.damages.append(
            Damage("ingest", message, (f"{program} {first}", *again, commands.run))
        )


def _replay_commands(commands: RepairCommands, item: MissingRows) -> tuple[str, ...]:
    return (
        f"{commands.program} replay {item.topic} --stage load --offset"
        f" {item.partition}:{item.first} --yes",
        commands.run,
    )


def _check_states(commands: RepairCommands, report: CheckReport, log: Log, now_ms: int) -> None:
    if lost := lost_states(log):
        replay = (f"{commands.program} replay converse --from beginning --yes", commands.run)
        held = holds_since(log, 0, now_ms, STAGES["converse"])
        report.damages.append(
            Damage(
                "log",
                f"{CONVERSE_STATE.name} lacks the states of {lost:,} contact points whose records"
                " converse has read",
                replay if held else commands.restore,
            )
        )


def _check_bodies(
    workspace: Workspace, commands: RepairCommands, report: CheckReport, log: Log, *, deep: bool
) -> None:
    references = 0
    for topic in TOPICS.values():
        if topic.compacted:
            continue
        for at in log.positions("load", [topic.name]):
            start = at.first
            while records := log.scan(topic.name, at.partition, start, _SCAN_RECORDS):
                start = records[-1].offset + 1
                for reference in filter(None, map(body_reference, records)):
                    references += 1
                    if problem := _body_problem(workspace, reference, deep=deep):
                        name = f"bodies/{reference[:2]}/{reference}"
                        report.damages.append(
                            Damage("bodies", problem, commands.copy_from_backup(name))
                        )
    report.counts["bodies"] = references


def _body_problem(workspace: Workspace, reference: str, *, deep: bool) -> str:
    try:
        if deep:
            workspace.blobs.get(reference)
        elif not workspace.blobs.has(reference):
            return f"the body {reference} is missing, to which a record of the log refers"
    except (BodyMissingError, OSError) as error:
        return str(error)
    return ""


def _check_snapshot(workspace: Workspace, report: CheckReport, log: Log) -> None:
    path = workspace.root / "models" / "snapshot"
    if not path.exists():
        return
    # Most installations checked have no snapshot, and its code takes a second to import.
    from pipeline.models.snapshot import load_fold
    from pipeline.models.state_format import StateError

    (at,) = log.positions("load", [EXAMPLES.name])
    try:
        fold = load_fold(path.read_bytes(), workspace.heads())
    except StateError as error:
        problem = str(error)
    else:
        if fold.position < at.end:
            return
        problem = f"it ends at offset {fold.position:,}, {EXAMPLES.name} at {at.end - 1:,}"
    report.damages.append(
        Damage("models", f"{path} is damaged ({problem})", (f"rm {shlex.quote(str(path))}",))
    )


def _check_secret(workspace: Workspace, commands: RepairCommands, report: CheckReport) -> None:
    if workspace.settings.secret:
        return
    path = workspace.root / "secret"
    try:
        verify_secret(workspace.root, path.read_bytes() if path.exists() else None)
    except FileDamagedError as error:
        report.damages.append(
            Damage(
                "secret",
                f"{path}: {error.problem}; customer ids depend on it",
                commands.copy_from_backup("secret"),
            )
        )

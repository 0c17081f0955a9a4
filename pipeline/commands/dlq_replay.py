"""The command `dlq replay`: reads letters one at a time, sends what is accepted, audits every
try.
"""

from __future__ import annotations

from pipeline.commands.dlq import Filter, Replayer, whole
from pipeline.log.claim_check import check_in
from pipeline.workspace import Workspace
from schemas.dead_letters import Replay


def replay(workspace: Workspace, wanted: Filter) -> tuple[list[Replay], list[Replay]]:
    """Replay all dead letters that a filter names; return the accepted and the refused tries."""
    accepted: list[Replay] = []
    refused: list[Replay] = []
    with workspace.reading() as warehouse, workspace.log() as log:
        options = workspace.ingest_options(None, (), {})
        replayer = Replayer(
            warehouse, workspace.settings.identity(), options, workspace.settings.head_table()
        )
        for letter in whole(warehouse, wanted):
            audit, messages = replayer.replay(letter)
            with log.transaction() as transaction:
                transaction.produce(check_in(messages, workspace.blobs))
            (accepted if audit.outcome == "accepted" else refused).append(audit)
    return accepted, refused

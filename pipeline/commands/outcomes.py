"""`outcomes`: scan the history for outcomes and drift, once or periodically in a thread."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.commands.outcome_labels import OutcomeHorizon, publish_outcome_labels
from pipeline.errors import UserError
from pipeline.log.clock import utc_now
from pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


def scan_outcomes(workspace: Workspace, horizon: OutcomeHorizon) -> Counter[str]:
    """Publish new labels of outcomes and new drifts; return how many of each kind.

    A second scan publishes nothing again.
    """
    from pipeline.commands.drift_detection import publish_new_drifts

    with workspace.open_warehouse() as warehouse:
        with workspace.open_publisher() as publisher:
            counts = publish_outcome_labels(warehouse, publisher, horizon)
        with workspace.open_log() as log:
            for drifted in publish_new_drifts(warehouse, log):
                counts[f"{drifted.head}: drift"] += 1
                logger.warning(
                    "The error rate of %s drifted from %.1f %% to %.1f %%",
                    drifted.head,
                    100 * drifted.error_before,
                    100 * drifted.error_after,
                )
    return counts


@contextmanager
def periodic_outcome_scan(workspace: Workspace) -> Iterator[None]:
    """Scan every `outcomes_minutes` inside the block; log errors and retry with the next scan."""
    minutes, ended = workspace.settings.outcomes_minutes, threading.Event()
    if not minutes:
        yield
        return

    def run() -> None:
        while not ended.wait(minutes * 60):
            try:
                counts = scan_outcomes(
                    workspace,
                    OutcomeHorizon.recent(workspace.settings.intent_horizon_days, utc_now()),
                )
                logger.info("Published labels of outcomes: %s", dict(counts))
            except (UserError, OSError):
                logger.exception("The scan for outcomes failed; retrying in %g minutes", minutes)

    thread = threading.Thread(target=run, name="outcomes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()

"""What a keeper does now and then beside its stages: labels from outcomes, drift. By a thread, and
never in the way of a record.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.commands.outcomes import Horizon, give_outcomes
from pipeline.errors import UserError
from pipeline.runtime.runner import utc_now
from pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


def look_back(workspace: Workspace, horizon: Horizon) -> Counter[str]:
    """Give the labels of outcomes and note drifts; return how many of what. Running it again
    repeats nothing.
    """
    from pipeline.commands.drift_detection import note_drifts

    with workspace.reading() as warehouse:
        with workspace.publisher() as publisher:
            given = give_outcomes(warehouse, publisher, horizon)
        with workspace.log() as log:
            for drifted in note_drifts(warehouse, log):
                given[f"{drifted.head}: drift"] += 1
                logger.warning(
                    "%s: %.1f %% of its answers are wrong since then, %.1f %% were before",
                    drifted.head,
                    100 * drifted.error_after,
                    100 * drifted.error_before,
                )
    return given


@contextmanager
def looking_back(workspace: Workspace) -> Iterator[None]:
    """Look back every `outcomes_minutes` for as long as the block lasts; what goes wrong is logged,
    and tried again the next time.
    """
    minutes, ended = workspace.settings.outcomes_minutes, threading.Event()
    if not minutes:
        yield
        return

    def run() -> None:
        while not ended.wait(minutes * 60):
            try:
                given = look_back(
                    workspace, Horizon.recent(workspace.settings.intent_horizon_days, utc_now())
                )
                logger.info("outcomes: %s", dict(given))
            except (UserError, OSError):
                logger.exception("outcomes could not be looked for; again in %g minutes", minutes)

    thread = threading.Thread(target=run, name="outcomes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()

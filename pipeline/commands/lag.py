"""`lag`: how far each stage is behind on each of its topics."""

from __future__ import annotations

from pipeline.log.port import Lag, Log
from pipeline.runtime.stages import STAGES


def lags(log: Log, now_ms: int) -> list[Lag]:
    """Return how far each stage is behind on each of its topics."""
    return [lag for stage, topics in STAGES.items() for lag in log.lag(stage, topics, now_ms)]

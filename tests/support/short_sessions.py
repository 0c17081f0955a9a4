"""Shorter waits for dead members of consumer groups, so that tests that kill workers are quick.

What happens is the same; only how long a broker waits for a worker that has died differs.
"""

from __future__ import annotations

from pipeline.runtime.kafka import broker, repartition

# A tenth of a second would do on an idle machine; a busy one may keep a thread waiting for seconds.
_SESSION_MS = 3_000
# Faust sends its heartbeats from the event loop, which computes too.
_FAUST_SESSION_S, _FAUST_HEARTBEAT_S, _FAUST_REBALANCE_S, _FAUST_STUCK_S = 5.0, 1.0, 6.0, 10.0


def shorten_sessions() -> None:
    """Shorten the sessions of all workers that this process runs from now on, but for live."""
    broker.SESSION_TIMEOUT_MS = _SESSION_MS
    # Repartitioning has a copy of the name.
    broker.GROUP_EMPTY_S = repartition.GROUP_EMPTY_S = 2 * _SESSION_MS / 1000


def shorten_live_sessions() -> None:
    """Shorten the sessions of live workers; Faust takes seconds to import."""
    from pipeline.runtime import faust_app

    faust_app._SESSION_S, faust_app._HEARTBEAT_S = _FAUST_SESSION_S, _FAUST_HEARTBEAT_S
    faust_app._REBALANCE_S, faust_app._STUCK_S = _FAUST_REBALANCE_S, _FAUST_STUCK_S

"""Shorter waits of workers: for members of their group that have died, for more records, for Kafka.

What happens is the same; only how long nothing happens before it differs.
"""

from __future__ import annotations

from pipeline.commands import host_factory, supervisor
from pipeline.runtime.kafka import broker, group_check, kafka_host, kafka_log, repartition

# A tenth of a second would do on an idle machine; a busy one may keep a thread waiting for seconds.
_SESSION_MS = 3_000
# An idle worker looks around so often: tests wait until it has found nothing.
_IDLE_S, _PROBE_EVERY_S, _PROBE_S = 0.1, 2.0, 2.0
_LINGER_S = 0.05
# Partitions that nobody has had for so long are assigned anew.
_GIVE_UP_S = 3.0
# A worker that does not end is killed after this long.
_GRACE_S = 20.0
# Messages go to the spool this long after the broker has gone.
_CONFIRM_MS, _PAUSE_S = 5_000, 2.0
# Faust sends its heartbeats from the event loop, which computes too.
_FAUST_SESSION_S, _FAUST_HEARTBEAT_S, _FAUST_REBALANCE_S, _FAUST_STUCK_S = 5.0, 1.0, 6.0, 10.0


def shorten_waits() -> None:
    """Shorten the waits of all workers that this process runs from now on, but for live."""
    broker.SESSION_TIMEOUT_MS = _SESSION_MS
    # Repartitioning has a copy of the name.
    broker.GROUP_EMPTY_S = repartition.GROUP_EMPTY_S = 2 * _SESSION_MS / 1000
    kafka_host._IDLE_S = _IDLE_S
    kafka_host._PROBE_EVERY_S, kafka_host._PROBE_S = _PROBE_EVERY_S, _PROBE_S
    group_check._GIVE_UP_S = _GIVE_UP_S
    host_factory._LINGER_S = dict.fromkeys(host_factory._LINGER_S, _LINGER_S)
    supervisor._GRACE_S = _GRACE_S
    kafka_log._CONFIRM_MS, kafka_log._PAUSE_S = _CONFIRM_MS, _PAUSE_S


def shorten_live_waits() -> None:
    """Shorten the waits of live workers; Faust takes seconds to import."""
    from pipeline.runtime import faust_app

    faust_app._SESSION_S, faust_app._HEARTBEAT_S = _FAUST_SESSION_S, _FAUST_HEARTBEAT_S
    faust_app._REBALANCE_S, faust_app._STUCK_S = _FAUST_REBALANCE_S, _FAUST_STUCK_S

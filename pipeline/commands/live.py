"""`live`: read the state that the stage live writes, from the embedded log or from Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pipeline.log.clock import now_ms
from pipeline.log.port import TopicReader
from pipeline.processors.live.alerts import AlertMonitor
from pipeline.processors.live.view import LiveView
from pipeline.runtime.live_handler import recent_alerts
from pipeline.workspace import Workspace
from schemas.topics import LIVE_STATE

Refresh = Callable[[], tuple[LiveView, AlertMonitor]]
"""Returns the current counts and alerts of live."""

# A poll that returns nothing for this long has reached the end.
_POLL_S = 0.2


@contextmanager
def open_live_state(workspace: Workspace) -> Iterator[Refresh]:
    """Open the state of live inside the block; raises UserError if it cannot be read."""
    with ExitStack() as stack:
        if not workspace.settings.distributed:
            log = workspace.open_sqlite_log()
            stack.callback(log.close)

            def read() -> tuple[LiveView, AlertMonitor]:
                view = LiveView()
                view.apply(log.compacted_entries(LIVE_STATE.name))
                return view, _alerts(log)

            yield read
            return
        from pipeline.runtime.kafka.topic_scan import KafkaScan
        from pipeline.runtime.kafka.topic_tail import KafkaTail

        tail, scan, view = (
            KafkaTail(workspace.broker(), LIVE_STATE.name),
            KafkaScan(workspace.broker()),
            LiveView(),
        )
        stack.callback(tail.close)
        stack.callback(scan.close)

        def follow() -> tuple[LiveView, AlertMonitor]:
            while (changes := tail.poll(_POLL_S)) or not tail.at_end:
                view.apply(changes)
            view.evict(now_ms())
            return view, _alerts(scan)

        yield follow


def _alerts(scan: TopicReader) -> AlertMonitor:
    alerts = AlertMonitor()
    alerts.restore(recent_alerts(scan, now_ms()))
    return alerts

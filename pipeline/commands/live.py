"""Seeing what live sees from outside: the embedded log as it stands, or Kafka's topics followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pipeline.log.port import Scan, now_ms
from pipeline.processors.live.alerts import Watch
from pipeline.processors.live.view import View
from pipeline.runtime.live_handler import recent_alerts
from pipeline.workspace import Workspace
from schemas.topics import LIVE_STATE

Refresh = Callable[[], tuple[View, Watch]]
"""Returns everything that live has counted and told, as of now."""

# A poll that gives nothing for so long has all there is.
_POLL_S = 0.2


@contextmanager
def following(workspace: Workspace) -> Iterator[Refresh]:
    """Open what live writes, for as long as the block lasts; raises UserError where it cannot be
    read.
    """
    with ExitStack() as stack:
        if not workspace.settings.distributed:
            log = workspace.sqlite_log()
            stack.callback(log.close)

            def read() -> tuple[View, Watch]:
                view = View()
                view.apply(log.kept(LIVE_STATE.name))
                return view, _told(log)

            yield read
            return
        from pipeline.runtime.kafka.topic_scan import KafkaScan
        from pipeline.runtime.kafka.topic_tail import KafkaTail

        tail, scan, view = (
            KafkaTail(workspace.broker(), LIVE_STATE.name),
            KafkaScan(workspace.broker()),
            View(),
        )
        stack.callback(tail.close)
        stack.callback(scan.close)

        def follow() -> tuple[View, Watch]:
            while (changes := tail.poll(_POLL_S)) or not tail.caught_up:
                view.apply(changes)
            view.forget(now_ms())
            return view, _told(scan)

        yield follow


def _told(scan: Scan) -> Watch:
    watch = Watch()
    watch.recall(recent_alerts(scan, now_ms()))
    return watch

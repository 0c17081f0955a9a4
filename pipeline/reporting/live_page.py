"""Returns the state of the live stage as JSON: windows, queues, due replies and open alerts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.processors.live.alerts import AlertMonitor
from pipeline.processors.live.observations import BUSINESS
from pipeline.processors.live.view import LiveView, Window


def page(view: LiveView, watch: AlertMonitor, now_ms: int, tenant: str = "") -> Mapping[str, Any]:
    """Return the state at a time, of one tenant or of all (""); timestamps are RFC 3339, UTC.

    In a window, `counts` are messages by direction and business events, `heads` are predictions for
    customers' messages by head and label, `business` are business events by kind and action.
    Channel "" means all channels.
    """

    def selected(item: Any) -> bool:
        return tenant in ("", item.tenant)

    return {
        "at": _at(now_ms),
        "windows": [_window(window) for window in view.windows(now_ms) if selected(window)],
        "waiting": [
            {
                "tenant": queue.tenant,
                "channel": queue.channel,
                "waiting": queue.waiting,
                "longest_s": round(queue.longest_s, 3),
                "due_soon": queue.soon,
                "overdue": queue.overdue,
            }
            for queue in view.queues(now_ms)
            if selected(queue)
        ],
        "due": [
            {
                "tenant": due.tenant,
                "channel": due.channel,
                "contact": due.contact,
                "conversation_id": due.conversation_id,
                "waiting_since": _at(due.since_ms),
                "due_at": _at(due.due_ms),
                "overdue": due.overdue,
            }
            for due in view.due(now_ms)
            if selected(due)
        ],
        "alerts": [
            alert.model_dump(mode="json") for alert in watch.open_alerts() if selected(alert)
        ],
    }


def _window(window: Window) -> Mapping[str, Any]:
    heads: dict[str, dict[str, int]] = defaultdict(dict)
    counts: dict[str, int] = {}
    for label, count in sorted(window.counts.items()):
        head, _, answer = label.partition(":")
        if answer:
            heads[head][answer] = count
        else:
            counts[label] = count
    business = heads.pop(BUSINESS, {})
    return {
        "tenant": window.tenant,
        "channel": window.channel,
        "window": window.window,
        "from": _at(window.from_ms),
        "to": _at(window.to_ms),
        "counts": counts,
        "heads": heads,
        "business": business,
    }


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
